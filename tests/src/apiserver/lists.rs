//! How the lists and maps of a kind merge: by strategic patches, and between the appliers of a field.

use serde_json::Value;

/// What a list (or a map) at some path is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListRule {
    /// Replaced and owned as a whole.
    Atomic,
    /// A set of plain values.
    Set,
    /// Items told apart by these keys; the first alone is the key of strategic patches.
    Map(Vec<MapKey>),
    /// Nothing is said: lists are atomic, and the entries of maps have owners of their own.
    Granular,
}

/// A field that tells the items of a list apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MapKey {
    pub(crate) name: String,
    /// What an item that leaves the key out means.
    pub(crate) default: Option<Value>,
}

fn by(key: &str) -> ListRule {
    ListRule::Map(vec![MapKey { name: key.to_owned(), default: None }])
}

fn by_port(key: &str) -> ListRule {
    let protocol = MapKey { name: "protocol".to_owned(), default: Some("TCP".into()) };
    ListRule::Map(vec![MapKey { name: key.to_owned(), default: None }, protocol])
}

/// The lists that are the same in every kind.
pub(crate) fn common_rule(path: &[&str]) -> ListRule {
    match path {
        ["metadata", "finalizers"] => ListRule::Set,
        ["metadata", "ownerReferences"] => by("uid"),
        ["status", "conditions"] => by("type"),
        _ => ListRule::Granular,
    }
}

pub(crate) fn service_rule(path: &[&str]) -> ListRule {
    match path {
        ["spec", "ports"] => by_port("port"),
        ["spec", "selector"] => ListRule::Atomic,
        _ => common_rule(path),
    }
}

pub(crate) fn node_rule(path: &[&str]) -> ListRule {
    match path {
        ["status", "addresses"] => by("type"),
        ["spec", "podCIDRs"] => ListRule::Set,
        _ => common_rule(path),
    }
}

/// Pods, and the kinds that hold a template of one.
pub(crate) fn pod_rule(path: &[&str]) -> ListRule {
    let path = match path {
        ["spec", "template", rest @ ..] => rest,
        all => all,
    };
    match path {
        ["spec", "containers" | "initContainers" | "volumes" | "imagePullSecrets"] => by("name"),
        ["spec", "hostAliases"] | ["status", "podIPs"] => by("ip"),
        ["spec", "containers" | "initContainers", _, "env"] => by("name"),
        ["spec", "containers" | "initContainers", _, "ports"] => by_port("containerPort"),
        ["spec", "containers" | "initContainers", _, "volumeMounts"] => by("mountPath"),
        ["spec", "selector"] => ListRule::Atomic,
        _ => common_rule(path),
    }
}

pub(crate) fn service_account_rule(path: &[&str]) -> ListRule {
    match path {
        ["secrets"] => by("name"),
        _ => common_rule(path),
    }
}
