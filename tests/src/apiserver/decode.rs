//! From what a client sent to an object of the right kind.

use serde_json::Value;

use super::kinds::Resource;
use super::object::{self, as_map};
use super::status::{ApiError, Result};

/// What to do about fields that the kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// A decoded object in the stored form, and what the client is to be warned of.
pub(crate) struct Decoded {
    pub(crate) object: Value,
    pub(crate) unknown: Vec<String>,
}

/// Reads a body: JSON, or YAML where the type says so.
pub(crate) fn parse(body: &[u8], is_yaml: bool) -> Result<Value> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if is_yaml => std::str::from_utf8(body)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_saphyr::from_str(text).map_err(|e| e.to_string()))
            .map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}"))),
        Err(e) => Err(ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}"))),
    }
}

/// Checks the kind of a body, its types and its fields.
pub(crate) fn decode(resource: &Resource, sent: Value) -> Result<Decoded> {
    decode_with(resource, sent, |_, _| {})
}

/// As [`decode`], for what an applier wants: the typed form writes out fields that were not sent, and those
/// are not wanted.
pub(crate) fn decode_config(resource: &Resource, sent: Value) -> Result<Decoded> {
    decode_with(resource, sent, keep_sent)
}

/// Drops from the typed form what was not sent.
fn keep_sent(sent: &Value, typed: &mut Value) {
    match (sent, typed) {
        (Value::Object(sent), Value::Object(typed)) => {
            typed.retain(|key, value| match sent.get(key) {
                Some(sent) => {
                    keep_sent(sent, value);
                    true
                }
                None => false,
            });
        }
        (Value::Array(sent), Value::Array(typed)) => {
            for (sent, typed) in sent.iter().zip(typed) {
                keep_sent(sent, typed);
            }
        }
        _ => {}
    }
}

fn decode_with(resource: &Resource, mut sent: Value, narrow: fn(&Value, &mut Value)) -> Result<Decoded> {
    let api_version = resource.api_version();
    if !sent.is_object() {
        return Err(ApiError::bad_request("the object provided is unrecognized: an object is expected"));
    }
    let map = as_map(&mut sent);
    object::default_to(map, "apiVersion", api_version.clone());
    object::default_to(map, "kind", resource.kind.clone());
    let (version, kind) = (map["apiVersion"].clone(), map["kind"].clone());
    if version != api_version.as_str() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({api_version})",
            version.as_str().unwrap_or_default(),
        )));
    }
    if kind != resource.kind.as_str() {
        return Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: no kind {kind} is registered",
            kind.as_str().unwrap_or_default(),
            resource.version,
            resource.kind,
        )));
    }
    let mut typed = resource.strategy.decode(&sent).map_err(|e| {
        let (kind, version) = (&resource.kind, &resource.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {e}"))
    })?;
    let mut unknown = Vec::new();
    find_unknown(&sent, &typed, "", &mut unknown);
    narrow(&sent, &mut typed);
    object::tidy_metadata(&mut typed);
    Ok(Decoded { object: resource.strategy.to_storage(typed), unknown })
}

/// The fields that were sent and are not in the typed form.
fn find_unknown(sent: &Value, typed: &Value, path: &str, found: &mut Vec<String>) {
    match (sent, typed) {
        (Value::Object(sent), Value::Object(typed)) => {
            for (key, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
                let field = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match typed.get(key) {
                    Some(inner) => find_unknown(value, inner, &field, found),
                    None => found.push(field),
                }
            }
        }
        (Value::Array(sent), Value::Array(typed)) => {
            for (i, (sent, typed)) in sent.iter().zip(typed).enumerate() {
                find_unknown(sent, typed, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}
