//! What the server tells about what it serves.

use serde_json::{Map, Value, json};

use super::kinds::Resource;
use super::object;
use super::state::State;

/// The version that the server says it is. The newest whose behaviours the double is checked against.
pub(crate) const GIT_VERSION: &str = "v1.37.2";

const AGGREGATED: [&str; 2] = ["v2", "v2beta1"];

pub(crate) fn version() -> Value {
    let digits = GIT_VERSION.trim_start_matches('v');
    let mut parts = digits.split('.');
    json!({
        "major": parts.next(), "minor": parts.next(), "gitVersion": GIT_VERSION, "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26",
        "compiler": "gc", "platform": "linux/amd64",
    })
}

/// The media type of the aggregated form, if the client takes it.
pub(crate) fn aggregated_type(accept: &str) -> Option<(&'static str, String)> {
    accept.split(',').find_map(|range| {
        let parts: Vec<&str> = range.split(';').map(str::trim).collect();
        let has = |wanted: &str| parts.contains(&wanted);
        let version = AGGREGATED.into_iter().find(|v| has(&format!("v={v}")))?;
        let fits = parts.first() == Some(&"application/json") && has("as=APIGroupDiscoveryList");
        let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        (fits && has("g=apidiscovery.k8s.io")).then_some((version, media))
    })
}

/// Groups, each with its versions, in the order in which they are served.
fn groups(state: &State) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for resource in state.resources().filter(|r| !r.group.is_empty()) {
        let place = found.iter().position(|(group, _)| *group == resource.group);
        let (_, versions) = match place {
            Some(i) => &mut found[i],
            None => {
                found.push((resource.group.clone(), Vec::new()));
                found.last_mut().unwrap_or_else(|| unreachable!("pushed above"))
            }
        };
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    found
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let version = |v: &String| json!({"groupVersion": format!("{group}/{v}"), "version": v});
    json!({
        "name": group,
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(version),
    })
}

/// `/api`.
pub(crate) fn api_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

/// `/apis`.
pub(crate) fn group_list(state: &State) -> Value {
    let all: Vec<Value> =
        groups(state).iter().map(|(group, versions)| group_value(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})
}

/// `/apis/GROUP`.
pub(crate) fn group(state: &State, group: &str) -> Option<Value> {
    let (group, versions) = groups(state).into_iter().find(|(name, _)| name == group)?;
    let mut value = group_value(&group, &versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

fn subresource_verbs(name: &str) -> Value {
    if name == "finalize" { json!(["update"]) } else { json!(["get", "patch", "update"]) }
}

fn subresources(resource: &Resource) -> impl Iterator<Item = &'static str> {
    ["status", "finalize"].into_iter().filter(|name| resource.has_subresource(name))
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub(crate) fn resource_list(state: &State, group: &str, version: &str) -> Option<Value> {
    let mut all = Vec::new();
    for resource in state.resources().filter(|r| r.group == group && r.version == version) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs,
        });
        let map = object::as_map(&mut entry);
        if resource.verbs.contains(&"list") {
            map.insert("storageVersionHash".into(), hash(&[&resource.group, &resource.kind]).into());
        }
        insert_names(map, resource);
        all.push(entry);
        all.extend(subresources(resource).map(|name| {
            json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": subresource_verbs(name),
            })
        }));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": all,
    });
    (!all.is_empty()).then_some(list)
}

fn insert_names(map: &mut Map<String, Value>, resource: &Resource) {
    for (field, names) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !names.is_empty() {
            map.insert(field.to_owned(), names.clone().into());
        }
    }
}

/// `/api` and `/apis` in one document with all their resources.
pub(crate) fn aggregated(state: &State, core: bool, api: &str) -> Value {
    let groups = if core { vec![(String::new(), vec!["v1".to_owned()])] } else { groups(state) };
    let version = |group: &str, version: String| {
        let all = state.resources().filter(|r| r.group == group && r.version == version);
        let resources: Vec<Value> = all.map(|resource| aggregated_resource(resource)).collect();
        json!({"version": version, "freshness": "Current", "resources": resources})
    };
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions.into_iter().map(|v| version(&group, v)).collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{api}"),
        "metadata": {}, "items": items,
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let parts: Vec<Value> = subresources(resource)
        .map(|name| json!({"subresource": name, "responseKind": kind, "verbs": subresource_verbs(name)}))
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind, "singularResource": resource.singular,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": resource.verbs,
    });
    let map = object::as_map(&mut entry);
    insert_names(map, resource);
    if !parts.is_empty() {
        map.insert("subresources".into(), parts.into());
    }
    entry
}

/// A short word that stands for its input; nobody reads anything into it.
pub(crate) fn hash(parts: &[&str]) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let all = parts.iter().flat_map(|part| part.bytes());
    format!("{:016x}", all.fold(0xcbf2_9ce4_8422_2325, fold))
}
