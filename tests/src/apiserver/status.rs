//! Errors as the API server words them: a `Status` body, its reason, details and field causes.

use std::fmt;

use serde_json::{Map, Value, json};

/// What a request comes back with when it is refused.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Map<String, Value>,
    /// A plain text answer, as the server gives for paths that it does not serve at all.
    pub(crate) text: bool,
    /// The resume token of a list whose version was compacted away.
    pub(crate) continue_token: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// `services` of group ``, or `leases` of `coordination.k8s.io`: what 404 and 409 name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupName<'a> {
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
}

impl fmt::Display for GroupName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.name),
            group => write!(f, "{}.{group}", self.name),
        }
    }
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, details: Map::new(), text: false, continue_token: None }
    }

    fn about(mut self, what: GroupName<'_>, name: &str) -> Self {
        if !name.is_empty() {
            self.details.insert("name".into(), name.into());
        }
        if !what.group.is_empty() {
            self.details.insert("group".into(), what.group.into());
        }
        self.details.insert("kind".into(), what.name.into());
        self
    }

    pub(crate) fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.details.insert("causes".into(), causes.into());
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(what: GroupName<'_>, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} \"{name}\" not found")).about(what, name)
    }

    /// The path is in a group that exists, but leads to no resource.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// Nothing is served under this path.
    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::new(404, "NotFound", "404 page not found\n");
        error.text = true;
        error
    }

    pub(crate) fn already_exists(what: GroupName<'_>, name: &str, terminating: bool) -> Self {
        let prefix = if terminating { "object is being deleted: " } else { "" };
        Self::new(409, "AlreadyExists", format!("{prefix}{what} \"{name}\" already exists")).about(what, name)
    }

    pub(crate) fn conflict(what: GroupName<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(what, name)
    }

    pub(crate) fn stale(what: GroupName<'_>, name: &str) -> Self {
        Self::conflict(
            what,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(what: GroupName<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = match name {
            "" => format!("{what} is forbidden: {why}"),
            _ => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(what, name)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
            .with_causes(vec![json!({"message": message.to_string()})])
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn invalid(kind: GroupName<'_>, name: &str, errors: &[FieldError]) -> Self {
        let all: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let listed = match all.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        };
        Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {listed}"))
            .about(kind, name)
            .with_causes(errors.iter().map(FieldError::cause).collect())
    }

    /// The options in the query string or in the delete body are not valid.
    pub(crate) fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        Self::invalid(GroupName { group: "meta.k8s.io", name: kind }, "", errors)
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), token.clone().into());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_empty() || self.reason == "NotFound" || self.reason == "MethodNotAllowed" {
            status["details"] = self.details.clone().into();
        }
        status
    }
}

/// The `Status` that answers a DELETE of kinds that do not answer with the object.
pub(crate) fn deleted(what: GroupName<'_>, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": what.name, "uid": uid});
    if !what.group.is_empty() {
        details["group"] = what.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// One field that did not pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldError {
    reason: &'static str,
    field: String,
    body: String,
}

impl FieldError {
    fn with(reason: &'static str, field: impl Into<String>, body: String) -> Self {
        Self { reason, field: field.into(), body }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let body = match detail {
            "" => "Required value".to_owned(),
            _ => format!("Required value: {detail}"),
        };
        Self::with("FieldValueRequired", field, body)
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl fmt::Display,
    ) -> Self {
        let value = value.into();
        Self::with("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    /// As [`FieldError::invalid`], for a value that is shown as it is.
    pub(crate) fn invalid_text(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::with("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    pub(crate) fn type_invalid(field: impl Into<String>, found: &str, wanted: &str, at: &str) -> Self {
        let detail = format!("{at} in body must be of type {wanted}: \"{found}\"");
        Self::with("FieldValueTypeInvalid", field, format!("Invalid value: \"{found}\": {detail}"))
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let value = value.into();
        let quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let body = format!("Unsupported value: {value}: supported values: {}", quoted.join(", "));
        Self::with("FieldValueNotSupported", field, body)
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::with("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::with("FieldValueDuplicate", field, format!("Duplicate value: {}", value.into()))
    }

    pub(crate) fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::with("FieldValueTooLong", field, format!("Too long: may not be more than {max} bytes"))
    }

    fn cause(&self) -> Value {
        json!({"reason": self.reason, "message": self.body, "field": self.field})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body)
    }
}
