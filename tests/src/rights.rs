//! The rights that `deploy/` gives the program, and which of them it uses.
//!
//! Suites run the controller with these and no others, where the API server is the one in this process: a call
//! that the roles do not allow is refused there as it would be in a cluster.

use kube::api::DynamicObject;
use serde::Deserialize;

use crate::apiserver::{Access, AccessRule, Request};
use crate::sandbox::manifests;

/// The name of the service account, and the namespace it is installed into.
pub const INSTALLED_AS: &str = "cloud-lb-controller";

const BASE: &str = include_str!("../../deploy/kustomize/base/rbac.yaml");
const POOLS: &str = include_str!("../../deploy/kustomize/overlays/bare/rbac.yaml");

/// Rights, each a single verb on a single resource.
#[derive(Clone, Debug, Default)]
pub struct Rights(Vec<AccessRule>);

/// A ClusterRole or Role, and what is of interest of a binding.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rbac {
    #[serde(default)]
    rules: Vec<Rule>,
    role_ref: Option<Named>,
    #[serde(default)]
    subjects: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Rights {
    /// What the manifests grant with the AWS provider.
    pub fn of_the_base() -> Self {
        Rights::granted(&parse(BASE))
    }

    /// What the manifests grant with the bare-metal provider.
    pub fn of_the_bare_overlay() -> Self {
        Rights::granted(&[parse(BASE), parse(POOLS)].concat())
    }

    /// What the roles among these objects grant to whom they are bound.
    ///
    /// # Panics
    /// When a role or a binding is of the wrong shape, or binds somebody else than a service account.
    pub fn granted(objects: &[DynamicObject]) -> Self {
        let read = |object: &DynamicObject| -> Rbac {
            serde_json::from_value(object.data.clone()).expect("a role or a binding")
        };
        let of = |wanted: &'static str| objects.iter().filter(move |object| kind(object) == wanted);
        let mut rights = Vec::new();
        for (role_kind, binding_kind) in [("ClusterRole", "ClusterRoleBinding"), ("Role", "RoleBinding")] {
            for binding in of(binding_kind) {
                let bound = read(binding);
                assert!(bound.subjects.iter().all(|subject| subject.kind == "ServiceAccount"));
                let role_ref = bound.role_ref.expect("a binding refers to a role");
                assert_eq!(role_ref.kind, role_kind);
                let is_meant = |role: &&DynamicObject| {
                    role.metadata.name.as_deref() == Some(&role_ref.name)
                        && role.metadata.namespace == binding.metadata.namespace
                };
                let role = of(role_kind).find(is_meant).expect("the role that is bound is there");
                let namespace = match (role_kind, &role.metadata.namespace) {
                    ("ClusterRole", _) => None,
                    (_, Some(namespace)) => Some(namespace.clone()),
                    // kustomize puts it there.
                    (_, None) => Some(INSTALLED_AS.to_owned()),
                };
                rights.extend(read(role).rules.iter().flat_map(|rule| singles(rule, namespace.as_ref())));
            }
        }
        Rights(rights)
    }

    /// These, and one more.
    #[must_use]
    pub fn and(mut self, verb: &str, group: &str, resource: &str) -> Self {
        self.0.push(AccessRule::new(&[verb], &[group], &[resource]));
        self
    }

    /// For a token.
    pub fn access(&self) -> Access {
        Access::Rules(self.0.clone())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each as a line, sorted.
    pub fn lines(&self) -> Vec<String> {
        sorted(self.0.iter().map(line))
    }

    /// Those that none of the requests made use of.
    pub fn unused(&self, requests: &[Request]) -> Vec<String> {
        sorted(self.0.iter().filter(|right| !requests.iter().any(|request| right.allows(request))).map(line))
    }
}

/// The requests that were refused for want of a right.
pub fn refused(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| matches!(request.code, 401 | 403)).collect()
}

fn parse(text: &str) -> Vec<DynamicObject> {
    manifests::parse(text, "the roles in deploy/kustomize").expect("they are objects")
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn singles(rule: &Rule, namespace: Option<&String>) -> Vec<AccessRule> {
    let mut singles = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let single = AccessRule::new(&[verb], &[group], &[resource]);
                let namespaces = namespace.cloned().into_iter().collect();
                singles.push(AccessRule { names: rule.resource_names.clone(), namespaces, ..single });
            }
        }
    }
    singles
}

fn line(right: &AccessRule) -> String {
    let mut line = format!("{} {}", right.verbs.join(","), right.resources.join(","));
    for (word, list) in [("of", &right.groups), ("named", &right.names), ("in", &right.namespaces)] {
        if list.iter().any(|entry| !entry.is_empty()) {
            line = format!("{line} {word} {}", list.join(","));
        }
    }
    line
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}
