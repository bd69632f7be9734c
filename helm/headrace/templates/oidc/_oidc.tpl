{{/* Who comes from outside signs in first: an oauth2-proxy for each page, for it tells upstreams apart by path and not by host. */}}

{{- define "headrace.oidc" -}}headrace-oidc-{{ . }}{{- end }}

{{/* The pages by their names in `oidc.hosts`: where each is, and which of its paths programs ask for
rather than people; empty without `oidc.enabled`. */}}
{{- define "headrace.oidc.pages" -}}
{{- if .Values.oidc.enabled }}
{{- if .Values.mlflow.enabled }}
mlflow:
  upstream: {{ include "headrace.mlflowUrl" . }}/
  programs: ^/((ajax-)?api/|graphql)
{{- end }}
{{- if and .Values.kfp.enabled .Values.kfp.ui.enabled }}
pipelines:
  upstream: http://{{ include "headrace.kfp.ui" . }}.{{ .Release.Namespace }}.svc/
  programs: ^(/pipeline)?/(apis|k8s|system|ml_metadata)[/.]
{{- end }}
{{- end }}
{{- end }}

{{- define "headrace.oidc.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ include "headrace.oidc" .page }}
{{- end }}

{{- define "headrace.oidc.labels" -}}
{{ include "headrace.labels" .root }}
app.kubernetes.io/component: {{ include "headrace.oidc" .page }}
{{- end }}

{{/* A page's host: `root` and the `page`'s name. */}}
{{- define "headrace.oidc.host" -}}
{{- required (printf "oidc.hosts.%s is missing: the name by which browsers address it, such as %s.example.com" .page .page) (index .root.Values.oidc.hosts .page) -}}
{{- end }}
