//! Structural schemas of custom resources: pruning, defaults, validation. Rules in CEL are not evaluated.

use regex_lite::Regex;
use serde_json::Value;

use crate::apiserver::object::{list_at, strings_at};
use crate::apiserver::status::FieldError;

/// What every object has, whatever its schema says.
const IMPLICIT: [&str; 3] = ["apiVersion", "kind", "metadata"];

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

/// The schema of a value inside; `_` stands for any item of a list.
pub(super) fn at<'a>(schema: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |schema, key| {
        let property = schema["properties"].get(*key);
        property
            .or_else(|| schema.get("items"))
            .or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
    })
}

/// Removes the fields that the schema does not know.
pub(super) fn prune(object: &mut Value, schema: &Value) {
    prune_value(object, schema, true);
}

fn prune_value(value: &mut Value, schema: &Value, root: bool) {
    let root = root || flag(schema, "x-kubernetes-embedded-resource");
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object();
            let additional = &schema["additionalProperties"];
            let open =
                flag(schema, "x-kubernetes-preserve-unknown-fields") || additional == &Value::Bool(true);
            map.retain(|key, value| {
                if root && IMPLICIT.contains(&key.as_str()) {
                    return true;
                }
                match properties.and_then(|p| p.get(key)) {
                    Some(inner) => prune_value(value, inner, false),
                    None if additional.is_object() => prune_value(value, additional, false),
                    None => return open,
                }
                true
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune_value(item, &schema["items"], false)),
        _ => {}
    }
}

/// Fills in the defaults of the schema, also inside of what a default brought.
pub(super) fn default(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = inner.get("default") {
                    let unset = map.get(key).is_none_or(|v| v.is_null() && !flag(inner, "nullable"));
                    if unset {
                        map.insert(key.clone(), default.clone());
                    }
                }
                if let Some(value) = map.get_mut(key) {
                    self::default(value, inner);
                }
            }
            let named = schema["properties"].as_object();
            for (key, value) in map.iter_mut() {
                if named.is_none_or(|n| !n.contains_key(key)) {
                    self::default(value, &schema["additionalProperties"]);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| self::default(item, &schema["items"])),
        _ => {}
    }
}

/// Everything about the object that the schema does not allow.
pub(super) fn validate(object: &Value, schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(object, schema, "", &mut errors);
    errors
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let found = type_name(value);
    if flag(schema, "x-kubernetes-int-or-string") {
        if !["integer", "string"].contains(&found) {
            errors.push(FieldError::type_invalid(path, found, "integer,string", path));
        }
    } else if let Some(wanted) = schema["type"].as_str().filter(|w| !w.is_empty()) {
        let fits = wanted == found || (wanted == "number" && found == "integer");
        let is_null = found == "null" && flag(schema, "nullable");
        if !fits && !is_null {
            errors.push(FieldError::type_invalid(path, found, wanted, path));
            return;
        }
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<String> =
            allowed.iter().map(|v| v.as_str().map_or(v.to_string(), str::to_owned)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        errors.push(FieldError::unsupported(path, value.clone(), &names));
    }
    match value {
        Value::Object(map) => check_map(map, schema, path, errors),
        Value::Array(items) => check_list(items, schema, path, errors),
        Value::String(text) => check_text(text, schema, path, errors),
        Value::Number(_) => check_number(value, schema, path, errors),
        _ => {}
    }
    check_combinations(value, schema, path, errors);
}

fn check_map(map: &serde_json::Map<String, Value>, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for name in strings_at(schema, &["required"]) {
        if !map.contains_key(name) {
            errors.push(FieldError::required(join(path, name), ""));
        }
    }
    let properties = schema["properties"].as_object();
    for (key, value) in map {
        // The server itself sees to the metadata of the object.
        if path.is_empty() && IMPLICIT.contains(&key.as_str()) {
            continue;
        }
        match properties.and_then(|p| p.get(key)) {
            Some(inner) => check(value, inner, &join(path, key), errors),
            None if schema["additionalProperties"].is_object() => {
                check(value, &schema["additionalProperties"], &join(path, key), errors);
            }
            None => {}
        }
    }
    count(map.len(), schema, ("minProperties", "maxProperties"), "properties", path, errors);
}

fn check_list(items: &[Value], schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, item) in items.iter().enumerate() {
        check(item, &schema["items"], &format!("{path}[{i}]"), errors);
    }
    count(items.len(), schema, ("minItems", "maxItems"), "items", path, errors);
    let keys = strings_at(schema, &["x-kubernetes-list-map-keys"]);
    let identity = |item: &Value| match keys.as_slice() {
        [] => item.clone(),
        keys => keys.iter().map(|key| item[*key].clone()).collect(),
    };
    if matches!(schema["x-kubernetes-list-type"].as_str(), Some("set" | "map")) {
        let all: Vec<Value> = items.iter().map(identity).collect();
        for (i, item) in all.iter().enumerate().filter(|(i, item)| all[..*i].contains(item)) {
            errors.push(FieldError::duplicate(format!("{path}[{i}]"), item.clone()));
        }
    }
}

