//! Kinds that are stored as they come: nothing here acts on them, clients read and write them.

use std::sync::Arc;

use k8s_openapi::api::{apps, authorization, core, discovery, networking, policy, rbac};
use serde_json::{Value, json};

use super::{Strategy, decode_as};
use crate::apiserver::lists::{self, ListRule};
use crate::apiserver::object;
use crate::apiserver::request::Subresource;
use crate::apiserver::table::{Column, Table};

/// When `metadata.generation` rises.
#[derive(Clone, Copy, PartialEq)]
enum Generation {
    Unset,
    /// With any change of these parts.
    Counts(&'static [&'static str]),
}

struct Plain {
    decode: fn(&Value) -> Result<Value, String>,
    rule: fn(&[&str]) -> ListRule,
    generation: Generation,
    has_status: bool,
    creates_on_update: bool,
    prepare: fn(&mut Value),
    warning: Option<&'static str>,
    columns: fn() -> Vec<Column>,
    labels: &'static [(&'static str, &'static [&'static str])],
}

impl Plain {
    fn of<T: serde::de::DeserializeOwned + serde::Serialize>() -> Self {
        Self {
            decode: decode_as::<T>,
            rule: lists::common_rule,
            generation: Generation::Unset,
            has_status: false,
            creates_on_update: false,
            prepare: |_| {},
            warning: None,
            columns: Vec::new,
            labels: &[],
        }
    }
}

