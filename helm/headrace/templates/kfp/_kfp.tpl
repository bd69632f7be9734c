{{/* Kubeflow Pipelines. Services have its own names: its programs, its SDK and its users look for them. */}}

{{- define "headrace.kfp.api" -}}ml-pipeline{{- end }}
{{- define "headrace.kfp.agent" -}}ml-pipeline-persistenceagent{{- end }}
{{- define "headrace.kfp.schedules" -}}ml-pipeline-scheduledworkflow{{- end }}
{{- define "headrace.kfp.ui" -}}ml-pipeline-ui{{- end }}
{{- define "headrace.kfp.metadata" -}}metadata-grpc-service{{- end }}
{{- define "headrace.kfp.metadataWeb" -}}metadata-envoy-service{{- end }}
{{- define "headrace.kfp.argo" -}}workflow-controller{{- end }}
{{- define "headrace.kfp.config" -}}headrace-kfp{{- end }}
{{- define "headrace.kfp.launcher" -}}kfp-launcher{{- end }}

{{/* Its database: host, port and the Secret with `username` and `password`. */}}
{{- define "headrace.kfp.databaseHost" -}}
{{- if .Values.kfp.database.host -}}
{{- .Values.kfp.database.host -}}
{{- else if .Values.mysql.enabled -}}
{{- include "headrace.mysql" . -}}
{{- else -}}
{{- fail "kfp.enabled needs a MySQL database: name the site's own in kfp.database, or have one made with mysql.enabled" -}}
{{- end -}}
{{- end }}

{{- define "headrace.kfp.databaseSecret" -}}
{{- if .Values.kfp.database.host -}}
{{- required "kfp.database.existingSecret is missing: the Secret with the username and password of the database" .Values.kfp.database.existingSecret -}}
{{- else -}}
{{- include "headrace.mysql" . -}}
{{- end -}}
{{- end }}

{{- define "headrace.kfp.databaseLogin" -}}
{{- $secret := include "headrace.kfp.databaseSecret" .root -}}
- name: {{ .user }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: username}
- name: {{ .password }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: password}
{{- end }}

{{/* Parts of the store's URL. */}}
{{- define "headrace.bucket" -}}
{{- (urlParse (include "headrace.storeUrl" .)).host -}}
{{- end }}
{{- define "headrace.prefix" -}}
{{- (urlParse (include "headrace.storeUrl" .)).path | trimAll "/" -}}
{{- end }}
{{- define "headrace.kfp.folder" -}}
{{- printf "%s/kfp" (include "headrace.prefix" .) | trimPrefix "/" -}}
{{- end }}
{{- define "headrace.endpoint" -}}
{{- include "headrace.storeEndpoint" . | default (printf "https://s3.%s.amazonaws.com" .Values.store.region) -}}
{{- end }}
{{- define "headrace.endpointHost" -}}{{- (urlParse (include "headrace.endpoint" .)).host -}}{{- end }}
{{- define "headrace.endpointIsPlain" -}}{{- eq (urlParse (include "headrace.endpoint" .)).scheme "http" -}}{{- end }}

{{/* A component's Deployment: `root`, `name`, `component`, `account`, `resources` and its `containers` and `volumes` as text. */}}
{{- define "headrace.kfp.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- if not .stateless }}
    {{ include "headrace.stopsForRestore" . }}
    {{- end }}
spec:
  replicas: 1
  {{- if .alone }}
  # Two at once would do everything twice.
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels:
      {{- include "headrace.kfp.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "headrace.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        checksum/config: {{ include (print .root.Template.BasePath "/kfp/config.yaml") .root | sha256sum }}
        checksum/store: {{ include "headrace.keysDigest" .root }}
    spec:
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: {{ not .silent }}
      {{- include "headrace.placed" .root | nindent 6 }}
      containers:
        {{- .containers | nindent 8 }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
{{- end }}

{{- define "headrace.kfp.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* An account and its role: `root`, `name`, `rules` as text, and whether it is to have the store. */}}
{{- define "headrace.kfp.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
  {{- if .store }}
  {{- with .root.Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - {kind: ServiceAccount, name: {{ .name }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* A token by which a controller proves to KFP's API server who it is. */}}
{{- define "headrace.kfp.token" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          path: {{ . }}
          expirationSeconds: 3600
          audience: pipelines.kubeflow.org
{{- end }}
