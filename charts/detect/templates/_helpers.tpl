{{/* Names, labels and the security context that all pods share. */}}

{{- define "detect.labels" -}}
{{ include "detect.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "detect.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "detect.metadata" -}}
name: {{ .root.Release.Name }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "detect.labels" . | nindent 2 }}
{{- end }}

{{- define "detect.image" -}}
{{ with .root.Values.registry }}{{ . }}/{{ end }}{{ .image }}:{{ .root.Values.imageTag | default .root.Chart.AppVersion }}
{{- end }}

{{/* enableServiceLinks: a Service's variables would be read as settings. */}}
{{- define "detect.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 65532 }}
  runAsGroup: {{ .user | default 65532 }}
  fsGroup: {{ .user | default 65532 }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "detect.hardened" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on as many nodes as there are. */}}
{{- define "detect.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "detect.selector" . | nindent 8 }}
{{- end }}

{{- define "detect.deadline" -}}
{{ .Values.gateway.settings.DETECT_DEADLINE_S | default 10 }}
{{- end }}