impl Strategy for Plain {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        (self.decode)(sent)
    }

    fn default(&self, object: &mut Value) {
        (self.prepare)(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status {
            object::as_map(object).insert("status".into(), json!({}));
        }
        if self.generation != Generation::Unset {
            object::set_meta(object, "generation", 1);
        }
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        match part {
            Subresource::Status => {
                let status = new.get("status").cloned().unwrap_or_else(|| json!({}));
                let metadata = new["metadata"].clone();
                *new = old.clone();
                new["metadata"] = metadata;
                new["status"] = status;
            }
            _ if self.has_status => object::copy_part(old, new, "status"),
            _ => {}
        }
        if let Generation::Counts(parts) = self.generation {
            let before = old["metadata"]["generation"].as_i64().unwrap_or(1);
            let follow = |v: &Value, path: &str| v.pointer(path).cloned();
            let changed = parts.iter().any(|path| follow(old, path) != follow(new, path));
            object::set_meta(new, "generation", before + i64::from(changed));
        }
    }

    fn warnings(&self, _object: &Value) -> Vec<String> {
        self.warning.map(str::to_owned).into_iter().collect()
    }

    fn creates_on_update(&self) -> bool {
        self.creates_on_update
    }

    fn list_rule(&self, path: &[&str]) -> ListRule {
        (self.rule)(path)
    }

    fn field_labels(&self) -> &[(&'static str, &'static [&'static str])] {
        self.labels
    }

    fn table(&self) -> Table {
        Table::new((self.columns)())
    }
}

pub(super) fn config_maps() -> Arc<dyn Strategy> {
    let columns = || vec![Column::new("Data", "integer", |o| count(o, "data").into()), Column::age()];
    Arc::new(Plain { columns, ..Plain::of::<core::v1::ConfigMap>() })
}

pub(super) fn secrets() -> Arc<dyn Strategy> {
    let columns = || {
        vec![
            Column::text("Type", |o| o["type"].as_str().unwrap_or_default().to_owned()),
            Column::new("Data", "integer", |o| count(o, "data").into()),
            Column::age(),
        ]
    };
    Arc::new(Plain { columns, prepare: fold_string_data, ..Plain::of::<core::v1::Secret>() })
}

/// `stringData` is for writing only: it goes into `data`.
fn fold_string_data(secret: &mut Value) {
    let map = object::as_map(secret);
    object::default_to(map, "type", "Opaque");
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    for (key, text) in texts {
        let bytes = k8s_openapi::ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        object::map_mut(secret, "data").insert(key, json!(bytes));
    }
}

pub(super) fn endpoints() -> Arc<dyn Strategy> {
    Arc::new(Plain {
        creates_on_update: true,
        warning: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        columns: || vec![Column::text("Endpoints", endpoint_list), Column::age()],
        ..Plain::of::<core::v1::Endpoints>()
    })
}

fn endpoint_list(endpoints: &Value) -> String {
    let mut found = Vec::new();
    for subset in object::list_at(endpoints, &["subsets"]) {
        for address in object::list_at(subset, &["addresses"]) {
            for port in object::list_at(subset, &["ports"]) {
                found.push(format!("{}:{}", address["ip"].as_str().unwrap_or_default(), port["port"]));
            }
        }
    }
    if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
}

pub(super) fn endpoint_slices() -> Arc<dyn Strategy> {
    Arc::new(Plain {
        generation: Generation::Counts(&["/endpoints", "/ports", "/metadata/labels"]),
        columns: || {
            let join =
                |values: Vec<String>| if values.is_empty() { "<unset>".to_owned() } else { values.join(",") };
            vec![
                Column::text("AddressType", |o| o["addressType"].as_str().unwrap_or_default().to_owned()),
                Column::text("Ports", move |o| {
                    join(object::list_at(o, &["ports"]).iter().map(|p| p["port"].to_string()).collect())
                }),
                Column::text("Endpoints", move |o| {
                    let all = object::list_at(o, &["endpoints"]).iter();
                    join(all.flat_map(|e| object::strings_at(e, &["addresses"])).map(str::to_owned).collect())
                }),
                Column::age(),
            ]
        },
        ..Plain::of::<discovery::v1::EndpointSlice>()
    })
}

pub(super) fn pods() -> Arc<dyn Strategy> {
    Arc::new(Plain {
        rule: lists::pod_rule,
        has_status: true,
        generation: Generation::Counts(&["/spec"]),
        columns: || {
            vec![
                Column::text("Ready", |o| {
                    let all = object::list_at(o, &["status", "containerStatuses"]);
                    let ready = all.iter().filter(|c| c["ready"] == true).count();
                    format!("{ready}/{}", object::list_at(o, &["spec", "containers"]).len())
                }),
                Column::text("Status", |o| {
                    object::str_at(o, &["status", "phase"]).unwrap_or("Pending").to_owned()
                }),
                Column::age(),
            ]
        },
        labels: &[
            ("spec.nodeName", &["spec", "nodeName"]),
            ("status.phase", &["status", "phase"]),
            ("spec.serviceAccountName", &["spec", "serviceAccountName"]),
        ],
        ..Plain::of::<core::v1::Pod>()
    })
}

pub(super) fn service_accounts() -> Arc<dyn Strategy> {
    let columns = || {
        vec![
            Column::new("Secrets", "integer", |o| object::list_at(o, &["secrets"]).len().into()),
            Column::age(),
        ]
    };
    Arc::new(Plain { rule: lists::service_account_rule, columns, ..Plain::of::<core::v1::ServiceAccount>() })
}

pub(super) fn deployments() -> Arc<dyn Strategy> {
    Arc::new(workload(
        || {
            vec![
                Column::text("Ready", |o| {
                    format!("{}/{}", number(o, "status", "readyReplicas"), number(o, "spec", "replicas"))
                }),
                Column::new("Up-to-date", "integer", |o| number(o, "status", "updatedReplicas").into()),
                Column::new("Available", "integer", |o| number(o, "status", "availableReplicas").into()),
                Column::age(),
            ]
        },
        Plain { prepare: default_replicas, ..Plain::of::<apps::v1::Deployment>() },
    ))
}

fn default_replicas(deployment: &mut Value) {
    object::default_to(object::map_mut(deployment, "spec"), "replicas", 1);
}

pub(super) fn daemon_sets() -> Arc<dyn Strategy> {
    Arc::new(workload(
        || {
            vec![
                Column::new("Desired", "integer", |o| number(o, "status", "desiredNumberScheduled").into()),
                Column::new("Ready", "integer", |o| number(o, "status", "numberReady").into()),
                Column::age(),
            ]
        },
        Plain::of::<apps::v1::DaemonSet>(),
    ))
}

fn workload(columns: fn() -> Vec<Column>, plain: Plain) -> Plain {
    Plain {
        rule: lists::pod_rule,
        has_status: true,
        generation: Generation::Counts(&["/spec"]),
        columns,
        ..plain
    }
}

pub(super) fn pod_disruption_budgets() -> Arc<dyn Strategy> {
    let columns = || {
        let limit = |field: &'static str| {
            Column::text(
                if field == "minAvailable" { "Min Available" } else { "Max Unavailable" },
                move |o| match &o["spec"][field] {
                    Value::Null => "N/A".to_owned(),
                    Value::String(share) => share.clone(),
                    count => count.to_string(),
                },
            )
        };
        vec![limit("minAvailable"), limit("maxUnavailable"), Column::age()]
    };
    Arc::new(Plain {
        has_status: true,
        generation: Generation::Counts(&["/spec"]),
        columns,
        ..Plain::of::<policy::v1::PodDisruptionBudget>()
    })
}

pub(super) fn network_policies() -> Arc<dyn Strategy> {
    Arc::new(Plain {
        generation: Generation::Counts(&["/spec"]),
        columns: || vec![Column::age()],
        ..Plain::of::<networking::v1::NetworkPolicy>()
    })
}

pub(super) fn roles() -> Arc<dyn Strategy> {
    Arc::new(Plain { columns: created_at, ..Plain::of::<rbac::v1::Role>() })
}

pub(super) fn cluster_roles() -> Arc<dyn Strategy> {
    Arc::new(Plain { columns: created_at, ..Plain::of::<rbac::v1::ClusterRole>() })
}

pub(super) fn role_bindings() -> Arc<dyn Strategy> {
    Arc::new(Plain { columns: bound_role, ..Plain::of::<rbac::v1::RoleBinding>() })
}

pub(super) fn cluster_role_bindings() -> Arc<dyn Strategy> {
    Arc::new(Plain { columns: bound_role, ..Plain::of::<rbac::v1::ClusterRoleBinding>() })
}

/// Answered by the server itself, and never stored.
pub(super) fn review() -> Arc<dyn Strategy> {
    Arc::new(Plain::of::<authorization::v1::SelfSubjectAccessReview>())
}

fn created_at() -> Vec<Column> {
    vec![Column::new("Created At", "date", |o| o["metadata"]["creationTimestamp"].clone())]
}

fn bound_role() -> Vec<Column> {
    let role = |o: &Value| {
        let text = |field: &str| o["roleRef"][field].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text("kind"), text("name"))
    };
    vec![Column::text("Role", role), Column::age()]
}

fn count(object: &Value, field: &str) -> usize {
    object[field].as_object().map_or(0, serde_json::Map::len)
}

fn number(object: &Value, part: &str, field: &str) -> i64 {
    object[part][field].as_i64().unwrap_or(0)
}
