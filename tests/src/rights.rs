//! The rights that `deploy/` gives the program, and which of them it uses.
//!
//! Suites run the controller with these and no others: a call that the roles do not allow is refused. A real control
//! plane gets the roles and bindings themselves, the double what they come to.

use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::json;

use crate::apiserver::{Access, AccessRule, Request};
use crate::sandbox::manifests;

/// The name of the service account, and the namespace it is installed into.
pub const INSTALLED_AS: &str = "cloud-lb-controller";

const BASE: &str = include_str!("../../deploy/kustomize/base/rbac.yaml");
const POOLS: &str = include_str!("../../deploy/kustomize/overlays/bare/rbac.yaml");

/// Rights, each a single verb on a single resource.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    rules: Vec<AccessRule>,
    /// The roles and bindings that they were read from.
    objects: Vec<DynamicObject>,
}

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
                rights.extend(
                    read(role).rules.iter().flat_map(|rule| singles(rule, namespace_of(role).as_ref())),
                );
            }
        }
        let mut objects: Vec<_> = objects.iter().filter(|object| is_rbac(object)).cloned().collect();
        for object in &mut objects {
            object.metadata.namespace = namespace_of(object);
        }
        Rights { rules: rights, objects }
    }

    /// These, and one more.
    #[must_use]
    pub fn and(self, verb: &str, group: &str, resource: &str) -> Self {
        let name = format!("{INSTALLED_AS}-{verb}-{resource}");
        let rbac = "rbac.authorization.k8s.io";
        let more = [
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": { "name": name },
                "rules": [{ "apiGroups": [group], "resources": [resource], "verbs": [verb] }],
            }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": name },
                "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "name": INSTALLED_AS, "namespace": INSTALLED_AS }],
            }),
        ];
        let more = more.map(|object| serde_json::from_value(object).expect("an object"));
        Rights::granted(&[self.objects, more.to_vec()].concat())
    }

    /// For a token of the double.
    pub fn access(&self) -> Access {
        Access::Rules(self.rules.clone())
    }

    /// The same one by one.
    pub fn rules(&self) -> &[AccessRule] {
        &self.rules
    }

    /// The roles and bindings that give them, each in the namespace that it is installed into.
    pub fn objects(&self) -> &[DynamicObject] {
        &self.objects
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rules.len()
    }

    /// Each as a line, sorted.
    pub fn lines(&self) -> Vec<String> {
        sorted(self.rules.iter().map(line))
    }

    /// Those that none of the requests made use of.
    pub fn unused(&self, requests: &[Request]) -> Vec<String> {
        sorted(
            self.rules.iter().filter(|right| !requests.iter().any(|request| right.allows(request))).map(line),
        )
    }
}

/// The requests that were refused for want of a right.
pub fn refused(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| matches!(request.code, 401 | 403)).collect()
}

fn parse(text: &str) -> Vec<DynamicObject> {
    manifests::parse(text, "the roles in deploy/kustomize").expect("they are objects")
}

/// Whether it is a role or a binding.
pub fn is_rbac(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.api_version.starts_with("rbac.authorization.k8s.io/"))
}

/// Where a role or a binding is installed; none for those of the whole cluster.
fn namespace_of(object: &DynamicObject) -> Option<String> {
    match &object.metadata.namespace {
        _ if kind(object).starts_with("Cluster") => None,
        Some(namespace) => Some(namespace.clone()),
        // kustomize puts it there.
        None => Some(INSTALLED_AS.to_owned()),
    }
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
