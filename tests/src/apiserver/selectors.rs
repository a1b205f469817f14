//! Label and field selectors.

use serde_json::Value;

use super::object;
use super::status::{ApiError, Result};

/// What a list or a watch is narrowed to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

#[derive(Debug, Clone, PartialEq)]
struct FieldRequirement {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Selector {
    /// `fields` are the field labels that the kind knows besides its name and namespace, each with the path
    /// of the field behind it.
    pub(crate) fn parse(
        labels: Option<&str>,
        fields: Option<&str>,
        known: &[(&str, &[&str])],
        namespaced: bool,
    ) -> Result<Self> {
        Ok(Self {
            labels: labels.map(parse_labels).transpose()?.unwrap_or_default(),
            fields: fields.map(|text| parse_fields(text, known, namespaced)).transpose()?.unwrap_or_default(),
        })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        self.labels.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::In(key, values) => label(key).is_some_and(|l| values.iter().any(|v| v == l)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|l| values.iter().all(|v| v != l)),
            Requirement::Greater(key, than) => number(label(key)).is_some_and(|n| n > *than),
            Requirement::Less(key, than) => number(label(key)).is_some_and(|n| n < *than),
        }) && self.fields.iter().all(|f| f.matches(object))
    }
}

fn number(label: Option<&str>) -> Option<i64> {
    label.and_then(|l| l.parse().ok())
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let found = match object::at(object, &path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(other) => other.to_string(),
            None if path.last() == Some(&"unschedulable") => "false".to_owned(),
            None => String::new(),
        };
        (found == self.value) == self.equal
    }
}

fn parse_fields(text: &str, known: &[(&str, &[&str])], namespaced: bool) -> Result<Vec<FieldRequirement>> {
    let mut found = Vec::new();
    for term in text.split(',').filter(|term| !term.is_empty()) {
        let (label, value, equal) = term
            .split_once("!=")
            .map(|(l, v)| (l, v, false))
            .or_else(|| term.split_once("==").map(|(l, v)| (l, v, true)))
            .or_else(|| term.split_once('=').map(|(l, v)| (l, v, true)))
            .ok_or_else(|| {
                ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'"))
            })?;
        let path = match label {
            "metadata.name" => vec!["metadata".to_owned(), "name".to_owned()],
            "metadata.namespace" if namespaced => vec!["metadata".to_owned(), "namespace".to_owned()],
            _ => known
                .iter()
                .find(|(name, _)| *name == label)
                .map(|(_, path)| path.iter().map(|&p| p.to_owned()).collect())
                .ok_or_else(|| ApiError::bad_request(format!("field label not supported: {label}")))?,
        };
        found.push(FieldRequirement { path, value: value.to_owned(), equal });
    }
    Ok(found)
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>> {
    split_terms(text)
        .into_iter()
        .filter(|term| !term.is_empty())
        .map(|term| parse_term(term).ok_or_else(|| unparsable(text)))
        .collect()
}

fn unparsable(text: &str) -> ApiError {
    ApiError::bad_request(format!("unable to parse requirement: found '{text}', expected: a label selector"))
}

/// Splits at the commas that are not inside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(text[start..].trim());
    terms
}

fn parse_term(term: &str) -> Option<Requirement> {
    let key = |k: &str| Some(k.trim().to_owned()).filter(|k| is_label_key(k));
    let value = |v: &str| Some(v.trim().to_owned()).filter(|v| is_label_value(v));
    if let Some(absent) = term.strip_prefix('!') {
        return key(absent).map(Requirement::Absent);
    }
    if let Some(values) = term.strip_suffix(')') {
        let (head, values) = values.split_once('(')?;
        let values: Option<Vec<String>> = values.split(',').map(value).collect();
        let (name, operator) = head.trim().rsplit_once(' ')?;
        return match operator {
            "in" => Some(Requirement::In(key(name)?, values?)),
            "notin" => Some(Requirement::NotIn(key(name)?, values?)),
            _ => None,
        };
    }
    if let Some((k, v)) = term.split_once("!=") {
        return Some(Requirement::NotIn(key(k)?, vec![value(v)?]));
    }
    if let Some((k, v)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Some(Requirement::In(key(k)?, vec![value(v)?]));
    }
    if let Some((k, v)) = term.split_once('>') {
        return Some(Requirement::Greater(key(k)?, v.trim().parse().ok()?));
    }
    if let Some((k, v)) = term.split_once('<') {
        return Some(Requirement::Less(key(k)?, v.trim().parse().ok()?));
    }
    key(term).map(Requirement::Exists)
}

/// A label value: at most 63 of letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// A label key: a name part, perhaps below a domain: `example.com/name`.
pub(crate) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(domain) && is_name_part(name),
        None => is_name_part(text),
    }
}

fn is_name_part(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Lower-case labels of letters, digits and `-`, separated by dots.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// One such label; the server takes up to 63 characters of it.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(labels: &str) -> bool {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "1"}}});
        Selector::parse(Some(labels), None, &[], true).expect("a selector").matches(&object)
    }

    #[test]
    fn label_selectors_select() {
        for yes in [
            "app=web",
            "app==web",
            "app",
            "!other",
            "app in (x, web)",
            "app notin (x),tier",
            "tier>0",
            "x!=y",
        ] {
            assert!(selects(yes), "{yes}");
        }
        for no in ["app=x", "other", "!app", "app notin (web)", "app=web,tier=2", "tier<1"] {
            assert!(!selects(no), "{no}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a===", "a in b", "=x", "a in (b"] {
            assert!(Selector::parse(Some(text), None, &[], true).is_err(), "{text}");
        }
        assert!(Selector::parse(None, Some("spec.foo=x"), &[], true).is_err());
    }
}
