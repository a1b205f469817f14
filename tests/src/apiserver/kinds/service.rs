//! Services: what is filled in, and what a change of type takes along.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value, json};

use super::{Strategy, decode_as, service_status, service_validation};
use crate::apiserver::lists::{self, ListRule};
use crate::apiserver::object::{self, as_map, default_to, list_at, map_mut, str_at};
use crate::apiserver::request::Subresource;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table};

pub(super) struct Services;

impl Strategy for Services {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        decode_as::<core::Service>(sent)
    }

    fn default(&self, service: &mut Value) {
        let spec = map_mut(service, "spec");
        // The fields that are never written out empty; an empty class, in contrast, is kept.
        spec.retain(|key, value| match value {
            Value::String(text) => !text.is_empty() || key == "loadBalancerClass",
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::Bool(flag) => *flag || key != "publishNotReadyAddresses",
            Value::Number(n) => n.as_i64() != Some(0),
            Value::Null => false,
        });
        default_to(spec, "type", "ClusterIP");
        default_to(spec, "sessionAffinity", "None");
        match spec["sessionAffinity"].as_str() {
            Some("ClientIP") => {
                let config = as_map(spec.entry("sessionAffinityConfig").or_insert(Value::Null));
                let client = as_map(config.entry("clientIP").or_insert(Value::Null));
                default_to(client, "timeoutSeconds", 10_800);
            }
            Some("None") => drop(spec.remove("sessionAffinityConfig")),
            _ => {}
        }
        let kind = spec["type"].as_str().unwrap_or_default().to_owned();
        if needs_node_port(&kind) || spec.contains_key("externalIPs") {
            default_to(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind != "ExternalName" {
            default_to(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default_to(spec, "allocateLoadBalancerNodePorts", true);
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            default_port(as_map(port));
        }
        service_status::default(service);
    }

    fn prepare_create(&self, service: &mut Value) {
        service["status"] = json!({"loadBalancer": {}});
        let spec = map_mut(service, "spec");
        match (spec.contains_key("clusterIPs"), spec.get("clusterIP").cloned()) {
            (false, Some(ip)) => drop(spec.insert("clusterIPs".into(), json!([ip]))),
            (true, None) => drop(spec.insert("clusterIP".into(), spec["clusterIPs"][0].clone())),
            _ => {}
        }
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        if part == Subresource::Status {
            object::copy_part(old, new, "spec");
            return;
        }
        object::copy_part(old, new, "status");
        let kept = old["spec"].as_object().cloned().unwrap_or_default();
        let spec = map_mut(new, "spec");
        follow_cluster_ip(&kept, spec);
        refill(&kept, spec);
        drop_by_type(&kept, spec);
        if spec["type"] != "LoadBalancer" {
            map_mut(new, "status").insert("loadBalancer".into(), json!({}));
        }
    }

    fn validate_create(&self, service: &Value) -> Vec<FieldError> {
        service_validation::validate(service)
    }

    fn validate_update(&self, old: &Value, new: &Value, part: Subresource) -> Vec<FieldError> {
        match part {
            Subresource::Status => service_status::validate(new),
            _ => service_validation::validate_update(old, new),
        }
    }

    fn warnings(&self, service: &Value) -> Vec<String> {
        let spec = &service["spec"];
        let mut found = Vec::new();
        if spec.get("externalIPs").is_some() {
            found.push("spec.externalIPs is deprecated in v1.36+ and will be disabled by default".to_owned());
        }
        if spec["trafficDistribution"] == "PreferClose" {
            found.push("spec.trafficDistribution: PreferClose is deprecated; use PreferSameZone".to_owned());
        }
        found
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn answers_delete_with_object(&self) -> bool {
        true
    }

    fn list_rule(&self, path: &[&str]) -> ListRule {
        lists::service_rule(path)
    }

    fn field_labels(&self) -> &[(&'static str, &'static [&'static str])] {
        &[("spec.clusterIP", &["spec", "clusterIP"]), ("spec.type", &["spec", "type"])]
    }

    fn table(&self) -> Table {
        let spec =
            |field: &'static str| move |o: &Value| str_at(o, &["spec", field]).unwrap_or("<none>").to_owned();
        Table::new(vec![
            Column::text("Type", spec("type")),
            Column::text("Cluster-IP", spec("clusterIP")),
            Column::text("External-IP", external_ip),
            Column::text("Port(s)", ports),
            Column::age(),
            Column::text("Selector", selector).wide(),
        ])
    }
}

pub(super) fn needs_node_port(kind: &str) -> bool {
    kind == "NodePort" || kind == "LoadBalancer"
}

pub(super) fn is_headless(spec: &Value) -> bool {
    spec["clusterIP"] == "None" || list_at(spec, &["clusterIPs"]).first().is_some_and(|ip| ip == "None")
}

fn default_port(port: &mut Map<String, Value>) {
    port.retain(|key, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(n) => n.as_i64() != Some(0) || key == "port",
        _ => true,
    });
    default_to(port, "protocol", "TCP");
    if let Some(number) = port.get("port").cloned() {
        default_to(port, "targetPort", number);
    }
}

/// The single address and the list of addresses say the same: whichever the client changed wins.
fn follow_cluster_ip(old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let changed = |field: &str| old.get(field) != new.get(field);
    match (changed("clusterIP"), changed("clusterIPs")) {
        (true, false) => match new.get("clusterIP").cloned() {
            None => drop(new.remove("clusterIPs")),
            Some(ip) => match new.get_mut("clusterIPs").and_then(Value::as_array_mut) {
                Some(all) if !all.is_empty() => all[0] = ip,
                _ => drop(new.insert("clusterIPs".into(), json!([ip]))),
            },
        },
        (false, true) if !new.contains_key("clusterIPs") => drop(new.remove("clusterIP")),
        (false, true) => drop(new.insert("clusterIP".into(), new["clusterIPs"][0].clone())),
        _ => {}
    }
}

/// What the client left out of the allocated values stays as it was.
fn refill(old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let kinds = |spec: &Map<String, Value>| spec["type"].as_str().unwrap_or_default().to_owned();
    let (before, after) = (kinds(old), kinds(new));
    if before != "ExternalName" && after != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old.get(field) {
                default_to(new, field, value.clone());
            }
        }
        // A change of the policy, or of the families, alone must not be undone by the other.
        let same_policy = new.get("ipFamilyPolicy").is_none_or(|p| old.get("ipFamilyPolicy") == Some(p));
        for field in ["ipFamilyPolicy", "ipFamilies"] {
            if let Some(value) = old.get(field).filter(|_| same_policy) {
                default_to(new, field, value.clone());
            }
        }
    }
    if needs_node_port(&before) && needs_node_port(&after) {
        let by_name: Vec<(Value, Value)> = ports_of(old)
            .filter_map(|p| Some((p.get("name").cloned().unwrap_or_default(), p.get("nodePort")?.clone())))
            .collect();
        for port in new.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = port.get("name").cloned().unwrap_or_default();
            if let Some((_, number)) = by_name.iter().find(|(n, _)| *n == name) {
                default_to(as_map(port), "nodePort", number.clone());
            }
        }
    }
    if needs_health_check(old)
        && needs_health_check(new)
        && let Some(port) = old.get("healthCheckNodePort")
    {
        default_to(new, "healthCheckNodePort", port.clone());
    }
}

pub(super) fn needs_health_check(spec: &Map<String, Value>) -> bool {
    spec.get("type").is_some_and(|t| t == "LoadBalancer")
        && spec.get("externalTrafficPolicy").is_some_and(|p| p == "Local")
}

fn ports_of(spec: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    spec.get("ports").and_then(Value::as_array).into_iter().flatten()
}

/// Fields that only the old type had go, unless the client touched them: then validation speaks up.
fn drop_by_type(old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let (before, after) = (old["type"].clone(), new["type"].clone());
    let mut drop_same = |fields: &[&str]| {
        let same = |field: &&&str| old.get(**field) == new.get(**field);
        for field in fields.iter().filter(same).copied().collect::<Vec<_>>() {
            new.remove(field);
        }
    };
    if before != "ExternalName" && after == "ExternalName" {
        drop_same(&["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    if before == "ExternalName" && after != "ExternalName" {
        drop_same(&["externalName"]);
    }
    if before == "LoadBalancer" && after != "LoadBalancer" {
        drop_same(&["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if needs_health_check(old)
        && !needs_health_check(new)
        && old.get("healthCheckNodePort") == new.get("healthCheckNodePort")
    {
        new.remove("healthCheckNodePort");
    }
    let external = |spec: &Map<String, Value>| {
        needs_node_port(spec["type"].as_str().unwrap_or_default()) || spec.contains_key("externalIPs")
    };
    if external(old) && !external(new) && old.get("externalTrafficPolicy") == new.get("externalTrafficPolicy")
    {
        new.remove("externalTrafficPolicy");
    }
    let node_ports = |spec: &Map<String, Value>| -> Vec<Value> {
        ports_of(spec).filter_map(|p| p.get("nodePort").cloned()).collect()
    };
    let keeps = |kind: &Value| needs_node_port(kind.as_str().unwrap_or_default());
    if keeps(&before) && !keeps(&after) && node_ports(old) == node_ports(new) {
        for port in new.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            as_map(port).remove("nodePort");
        }
    }
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let given = object::strings_at(spec, &["externalIPs"]);
    let mut all: Vec<&str> = match spec["type"].as_str() {
        Some("ExternalName") => return str_at(spec, &["externalName"]).unwrap_or("<none>").to_owned(),
        Some("LoadBalancer") => list_at(service, &["status", "loadBalancer", "ingress"])
            .iter()
            .filter_map(|i| str_at(i, &["ip"]).or_else(|| str_at(i, &["hostname"])))
            .collect(),
        _ => Vec::new(),
    };
    all.extend(given);
    match (all.is_empty(), spec["type"] == "LoadBalancer") {
        (true, true) => "<pending>".to_owned(),
        (true, false) => "<none>".to_owned(),
        (false, _) => all.join(","),
    }
}

fn ports(service: &Value) -> String {
    let one = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port.get("nodePort") {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    let all: Vec<String> = list_at(service, &["spec", "ports"]).iter().map(one).collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}

fn selector(service: &Value) -> String {
    let all: Vec<String> = service["spec"]["selector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}
