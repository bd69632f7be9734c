{{/* Names. A namespace is one site, so they are the same everywhere; each is written here only. */}}

{{- define "headrace.configMap" -}}headrace-site{{- end }}
{{- define "headrace.storeSecret" -}}headrace-store{{- end }}
{{- define "headrace.mlflow" -}}headrace-mlflow{{- end }}
{{- define "headrace.policies" -}}headrace{{- end }}
{{- define "headrace.preflight" -}}headrace-preflight{{- end }}
{{- define "headrace.reaper" -}}headrace-reaper{{- end }}
{{- define "headrace.trial" -}}headrace-trial{{- end }}
{{- define "headrace.objectStore" -}}headrace-objectstore{{- end }}
{{- define "headrace.postgres" -}}headrace-postgres{{- end }}
{{- define "headrace.mysql" -}}headrace-mysql{{- end }}
{{- define "headrace.stepRole" -}}headrace-step{{- end }}
{{- define "headrace.userRole" -}}headrace-user{{- end }}
{{/* Of Kueue's kinds that are the whole cluster's: other namespaces have their own. */}}
{{- define "headrace.clusterQueue" -}}headrace-{{ .Release.Namespace }}{{- end }}

{{- define "headrace.labels" -}}
app.kubernetes.io/name: headrace
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "headrace.mlflowSelector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: mlflow
{{- end }}

{{- define "headrace.mlflowLabels" -}}
{{ include "headrace.labels" . }}
app.kubernetes.io/component: mlflow
{{- end }}

{{/* The Secret with the store's keys; empty where pods need none. */}}
{{- define "headrace.secret" -}}
{{- if .Values.store.existingSecret -}}
{{- .Values.store.existingSecret -}}
{{- else if or .Values.store.accessKeyId .Values.objectStore.enabled -}}
{{- include "headrace.storeSecret" . -}}
{{- end -}}
{{- end }}

{{/* Changes with keys that the values say. Those that are made here stay as they were made. */}}
{{- define "headrace.keysDigest" -}}
{{- printf "%s %s" .Values.store.accessKeyId .Values.store.secretAccessKey | sha256sum -}}
{{- end }}

{{- define "headrace.storeUrl" -}}
{{- if and .Values.objectStore.enabled (not .Values.store.url) -}}
s3://headrace/site
{{- else -}}
{{- required "store.url is missing: the bucket and prefix of the site, such as s3://headrace/site" .Values.store.url | trimSuffix "/" -}}
{{- end -}}
{{- end }}

{{/* The store's address as pods have it; empty for AWS's own. */}}
{{- define "headrace.storeEndpoint" -}}
{{- if .Values.objectStore.enabled -}}
http://{{ include "headrace.objectStore" . }}.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{- .Values.store.endpoint -}}
{{- end -}}
{{- end }}

{{/* An image of somebody else's: the values, and its name there. */}}
{{- define "headrace.foreign" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.otherImages (index . 1) -}}
{{- if $root.Values.mirror -}}
{{- printf "%s/%s" ($root.Values.mirror | trimSuffix "/") $image -}}
{{- else -}}
{{- $image -}}
{{- end -}}
{{- end }}

