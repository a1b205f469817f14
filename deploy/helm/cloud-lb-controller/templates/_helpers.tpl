{{/* The name of everything. */}}
{{- define "clb.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "clb.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "clb.name" .) -}}
{{- end -}}

{{/* The name of what is no namespace's. Releases of one name may stand in several namespaces. */}}
{{- define "clb.clusterName" -}}
{{- $name := include "clb.name" . -}}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ printf "%s-%s" .Release.Namespace $name }}{{ end -}}
{{- end -}}

{{- define "clb.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "cloud-lb-controller" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The announcer's Pods: none of the controller's selectors finds them. */}}
{{- define "clb.announcerSelector" -}}
app.kubernetes.io/name: cloud-lb-announcer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "clb.labels" -}}
{{- with omit .Values.commonLabels "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- toYaml . }}
{{ end }}
{{- include "clb.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Annotations on an object: those on all, and its own in `own`. */}}
{{- define "clb.annotations" -}}
{{- with merge (deepCopy (.own | default dict)) .root.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The providers, with commas between: the value may be a list, which needs no backslash with --set. */}}
{{- define "clb.providers" -}}
{{- if kindIs "slice" .Values.provider }}{{ join "," .Values.provider }}{{ else }}{{ .Values.provider }}{{ end -}}
{{- end -}}

{{/* "true" if the provider in `name` was chosen. */}}
{{- define "clb.chose" -}}
{{- if has .name (splitList "," (include "clb.providers" .root)) }}true{{ end -}}
{{- end -}}

{{/* What other charts call values of this one. */}}
{{- define "clb.foreignNames" -}}
autoscaling: nothing here, since one replica acts; see replicas
clusterName: aws.clusterName
controller: what stands at the top of this chart's values, such as resources, tolerations and affinity
crds: bare.installDefinitions
defaultTags: config.aws-default-tags
extraEnv: env
extraVolumeMounts: volumeMounts
extraVolumes: volumes
frrk8s: a value of MetalLB's own chart, which brings the speaker
imagePullSecrets: image.pullSecrets
loadBalancerClass: config.bare-class or config.aws-class
logLevel: config.log-level
prometheus: metrics
region: config.aws-region
replicaCount: replicas
serviceMonitor: metrics.serviceMonitor
speaker: a value of MetalLB's own chart, which brings the speaker
strategy: updateStrategy
terminationGracePeriodSeconds: config.drain-timeout, from which it follows
vpcId: config.aws-vpc-id
{{- end -}}

{{/* Fails in plain words where something is missing that cannot be guessed. */}}
{{- define "clb.check" -}}
{{- range $theirs, $ours := include "clb.foreignNames" . | fromYaml }}
{{- if hasKey $.Values $theirs }}
{{- fail (printf "%s is a value of another chart; here it is %s" $theirs $ours) }}
{{- end }}
{{- end }}
{{- if not .Values.provider }}
{{- fail "provider is not set: who is to make load balancers? --set provider=bare or --set provider=aws" }}
{{- end }}
{{- if and (include "clb.chose" (dict "root" . "name" "aws")) (not .Values.aws.clusterName) }}
{{- fail "aws.clusterName is not set: provider aws recognises its load balancers by it; --set aws.clusterName=NAME" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is not set: no image is published; build one (deploy/image/Dockerfile) and --set image.repository=WHERE" }}
{{- end }}
{{- if regexMatch "^(127\\.|\\[::1\\]|localhost:)" (get .Values.config "http-address" | default "") }}
{{- fail "config.http-address is on loopback, where no probe reaches it: leave it away, or say [::]:PORT" }}
{{- end }}
{{- $namespaces := list (get .Values.config "leader-elect-resource-namespace") (get .Values.config "bare-pools-namespace") }}
{{- range $namespace := compact $namespaces }}
{{- /* Where a cluster can be asked at all. */ -}}
{{- if and (lookup "v1" "Namespace" "" "kube-system") (ne $namespace $.Release.Namespace) (not (lookup "v1" "Namespace" "" $namespace)) }}
{{- fail (printf "namespace %q is not there, and a role is to be made in it: kubectl create namespace %s" $namespace $namespace) }}
{{- end }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (eq (get .Values.config "leader-elect" | toString) "false") }}
{{- fail "config.leader-elect is false and replicas is more than 1: all of them would act; --set replicas=1" }}
{{- end }}
{{- end -}}

{{/* The program's configuration: the flags that were given, and those that follow from other values. */}}
{{- define "clb.config" -}}
{{- include "clb.check" . -}}
{{- $config := dict "cloud-provider" (include "clb.providers" .) }}
{{- if include "clb.chose" (dict "root" . "name" "aws") }}
{{- $_ := set $config "cluster-name" .Values.aws.clusterName }}
{{- end }}
{{- if .Values.announcer.enabled }}
{{- $_ := set $config "bare-announcer" "own" }}
{{- end }}
{{- $_ := set $config "leader-elect-resource-name" (include "clb.name" .) }}
{{- $_ := set $config "leader-elect-resource-namespace" .Release.Namespace }}
{{- toYaml (merge (deepCopy .Values.config) $config) -}}
{{- end -}}

{{/* The name of the configuration: with its content's hash, so that Pods of an older one read that as long as they run. */}}
{{- define "clb.configMap" -}}
{{- printf "%s-config-%s" (include "clb.name" .) (include "clb.config" . | sha256sum | trunc 10) -}}
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
{{- get .Values.config "http-address" | default "[::]:10258" | regexFind "[0-9]+$" -}}
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

{{/* How an endpoint is scraped: what was said of it, and nothing else. */}}
{{- define "clb.scrape" -}}
{{- range $field := list "interval" "scrapeTimeout" "honorLabels" "relabelings" "metricRelabelings" }}
{{- with get $ $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}
