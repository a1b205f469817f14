//! What is rendered is what Kubernetes knows: no field that it does not have, and an API server takes it.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tests::cluster::Cluster;

use super::process::{Access, finish};
use super::render::{ANNOUNCED, AWS, BARE, EVERYTHING, chart, chart_text, overlay, overlay_text, title};

/// The part of the Prometheus operator's kinds that the chart uses.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Monitor {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: MonitorSpec,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MonitorSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    job_label: Option<String>,
    selector: LabelSelector,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Endpoint {
    port: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrape_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    honor_labels: Option<bool>,
    #[serde(default)]
    relabelings: Vec<Value>,
    #[serde(default)]
    metric_relabelings: Vec<Value>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: RuleSpec,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    groups: Vec<Value>,
}

/// Reads an object as its type and writes it again: what the type does not have is lost on the way.
fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error} in {object:#}"));
    serde_json::to_value(typed).expect("JSON")
}

fn read_and_written(object: &Value) -> Value {
    let through = match object["kind"].as_str().expect("a kind") {
        "ClusterRole" => through::<ClusterRole>,
        "ClusterRoleBinding" => through::<ClusterRoleBinding>,
        "ConfigMap" => through::<ConfigMap>,
        "CustomResourceDefinition" => through::<CustomResourceDefinition>,
        "DaemonSet" => through::<DaemonSet>,
        "Deployment" => through::<Deployment>,
        "Namespace" => through::<Namespace>,
        "NetworkPolicy" => through::<NetworkPolicy>,
        "PodDisruptionBudget" => through::<PodDisruptionBudget>,
        "Role" => through::<Role>,
        "RoleBinding" => through::<RoleBinding>,
        "Secret" => through::<Secret>,
        "Service" => through::<Service>,
        "ServiceAccount" => through::<ServiceAccount>,
        "PrometheusRule" => through::<Rule>,
        "ServiceMonitor" | "PodMonitor" => through::<Monitor>,
        other => panic!("{other} is not among the kinds that the chart is known to make"),
    };
    through(object)
}

/// Without lists that are empty: not all types write them.
fn plain(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.values_mut().for_each(strip);
                map.retain(|_, inner| !inner.as_array().is_some_and(Vec::is_empty));
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            // 1 and 1.0 are one number.
            Value::Number(number) => *value = number.as_f64().into(),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

#[track_caller]
fn every_field_is_known(objects: &[DynamicObject]) {
    assert!(!objects.is_empty());
    for object in objects {
        let sent = serde_json::to_value(object).expect("JSON");
        assert_eq!(plain(read_and_written(&sent)), plain(sent), "{}", title(object));
    }
}

#[test]
fn every_field_is_one_that_its_kind_has() {
    let with_the_dashboard = [BARE, &["metrics.dashboard.enabled=true"]].concat();
    for values in [BARE, ANNOUNCED, AWS, EVERYTHING, &with_the_dashboard] {
        every_field_is_known(&chart(values));
    }
    for name in ["bare", "bare-announced", "aws"] {
        every_field_is_known(&overlay(name));
    }
}

/// `kubectl apply` of a text, on trial.
async fn try_out(cluster: &Cluster, text: &str) {
    let access = Access::to(&cluster.plane);
    let file = access.file("objects.yaml", text);
    let mut kubectl = access.kubectl();
    kubectl.args(["apply", "--server-side", "--dry-run=server", "-f"]).arg(file);
    let said = finish(kubectl).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let taken =
        said.output.lines().filter(|line| line.ends_with("serverside-applied (server dry run)")).count();
    assert_eq!(taken, text.matches("\nkind: ").count(), "{said:?}");
}

/// What is in the cluster before: the namespaces, and the Prometheus operator's definitions.
fn before() -> String {
    let namespaces = ["cloud-lb-controller", "metallb-system"].map(|name| {
        format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}"
        )
    });
    let definitions = ["ServiceMonitor", "PodMonitor", "PrometheusRule"].map(|kind| {
        let singular = kind.to_lowercase();
        format!(
            "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {singular}s.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{plural: {singular}s, singular: {singular}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}"
        )
    });
    namespaces.into_iter().chain(definitions).collect::<Vec<_>>().join("\n---")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_takes_all_of_it() {
    let cluster = Cluster::start().await;
    super::process::apply(&cluster, &before()).await;
    for values in [BARE, ANNOUNCED, AWS, EVERYTHING] {
        try_out(&cluster, &chart_text(values)).await;
    }
    for name in ["bare", "bare-announced", "aws"] {
        try_out(&cluster, &overlay_text(name)).await;
    }
}