{{/* What every pod's specification says: where it goes, how its images are pulled, as whom. Nodes
with one of `devices` are kept for those that ask for some, by a taint of its name. */}}
{{- define "headrace.placed" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $taints := .Values.tolerations }}
{{- range .devices }}
{{- $taints = append $taints (dict "key" . "operator" "Exists") }}
{{- end }}
{{- with $taints }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The security context of every container. */}}
{{- define "headrace.confined" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The store's keys, as variables of a container; nothing where pods need none. */}}
{{- define "headrace.storeKeys" -}}
{{- $secret := include "headrace.secret" . -}}
{{- if $secret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{/* MLflow as pods reach it. */}}
{{- define "headrace.mlflowUrl" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "headrace.mlflow" . }}.{{ .Release.Namespace }}.svc:5000
{{- else -}}
{{- .Values.mlflow.url -}}
{{- end -}}
{{- end }}

{{/* Kubeflow Pipelines as pods reach it; empty where there is none. */}}
{{- define "headrace.kfpUrl" -}}
{{- if .Values.kfp.enabled -}}
http://{{ include "headrace.kfp.api" . }}.{{ .Release.Namespace }}.svc:8888
{{- else -}}
{{- .Values.kfp.url -}}
{{- end -}}
{{- end }}

{{/* The names under which MLflow lets itself be addressed, with and without a port. */}}
{{- define "headrace.mlflowHosts" -}}
{{- $name := include "headrace.mlflow" . -}}
{{- $space := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $space (printf "%s.svc" $space) (printf "%s.svc.cluster.local" $space) "localhost" "127.0.0.1" -}}
{{- $all := list -}}
{{- range compact (concat $hosts (list (include "headrace.mlflowHost" .)) .Values.mlflow.allowedHosts) -}}
{{- $all = concat $all (list . (printf "%s:*" .)) -}}
{{- end -}}
{{- join "," $all -}}
{{- end }}

{{/* Of these, the one by which people come who have signed in. */}}
{{- define "headrace.mlflowHost" -}}
{{- if and .Values.oidc.enabled .Values.mlflow.enabled -}}
{{- include "headrace.oidc.host" (dict "root" . "page" "mlflow") -}}
{{- end -}}
{{- end }}

{{/* What browsers elsewhere say in `Origin`: others' pages may change nothing, its own have to. */}}
{{- define "headrace.mlflowOrigins" -}}
{{- $all := list -}}
{{- with include "headrace.mlflowHost" . -}}
{{- $all = list (printf "https://%s" .) -}}
{{- end -}}
{{- range $name := .Values.mlflow.allowedHosts -}}
{{- range list "https" "http" -}}
{{- $all = concat $all (list (printf "%s://%s" . $name) (printf "%s://%s:*" . $name)) -}}
{{- end -}}
{{- end -}}
{{- join "," $all -}}
{{- end }}

{{/* What the ConfigMap says: the values in the words of headrace.sites.cluster.Site. */}}
{{- define "headrace.site" -}}
store:
  url: {{ include "headrace.storeUrl" . | quote }}
  endpoint: {{ include "headrace.storeEndpoint" . | quote }}
  client_endpoint: {{ .Values.store.clientEndpoint | quote }}
  region: {{ .Values.store.region | quote }}
  secret: {{ include "headrace.secret" . | quote }}
mlflow:
  url: {{ include "headrace.mlflowUrl" . | quote }}
  client_url: {{ .Values.mlflow.clientUrl | quote }}
kfp:
  url: {{ include "headrace.kfpUrl" . | quote }}
  client_url: {{ .Values.kfp.clientUrl | quote }}
images:
  {{- toYaml .Values.images | nindent 2 }}
versions:
  {{- toYaml .Values.versions | nindent 2 }}
pull_secrets: {{ toJson .Values.imagePullSecrets }}
service_account: {{ .Values.serviceAccount.name | quote }}
defaults:
  {{- toYaml .Values.defaults | nindent 2 }}
limits:
  step: {{ int64 .Values.limits.step }}
  keep: {{ int64 .Values.limits.keep }}
  pending: {{ int64 .Values.limits.pending }}
node_selector:
  {{- toYaml .Values.nodeSelector | nindent 2 }}
tolerations:
  {{- toYaml .Values.tolerations | nindent 2 }}
ray_cluster: {{ .Values.rayCluster.name | quote }}
queue: {{ .Values.queue | quote }}
{{- $letIn := ternary list .Values.allowedFrom .Values.oidc.enabled }}
served_to: {{ toJson (ternary (concat .Values.servedTo $letIn | uniq) (list "*") .Values.networkPolicies) }}
{{- end }}
