{{/* A server with a volume of its own: `root`, `name`, `settings` (size, storageClass), `containers`, `volumes` as text. */}}
{{- define "headrace.stateful" -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  serviceName: {{ .name }}
  replicas: 1
  # Else a pod that never becomes ready would hold up the rollback that is to replace it.
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ .root.Release.Name }}
      app.kubernetes.io/component: {{ .name }}
  template:
    metadata:
      labels:
        {{- include "headrace.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      {{- include "headrace.placed" .root | nindent 6 }}
      containers:
        {{- .containers | nindent 8 }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if not .settings.size }}
        - {name: data, emptyDir: {}}
        {{- end }}
  {{- if .settings.size }}
  # It outlives the release: `kubectl delete pvc` removes it.
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          app.kubernetes.io/instance: {{ .root.Release.Name }}
          app.kubernetes.io/component: {{ .name }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .settings.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ .settings.size }}}
  {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
spec:
  selector:
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    app.kubernetes.io/component: {{ .name }}
  ports:
    - {name: {{ .port.name }}, port: {{ .port.number }}, targetPort: {{ .port.name }}}
{{- end }}

{{/* A Secret with a password that is made once: `root`, `name`, `fixed` entries, and the names of those `made`. */}}
{{- define "headrace.madeSecret" -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
  annotations:
    # It is no use without the data, nor they without it.
    helm.sh/resource-policy: keep
type: Opaque
data:
  {{- range $key, $value := .fixed }}
  {{ $key }}: {{ $value | b64enc }}
  {{- end }}
  {{- range .made }}
  {{ . }}: {{ index $there . | default (randAlphaNum 32 | b64enc) }}
  {{- end }}
{{- end }}
