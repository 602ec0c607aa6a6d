{{/* Releases may have dots in their names; Services may not. So `a.b` and `a-b` cannot both be in one namespace: Helm refuses the second. */}}
{{- define "driftkv.name" -}}
{{- if contains "driftkv" .Release.Name -}}
{{ printf "%s-operator" (.Release.Name | replace "." "-") | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-driftkv-operator" (.Release.Name | replace "." "-") | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "driftkv.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The namespaces that are watched, as JSON; none: all. */}}
{{- define "driftkv.namespaces" -}}
{{- if eq .Values.watch.scope "cluster" -}}
[]
{{- else -}}
{{ .Values.watch.namespaces | default (list .Release.Namespace) | toJson }}
{{- end -}}
{{- end -}}

{{- define "driftkv.selector" -}}
app.kubernetes.io/name: driftkv-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "driftkv.labels" -}}
{{ include "driftkv.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Where `helm test` makes its cluster: a namespace that the operator watches. */}}
{{- define "driftkv.testNamespace" -}}
{{ include "driftkv.namespaces" . | fromJsonArray | first | default .Release.Namespace }}
{{- end -}}

{{/* The name of that cluster: one for each release, so that what a test that was cut off left is found by the next. */}}
{{- define "driftkv.testCluster" -}}
selftest-{{ printf "%s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 8 }}
{{- end -}}

{{/* Not the operator's selector: a test's pod is no operator. */}}
{{- define "driftkv.testLabels" -}}
app.kubernetes.io/name: driftkv-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What the operator does with the objects of its clusters. */}}
{{- define "driftkv.rules" -}}
- apiGroups: [driftkv.io]
  resources: [kvclusters]
  verbs: [get, list, watch]
- apiGroups: [driftkv.io]
  resources: [kvclusters/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# The admin token of each cluster: made, rotated, never listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update]
{{- if .Values.chaos.enabled }}
# Whether a namespace allows experiments, by its label.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