fn count(
    n: usize,
    schema: &Value,
    (min, max): (&str, &str),
    what: &str,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let bound = |name: &str| schema[name].as_u64().and_then(|b| usize::try_from(b).ok());
    if let Some(min) = bound(min).filter(|&min| n < min) {
        errors.push(FieldError::invalid(
            path,
            n,
            format!("{path} in body should have at least {min} {what}"),
        ));
    }
    if let Some(max) = bound(max).filter(|&max| n > max) {
        errors.push(FieldError::invalid(path, n, format!("must have at most {max} {what}")));
    }
}

fn check_text(text: &str, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(min) = schema["minLength"].as_u64().filter(|&min| length < min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, text, detail));
    }
    if let Some(max) = schema["maxLength"].as_u64().filter(|&max| length > max) {
        errors.push(FieldError::too_long(path, usize::try_from(max).unwrap_or(usize::MAX)));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        errors.push(FieldError::invalid(path, text, format!("{path} in body should match '{pattern}'")));
    }
    let fits = match schema["format"].as_str() {
        Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
        Some("ipv4") => text.parse::<std::net::Ipv4Addr>().is_ok(),
        Some("ipv6") => text.parse::<std::net::Ipv6Addr>().is_ok(),
        Some("cidr") => text.parse::<ipnet::IpNet>().is_ok(),
        _ => true,
    };
    if !fits {
        let format = schema["format"].as_str().unwrap_or_default();
        let detail = format!("{path} in body must be of type {format}: {text:?}");
        errors.push(FieldError::invalid(path, text, detail));
    }
}

fn check_number(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let exclusive = |name: &str| flag(schema, name);
    if let Some(min) = schema["minimum"].as_f64() {
        let (bad, words) = match exclusive("exclusiveMinimum") {
            true => (number <= min, "greater than"),
            false => (number < min, "greater than or equal to"),
        };
        if bad {
            let detail = format!("{path} in body should be {words} {}", schema["minimum"]);
            errors.push(FieldError::invalid(path, value.clone(), detail));
        }
    }
    if let Some(max) = schema["maximum"].as_f64() {
        let (bad, words) = match exclusive("exclusiveMaximum") {
            true => (number >= max, "less than"),
            false => (number > max, "less than or equal to"),
        };
        if bad {
            let detail = format!("{path} in body should be {words} {}", schema["maximum"]);
            errors.push(FieldError::invalid(path, value.clone(), detail));
        }
    }
}

fn check_combinations(value: &Value, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let fits = |inner: &Value| {
        let mut found = Vec::new();
        check(value, inner, path, &mut found);
        found.is_empty()
    };
    let refuse = |what: &str| FieldError::invalid(path, "", format!("{path:?} must validate {what} schema"));
    let any = list_at(schema, &["anyOf"]);
    if !any.is_empty() && !any.iter().any(fits) {
        errors.push(refuse("at least one"));
    }
    let one = list_at(schema, &["oneOf"]);
    if !one.is_empty() && one.iter().filter(|inner| fits(inner)).count() != 1 {
        errors.push(refuse("one and only one"));
    }
    for inner in list_at(schema, &["allOf"]) {
        check(value, inner, path, errors);
    }
    if schema.get("not").is_some_and(|inner| inner.is_object() && fits(inner)) {
        errors.push(FieldError::invalid(path, "", format!("{path:?} must not validate the schema")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool() -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1},
            "mode": {"type": "string", "default": "a", "enum": ["a", "b"]},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}}})
    }

    #[test]
    fn unknown_fields_go_except_where_they_are_welcome() {
        let mut object =
            json!({"kind": "P", "metadata": {"name": "x"}, "spec": {"size": 1, "no": 1, "free": {"yes": 1}}});
        prune(&mut object, &pool());
        assert_eq!(object["spec"], json!({"size": 1, "free": {"yes": 1}}));
        assert_eq!(object["metadata"]["name"], "x");
    }

    #[test]
    fn defaults_are_filled_in_where_the_parent_is() {
        let mut object = json!({"spec": {"size": 1}});
        default(&mut object, &pool());
        assert_eq!(object["spec"]["mode"], "a");
        let mut object = json!({});
        default(&mut object, &pool());
        assert_eq!(object, json!({}));
    }

    #[test]
    fn each_mistake_is_named() {
        let found = |spec: Value| -> Vec<String> {
            validate(&json!({"spec": spec}), &pool()).iter().map(ToString::to_string).collect()
        };
        assert!(found(json!({"size": 1})).is_empty());
        assert_eq!(found(json!({})), ["spec.size: Required value"]);
        assert_eq!(
            found(json!({"size": 0, "mode": "c"})),
            [
                "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ]
        );
    }
}
