//! Rendering the chart and the kustomization with the tools that users have.

use std::process::{Command, Output, Stdio};

use kube::api::DynamicObject;
use serde_json::Value;
use tests::kubectl::INSTALL;
use tests::programs;
use tests::rights::INSTALLED_AS;
use tests::sandbox::manifests;

use super::process::{Said, WORKSPACE};

/// What must be set for each provider, and nothing else.
pub(crate) const BARE: &[&str] = &["provider=bare", "image.repository=cloud-lb-controller"];
pub(crate) const AWS: &[&str] =
    &["provider=aws", "aws.clusterName=my-cluster", "image.repository=cloud-lb-controller"];
/// With announcers, by a key of the installer's.
pub(crate) const ANNOUNCED: &[&str] = &[
    "provider=bare",
    "image.repository=cloud-lb-controller",
    "announcer.enabled=true",
    "announcer.existingSecret=cloud-lb-controller-announcer-key",
];

/// All that can be switched on.
pub(crate) const EVERYTHING: &[&str] = &[
    "provider={bare,aws}",
    "aws.clusterName=my-cluster",
    "aws.roleArn=arn:aws:iam::111122223333:role/nlb",
    "image.repository=example.com/clb",
    "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "image.pullSecrets[0].name=puller",
    "replicas=3",
    "serviceAccount.name=other",
    "serviceAccount.annotations.example\\.com/a=b",
    "rbac.doctor=true",
    "config.delete-orphans=true",
    "config.bare-pools-namespace=metallb-system",
    "config.drain-timeout=1h2m3s4ms",
    "config.http-address=[::]:9000",
    "config.aws-default-tags={team=web,stage=test}",
    "topologySpreadConstraints[0].maxSkew=1",
    "topologySpreadConstraints[0].topologyKey=rack",
    "topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
    "nodeSelector.pool=system",
    "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=rack",
    "tolerations[0].operator=Exists",
    "podAnnotations.example\\.com/c=d",
    "podLabels.team=network",
    "env[0].name=HTTPS_PROXY",
    "env[0].value=http://proxy:3128",
    "volumes[0].name=pools",
    "volumes[0].configMap.name=pools",
    "volumeMounts[0].name=pools",
    "volumeMounts[0].mountPath=/pools",
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.interval=30s",
    "metrics.serviceMonitor.labels.release=prometheus",
    "metrics.serviceMonitor.scrapeTimeout=5s",
    "metrics.serviceMonitor.jobLabel=job",
    "metrics.serviceMonitor.honorLabels=true",
    "metrics.serviceMonitor.annotations.a=b",
    "metrics.serviceMonitor.relabelings[0].action=labelmap",
    "metrics.serviceMonitor.metricRelabelings[0].action=labelmap",
    "metrics.podMonitor.enabled=true",
    "metrics.prometheusRule.enabled=true",
    "metrics.prometheusRule.labels.release=prometheus",
    "metrics.podMonitor.interval=30s",
    "commonLabels.cost=network",
    "commonAnnotations.example\\.com/owner=network",
    "deploymentAnnotations.example\\.com/e=f",
    "nameOverride=lb",
    "updateStrategy.type=RollingUpdate",
    "updateStrategy.rollingUpdate.maxSurge=1",
    "minReadySeconds=10",
    "revisionHistoryLimit=3",
    "podDisruptionBudget.minAvailable=1",
    "podDisruptionBudget.unhealthyPodEvictionPolicy=IfHealthyBudget",
    "podSecurityContext.runAsUser=null",
    "securityContext.privileged=false",
    "livenessProbe.initialDelaySeconds=5",
    "readinessProbe.successThreshold=1",
    "hostNetwork=true",
    "envFrom[0].secretRef.name=proxy",
    "extraContainers[0].name=sidecar",
    "extraContainers[0].image=example.com/sidecar",
    "announcer.enabled=true",
    "announcer.config.log-level=debug",
    "networkPolicy.enabled=true",
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
];

/// Runs Helm in a folder of its own, so that nobody's settings count.
pub(crate) fn helm(arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(programs::helm());
    command.args(arguments).env_clear().env("HOME", home.path()).current_dir(WORKSPACE);
    said(command)
}

/// Runs kubectl.
pub(crate) fn kubectl(arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = tests::kubectl::kubectl(home.path());
    command.args(arguments).current_dir(WORKSPACE);
    said(command)
}

fn said(mut command: Command) -> Said {
    let name = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        output.unwrap_or_else(|error| panic!("{}: {error}; {INSTALL}", name.display()));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: status.code(), output: text(stdout), errors: text(stderr) }
}

/// What `helm template` says with these values.
pub(crate) fn template(values: &[&str], more: &[&str]) -> Said {
    let mut arguments =
        vec!["template", INSTALLED_AS, "deploy/helm/cloud-lb-controller", "--namespace", INSTALLED_AS];
    arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
    arguments.extend(more);
    helm(&arguments)
}

/// The chart's objects as text.
#[track_caller]
pub(crate) fn chart_text(values: &[&str]) -> String {
    let said = template(values, &[]);
    assert_eq!(said.code, Some(0), "{values:?}: {}", said.errors);
    said.output
}

/// The chart's objects.
#[track_caller]
pub(crate) fn chart(values: &[&str]) -> Vec<DynamicObject> {
    objects(&chart_text(values))
}

/// An overlay's objects as text.
#[track_caller]
pub(crate) fn overlay_text(name: &str) -> String {
    let said = kubectl(&["kustomize", &format!("deploy/kustomize/overlays/{name}")]);
    assert_eq!(said.code, Some(0), "{name}: {}", said.errors);
    said.output
}

/// An overlay's objects.
#[track_caller]
pub(crate) fn overlay(name: &str) -> Vec<DynamicObject> {
    objects(&overlay_text(name))
}

/// The objects of what was rendered.
pub(crate) fn objects(text: &str) -> Vec<DynamicObject> {
    manifests::parse(text, "what was rendered").expect("objects")
}

/// Kind and name: `Role cloud-lb-controller-leader`.
pub(crate) fn title(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("", |types| &types.kind);
    format!("{kind} {}", object.metadata.name.as_deref().unwrap_or_default())
}

/// The only object of a kind, as JSON.
#[track_caller]
pub(crate) fn only(objects: &[DynamicObject], kind: &str) -> Value {
    let mut found = objects.iter().filter(|object| object.types.as_ref().is_some_and(|t| t.kind == kind));
    let (Some(object), None) = (found.next(), found.next()) else {
        panic!("not one {kind} among {:?}", objects.iter().map(title).collect::<Vec<_>>());
    };
    serde_json::to_value(object).expect("JSON")
}

/// The program's configuration among rendered objects.
#[track_caller]
pub(crate) fn configuration(objects: &[DynamicObject]) -> String {
    only(objects, "ConfigMap")["data"]["config.yaml"].as_str().expect("a file").to_owned()
}
