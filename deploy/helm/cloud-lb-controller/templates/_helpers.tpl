{{/* The name of everything. */}}
{{- define "clb.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "clb.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "clb.name" .) -}}
{{- end -}}

{{- define "clb.selector" -}}
app.kubernetes.io/name: cloud-lb-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "clb.labels" -}}
{{ include "clb.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* "true" if the provider in `name` was chosen. */}}
{{- define "clb.chose" -}}
{{- if has .name (splitList "," .root.Values.provider) }}true{{ end -}}
{{- end -}}

{{/* Fails in plain words where something is missing that cannot be guessed. */}}
{{- define "clb.check" -}}
{{- if not .Values.provider }}
{{- fail "provider is not set: who is to make load balancers? --set provider=bare or --set provider=aws" }}
{{- end }}
{{- if and (include "clb.chose" (dict "root" . "name" "aws")) (not .Values.aws.clusterName) }}
{{- fail "aws.clusterName is not set: provider aws recognises its load balancers by it; --set aws.clusterName=NAME" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is not set: no image is published; build one (deploy/image/Dockerfile) and --set image.repository=WHERE" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (eq (get .Values.config "leader-elect" | toString) "false") }}
{{- fail "config.leader-elect is false and replicas is more than 1: all of them would act; --set replicas=1" }}
{{- end }}
{{- end -}}

{{/* The program's configuration: the flags that were given, and those that follow from other values. */}}
{{- define "clb.config" -}}
{{- include "clb.check" . -}}
{{- $config := dict "cloud-provider" .Values.provider }}
{{- if include "clb.chose" (dict "root" . "name" "aws") }}
{{- $_ := set $config "cluster-name" .Values.aws.clusterName }}
{{- end }}
{{- $_ := set $config "leader-elect-resource-name" (include "clb.name" .) }}
{{- $_ := set $config "leader-elect-resource-namespace" .Release.Namespace }}
{{- toYaml (merge (deepCopy .Values.config) $config) -}}
{{- end -}}

{{- define "clb.elects" -}}
{{- if ne (get .Values.config "leader-elect" | toString) "false" }}true{{ end -}}
{{- end -}}

{{/* "true" if pools are read from the cluster. */}}
{{- define "clb.poolsInTheCluster" -}}
{{- if and (include "clb.chose" (dict "root" . "name" "bare")) (not (get .Values.config "bare-pools-file")) }}true{{ end -}}
{{- end -}}

{{/* What may be done with pools. */}}
{{- define "clb.poolRules" -}}
- apiGroups: [metallb.io]
  resources: [ipaddresspools]
  verbs: [list, watch]
{{- if ne (get .Values.config "bare-write-pool-status" | toString) "false" }}
- apiGroups: [metallb.io]
  resources: [ipaddresspools/status]
  verbs: [patch]
{{- end }}
{{- end -}}

{{- define "clb.port" -}}
{{- get .Values.config "http-address" | default "0.0.0.0:10258" | regexFind "[0-9]+$" -}}
{{- end -}}

{{- define "clb.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The seconds of a duration as the program's flags have it: 1h30m, 15s; what is below a second is left out. */}}
{{- define "clb.seconds" -}}
{{- $text := regexReplaceAll "[0-9]+ms" . "" -}}
{{- $hours := regexFind "[0-9]+h" $text | trimSuffix "h" | int -}}
{{- $minutes := regexFind "[0-9]+m" $text | trimSuffix "m" | int -}}
{{- $seconds := regexFind "[0-9]+s" $text | trimSuffix "s" | int -}}
{{- add (mul 3600 $hours) (mul 60 $minutes) $seconds -}}
{{- end -}}

{{/* Long enough for the calls in flight to end and for the Lease to be released. */}}
{{- define "clb.grace" -}}
{{- include "clb.seconds" (get .Values.config "drain-timeout" | default "30s") | int | add 15 -}}
{{- end -}}
