{{/* Backups. One program copies the store; before it, programs of the databases' own images dump or
load what is in them. */}}

{{- define "headrace.backup" -}}headrace-backup{{- end }}
{{- define "headrace.restore" -}}headrace-restore{{- end }}

{{/* Who keeps its state in what is restored, and so is stopped meanwhile: a label of Deployments. */}}
{{- define "headrace.stopsForRestore" -}}headrace.dev/restore: stopped{{- end }}

{{/* The pod: `root`, its `name`, `what` our program is to do (empty: whoever makes the pod says it),
`fetches` dumps or not, and the scripts `postgres` and `mysql`. */}}
{{- define "headrace.backupPod" -}}
metadata:
  labels:
    {{- include "headrace.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    {{- with .what }}
    headrace.dev/chore: {{ . }}
    {{- end }}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  serviceAccountName: {{ include "headrace.client" .root }}
  {{- include "headrace.placed" .root | nindent 2 }}
  {{- with include "headrace.backupDatabases" . | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "headrace.backupProgram" (dict "root" .root "name" "headrace" "what" .what) | nindent 4 }}
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: work, emptyDir: {}}
{{- end }}

{{/* The containers before it, in their order. */}}
{{- define "headrace.backupDatabases" -}}
{{- $values := .root.Values -}}
{{- $mlflow := and $values.mlflow.enabled (or $values.postgres.enabled $values.mlflow.database.existingSecret) -}}
{{- if and .fetches (or $mlflow $values.kfp.enabled) }}
{{ include "headrace.backupProgram" (dict "root" .root "name" "fetch" "what" "fetch") }}
{{- end }}
{{- if $mlflow }}
- name: mlflow-database
  image: {{ include "headrace.foreign" (list .root "postgres") }}
  command: [sh, -c]
  args:
    - |
      set -eu
      mkdir -p /work/dumps
      {{- include "headrace.backupPatience" . | nindent 6 }}
      # The URL may name SQLAlchemy's driver.
      url=$(printf %s "$MLFLOW_BACKEND_STORE_URI" | sed 's|^postgresql+[a-z0-9]*:|postgresql:|')
      patiently pg_isready --quiet --dbname="$url"
      {{- .postgres | nindent 6 }}
  env:
    {{- include "headrace.mlflowDatabase" .root | nindent 4 }}
  {{- include "headrace.backupConfined" .root | nindent 2 }}
{{- end }}
{{- if $values.kfp.enabled }}
- name: kfp-databases
  image: {{ include "headrace.foreign" (list .root "mysql") }}
  command: [sh, -c]
  args:
    - |
      set -eu
      mkdir -p /work/dumps
      {{- include "headrace.backupPatience" . | nindent 6 }}
      export MYSQL_PWD="$DATABASE_PASSWORD"
      # KFP's programs do not look at certificates either.
      reach="--host=$DATABASE_HOST --port={{ $values.kfp.database.port }} --user=$DATABASE_USER --skip-ssl-verify-server-cert"
      patiently mariadb-admin $reach --connect-timeout=5 --silent ping
      {{- .mysql | nindent 6 }}
  env:
    - {name: DATABASE_HOST, value: {{ include "headrace.kfp.databaseHost" .root | quote }}}
    {{- include "headrace.kfp.databaseLogin" (dict "root" .root "user" "DATABASE_USER" "password" "DATABASE_PASSWORD") | nindent 4 }}
  {{- include "headrace.backupConfined" .root | nindent 2 }}
{{- end }}
{{- end }}

{{/* A network may let a pod through only some seconds after it has begun. */}}
{{- define "headrace.backupPatience" -}}
patiently() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 30 ]; then echo "the database does not answer" >&2; return 1; fi
    sleep 2
  done
}
{{- end }}

{{/* A container of ours: `root`, its `name`, and `what` it is to do. */}}
{{- define "headrace.backupProgram" -}}
{{- $backup := .root.Values.backup -}}
- name: {{ .name }}
  image: {{ required "images.python is missing: images/build.py writes what to put there" .root.Values.images.python }}
  command: [python, -m, headrace.operating.safekeeping]
  args:
    - --to={{ $backup.to | trimSuffix "/" }}
    - --endpoint={{ include "headrace.backupEndpoint" .root }}
    - --region={{ include "headrace.backupRegion" .root }}
    - --keep={{ int $backup.keep }}
    {{- with .what }}
    - {{ . }}
    {{- end }}
  env:
    - {name: HOME, value: /work}
    {{- include "headrace.storeKeys" .root | nindent 4 }}
    {{- include "headrace.backupKeys" ($backup.existingSecret | default (include "headrace.secret" .root)) | nindent 4 }}
  {{- include "headrace.backupConfined" .root | nindent 2 }}
{{- end }}

{{- define "headrace.backupConfined" -}}
resources:
  requests: {cpu: 50m, memory: 256Mi}
  limits: {memory: 1Gi}
securityContext:
  {{- include "headrace.confined" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: work, mountPath: /work}
{{- end }}

{{/* The service that backups go to: one of its own, or the store's. */}}
{{- define "headrace.backupEndpoint" -}}
{{- ternary .Values.backup.endpoint (include "headrace.storeEndpoint" .) (ne .Values.backup.existingSecret "") -}}
{{- end }}
{{- define "headrace.backupRegion" -}}
{{- .Values.backup.region | default .Values.store.region -}}
{{- end }}

{{/* Its keys, as variables of a container, from the Secret that is given; nothing without one. */}}
{{- define "headrace.backupKeys" -}}
{{- $secret := . -}}
{{- if $secret -}}
{{- range list "ACCESS_KEY_ID" "SECRET_ACCESS_KEY" }}
- name: BACKUP_{{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: AWS_{{ . }}}
{{- end }}
{{- end -}}
{{- end }}
