{{/* Headrace's own command line in a pod of this namespace. */}}

{{- define "headrace.client" -}}headrace-client{{- end }}

{{/* Such a pod: `root`, the `arguments` of `headrace` as text. */}}
{{- define "headrace.clientPod" -}}
restartPolicy: Never
serviceAccountName: {{ include "headrace.client" .root }}
{{- include "headrace.placed" .root | nindent 0 }}
containers:
  - name: headrace
    image: {{ required "images.python is missing: images/build.py writes what to put there" .root.Values.images.python }}
    command: [headrace]
    args: {{ .arguments }}
    env:
      - {name: KUBECONFIG, value: /given/kubeconfig}
      - {name: HEADRACE_HOME, value: /work/home}
      - {name: HOME, value: /work}
      {{- include "headrace.storeKeys" .root | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 256Mi}
      limits: {memory: 1Gi}
    securityContext:
      {{- include "headrace.confined" .root | nindent 6 }}
    volumeMounts:
      - {name: given, mountPath: /given}
      - {name: tmp, mountPath: /tmp}
      - {name: work, mountPath: /work}
volumes:
  - {name: given, configMap: {name: {{ include "headrace.client" .root }}}}
  - {name: tmp, emptyDir: {}}
  - {name: work, emptyDir: {}}
{{- end }}
