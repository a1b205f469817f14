//! Who asks, and what they may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::lock;
use super::object::str_at;
use super::request_log::Request;
use super::status::{ApiError, GroupName, Result};

/// The token that may do everything.
pub const ADMIN_TOKEN: &str = "tok";
/// A token of a user without any rights.
pub const WEAK_TOKEN: &str = "weak";
const ANONYMOUS: &str = "system:anonymous";

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    All,
    /// What one of the rules allows; with no rules, nothing.
    Rules(Vec<AccessRule>),
}

/// One rule, as in a ClusterRole; `*` stands for everything, and an empty list of names or namespaces, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: Vec<String>,
    /// API groups; the core group is the empty string.
    pub groups: Vec<String>,
    /// Resources, with the subresource behind a slash: `services/status`.
    pub resources: Vec<String>,
    /// Names of objects.
    pub names: Vec<String>,
    /// Namespaces in which the rule holds.
    pub namespaces: Vec<String>,
}

impl AccessRule {
    /// A rule over verbs, groups and resources, for all names and namespaces.
    pub fn new(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Self { verbs: owned(verbs), groups: owned(groups), resources: owned(resources), ..Self::default() }
    }

    /// Whether it allows this request.
    pub fn allows(&self, request: &Request) -> bool {
        let covers = |list: &[String], value: &str| list.iter().any(|v| v == "*" || v == value);
        let narrows = |list: &[String], value: &str| list.is_empty() || covers(list, value);
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        covers(&self.verbs, &request.verb)
            && covers(&self.groups, &request.group)
            && covers(&self.resources, &resource)
            && narrows(&self.names, &request.name)
            && narrows(&self.namespaces, &request.namespace)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    access: Access,
}

/// The tokens that the server knows.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Mutex<HashMap<String, User>>>);

impl Tokens {
    pub(crate) fn new() -> Self {
        let tokens = Self(Arc::default());
        tokens.add(ADMIN_TOKEN, "admin", Access::All);
        tokens.add(WEAK_TOKEN, "weak", Access::Rules(Vec::new()));
        tokens
    }

    /// Makes a token known, or changes what its user may do.
    pub fn add(&self, token: &str, user: &str, access: Access) {
        lock(&self.0).insert(token.to_owned(), User { name: user.to_owned(), access });
    }

    /// The user behind an `Authorization` header.
    pub(crate) fn user(&self, authorization: Option<&str>) -> Result<User> {
        let Some(header) = authorization else {
            return Ok(User { name: ANONYMOUS.to_owned(), access: Access::Rules(Vec::new()) });
        };
        let token = header.strip_prefix("Bearer ").map(str::trim);
        token
            .and_then(|token| lock(&self.0).get(token).cloned())
            .ok_or_else(|| ApiError::new(401, "Unauthorized", "Unauthorized"))
    }
}

impl User {
    pub(crate) fn may(&self, request: &Request) -> bool {
        match &self.access {
            Access::All => true,
            Access::Rules(rules) => rules.iter().any(|rule| rule.allows(request)),
        }
    }

    /// Everyone but the anonymous may look at what is served.
    pub(crate) fn is_known(&self) -> bool {
        self.name != ANONYMOUS
    }

    pub(crate) fn authorize(&self, request: &Request) -> Result<()> {
        // Everyone but the anonymous may ask what they may do.
        let asks = request.resource == "selfsubjectaccessreviews" && self.is_known();
        if asks || self.may(request) {
            return Ok(());
        }
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        let scope = match request.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let why = format!(
            "User {:?} cannot {} resource {resource:?} in API group {:?} {scope}",
            self.name, request.verb, request.group
        );
        Err(ApiError::forbidden(
            GroupName { group: &request.group, name: &request.resource },
            &request.name,
            why,
        ))
    }

    /// A path that is no resource.
    pub(crate) fn forbidden_path(&self, path: &str) -> ApiError {
        let message = format!("forbidden: User {:?} cannot get path {path:?}", self.name);
        ApiError::new(403, "Forbidden", message)
    }

    /// The answer to a SelfSubjectAccessReview.
    pub(crate) fn review(&self, mut review: Value) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let text = |field: &str| str_at(asked, &[field]).unwrap_or_default().to_owned();
        let allowed = self.may(&Request {
            user: self.name.clone(),
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            ..Request::default()
        });
        review["status"] = json!({"allowed": allowed});
        review
    }
}
