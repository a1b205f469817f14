//! Nodes.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, decode_as};
use crate::apiserver::lists::{self, ListRule};
use crate::apiserver::object::{self, as_map, default_to, list_at, map_mut, str_at};
use crate::apiserver::request::Subresource;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table};

pub(super) struct Nodes;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const ROLE: &str = "node-role.kubernetes.io/";

impl Strategy for Nodes {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        decode_as::<core::Node>(sent)
    }

    fn default(&self, node: &mut Value) {
        map_mut(node, "spec").retain(|_, v| {
            !v.is_null()
                && v != &json!(false)
                && v.as_str() != Some("")
                && v.as_array().is_none_or(|l| !l.is_empty())
        });
        let status = map_mut(node, "status");
        default_to(status, "daemonEndpoints", json!({"kubeletEndpoint": {"Port": 0}}));
        let info = as_map(status.entry("nodeInfo").or_insert(Value::Null));
        let known = [
            "architecture",
            "bootID",
            "containerRuntimeVersion",
            "kernelVersion",
            "kubeProxyVersion",
            "kubeletVersion",
            "machineID",
            "operatingSystem",
            "osImage",
            "systemUUID",
        ];
        for field in known {
            info.entry(field).or_insert_with(|| "".into());
        }
    }

    fn prepare_create(&self, node: &mut Value) {
        let spec = map_mut(node, "spec");
        let mut taints = spec.get("taints").and_then(Value::as_array).cloned().unwrap_or_default();
        if !taints.iter().any(|t| t["key"] == NOT_READY && t["effect"] == "NoSchedule") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        spec.insert("taints".into(), taints.into());
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        let kept = if part == Subresource::Status { "spec" } else { "status" };
        object::copy_part(old, new, kept);
    }

    fn validate_update(&self, old: &Value, new: &Value, _part: Subresource) -> Vec<FieldError> {
        let id = |node: &Value| str_at(node, &["spec", "providerID"]).unwrap_or_default().to_owned();
        let (before, after) = (id(old), id(new));
        if before.is_empty() || before == after {
            return Vec::new();
        }
        vec![FieldError::forbidden(
            "spec.providerID",
            "node updates may not change providerID except from \"\" to valid",
        )]
    }

    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn list_rule(&self, path: &[&str]) -> ListRule {
        lists::node_rule(path)
    }

    fn field_labels(&self) -> &[(&'static str, &'static [&'static str])] {
        &[("spec.unschedulable", &["spec", "unschedulable"])]
    }

    fn table(&self) -> Table {
        let info = |field: &'static str| {
            move |o: &Value| str_at(o, &["status", "nodeInfo", field]).unwrap_or("<unknown>").to_owned()
        };
        let address = |kind: &'static str| {
            move |o: &Value| {
                let all = list_at(o, &["status", "addresses"]);
                let found = all.iter().find(|a| a["type"] == kind).and_then(|a| a["address"].as_str());
                found.unwrap_or("<none>").to_owned()
            }
        };
        Table::new(vec![
            Column::text("Status", state),
            Column::text("Roles", roles),
            Column::age(),
            Column::text("Version", |o| {
                str_at(o, &["status", "nodeInfo", "kubeletVersion"]).unwrap_or_default().to_owned()
            }),
            Column::text("Internal-IP", address("InternalIP")).wide(),
            Column::text("External-IP", address("ExternalIP")).wide(),
            Column::text("OS-Image", info("osImage")).wide(),
            Column::text("Kernel-Version", info("kernelVersion")).wide(),
            Column::text("Container-Runtime", info("containerRuntimeVersion")).wide(),
        ])
    }
}

fn state(node: &Value) -> String {
    let ready = list_at(node, &["status", "conditions"]).iter().find(|c| c["type"] == "Ready");
    let mut words = vec![match ready.map(|c| c["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }];
    if node["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let all: Vec<&str> =
        labels.filter_map(|(key, _)| key.strip_prefix(ROLE)).filter(|r| !r.is_empty()).collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}
