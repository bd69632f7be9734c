{{/* How MLflow's server reaches its database, as variables of a container. */}}
{{- define "headrace.mlflowDatabase" -}}
{{- $database := .Values.mlflow.database -}}
{{- $postgres := and .Values.postgres.enabled (not $database.existingSecret) -}}
{{- if $postgres }}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "headrace.postgres" . }}, key: password}
{{- end }}
- name: MLFLOW_BACKEND_STORE_URI
  {{- if $postgres }}
  value: postgresql://mlflow:$(POSTGRES_PASSWORD)@{{ include "headrace.postgres" . }}:5432/mlflow
  {{- else if $database.existingSecret }}
  valueFrom:
    secretKeyRef: {name: {{ $database.existingSecret }}, key: {{ $database.key }}}
  {{- else }}
  value: sqlite:////data/mlflow.db
  {{- end }}
{{- end }}
