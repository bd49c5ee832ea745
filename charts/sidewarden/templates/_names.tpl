{{/* The name of everything in the operator's namespace, the Service that webhooks and sidecars use among it. */}}
{{- define "sidewarden.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* The name of what has no namespace: two releases in one cluster do not meet. */}}
{{- define "sidewarden.clusterName" -}}
{{- printf "%s-%s" (include "sidewarden.name" .) .Release.Namespace | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sidewarden.selector" -}}
app.kubernetes.io/name: sidewarden
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "sidewarden.labels" -}}
{{ include "sidewarden.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sidewarden.image" -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end }}
