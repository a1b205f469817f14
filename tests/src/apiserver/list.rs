//! Lists: whole, narrowed, or page by page from one snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::kinds::Resource;
use super::object;
use super::render::{self, Shape};
use super::request::Query;
use super::selectors::Selector;
use super::state::State;
use super::status::{ApiError, FieldError, Result};
use super::store::Stored;

/// How long a list waits for a version that does not exist yet.
pub(crate) const VERSION_TIMEOUT: Duration = Duration::from_secs(3);

/// What a list is to contain.
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    pub(crate) selector: Selector,
    limit: usize,
    token: Option<Token>,
    pub(crate) version: Option<u64>,
    exact: bool,
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    version: i64,
    start: String,
}

impl Token {
    fn encode(&self) -> String {
        let text = json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.start}).to_string();
        let encoded = json!(ByteString(text.into_bytes()));
        encoded.as_str().unwrap_or_default().trim_end_matches('=').replace('+', "-").replace('/', "_")
    }

    fn decode(text: &str) -> Result<Self> {
        let mut standard = text.replace('-', "+").replace('_', "/");
        standard.extend(std::iter::repeat_n('=', (4 - standard.len() % 4) % 4));
        let read = || -> Option<Self> {
            let bytes: ByteString = serde_json::from_value(standard.into()).ok()?;
            let token: Value = serde_json::from_slice(&bytes.0).ok()?;
            Some(Self { version: token["rv"].as_i64()?, start: token["start"].as_str()?.to_owned() })
        };
        read().ok_or_else(|| ApiError::bad_request("continue key is not valid: cannot be decoded"))
    }
}

/// The keys that a namespace, or all of them, cover.
pub(crate) fn prefix_of(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}

pub(crate) fn selector_of(resource: &Resource, name: &str, query: &Query) -> Result<Selector> {
    let of_name = (!name.is_empty()).then(|| format!("metadata.name={name}"));
    let fields = match (of_name, query.get("fieldSelector")) {
        (Some(name), Some(more)) => Some(format!("{name},{more}")),
        (Some(name), None) => Some(name),
        (None, more) => more.map(str::to_owned),
    };
    Selector::parse(
        query.get("labelSelector"),
        fields.as_deref(),
        resource.strategy.field_labels(),
        resource.namespaced,
    )
}

/// The rules for version options that lists and watches share.
pub(crate) fn check_version_options(query: &Query, watch: bool) -> Result<()> {
    let matching = query.get("resourceVersionMatch");
    let mut errors = Vec::new();
    let initial = query.get("sendInitialEvents").is_some();
    if initial && !watch {
        errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if initial && matching != Some("NotOlderThan") {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden("resourceVersionMatch", detail));
    }
    match matching {
        Some(_) if watch && !initial => {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden("resourceVersionMatch", detail));
        }
        Some(_) if !watch && query.get("resourceVersion").is_none() => {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden("resourceVersionMatch", detail));
        }
        Some("Exact") if query.get("resourceVersion") == Some("0") => {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden("resourceVersionMatch", detail));
        }
        Some("Exact" | "NotOlderThan") | None => {}
        Some(other) => {
            let known = ["Exact", "NotOlderThan"];
            errors.push(FieldError::unsupported("resourceVersionMatch", other, &known));
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        errors => Err(ApiError::invalid_options("ListOptions", errors)),
    }
}

/// A version in the query; anything but a number is a mistake.
pub(crate) fn version_of(query: &Query) -> Result<Option<u64>> {
    query
        .get("resourceVersion")
        .map(|text| {
            text.parse().map_err(|_| ApiError::bad_request(format!("invalid resource version {text:?}")))
        })
        .transpose()
}

impl ListQuery {
    pub(crate) fn read(resource: &Resource, namespace: &str, query: &Query) -> Result<Self> {
        check_version_options(query, false)?;
        let version = version_of(query)?;
        let token = query.get("continue").map(Token::decode).transpose()?;
        if token.is_some() && version.is_some_and(|v| v != 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        // A list from the cache, which version 0 is, comes in one piece.
        let limit = query.number("limit")?.filter(|_| version != Some(0) || token.is_some());
        Ok(Self {
            prefix: prefix_of(namespace),
            selector: selector_of(resource, "", query)?,
            limit: limit.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0).unwrap_or(usize::MAX),
            token,
            version,
            exact: query.get("resourceVersionMatch") == Some("Exact"),
        })
    }
}

/// A page, before it is written out.
pub(crate) struct Page {
    items: Vec<Arc<Stored>>,
    metadata: Value,
}

impl State {
    pub(crate) fn list(&mut self, resource: &Resource, query: &ListQuery) -> Result<Page> {
        let now = self.store.version();
        let resumed = query.token.as_ref().map(|token| u64::try_from(token.version).ok());
        let version = match resumed {
            // A token without a version goes on from what is there now.
            Some(version) => version.unwrap_or(now),
            None if query.exact => query.version.unwrap_or(now),
            None => now,
        };
        let table = self.store.table(&resource.table);
        let snapshot: Option<BTreeMap<String, Arc<Stored>>> = if version == now {
            None
        } else {
            let found = table.at_version(version);
            Some(found.ok_or_else(|| expired(query))?)
        };
        let start = query.token.as_ref().map_or(query.prefix.as_str(), |token| token.start.as_str());
        let all: Box<dyn Iterator<Item = (&String, &Arc<Stored>)>> = match &snapshot {
            Some(objects) => {
                let prefix = query.prefix.as_str();
                Box::new(
                    objects.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix)),
                )
            }
            None => Box::new(table.range(&query.prefix)),
        };
        let mut rest =
            all.filter(|(key, _)| key.as_str() >= start).filter(|(_, s)| query.selector.matches(&s.value));
        let page: Vec<(String, Arc<Stored>)> =
            rest.by_ref().take(query.limit).map(|(key, stored)| (key.clone(), stored.clone())).collect();
        let left = rest.count();
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let Some((last, _)) = page.last().filter(|_| left > 0) {
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            metadata["continue"] = Token { version, start: format!("{last}\0") }.encode().into();
            if query.selector.is_everything() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        Ok(Page { items: page.into_iter().map(|(_, stored)| stored).collect(), metadata })
    }
}

fn expired(query: &ListQuery) -> ApiError {
    match &query.token {
        Some(token) => {
            let mut error = ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a \
                 new list without the continue parameter, or use the continue token in this response to retrieve \
                 the remainder of the results.",
            );
            error.continue_token = Some(Token { version: -1, start: token.start.clone() }.encode());
            error
        }
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
    }
}

impl Page {
    /// The same list without anything in it.
    pub(crate) fn emptied(mut self) -> Self {
        self.items.clear();
        if let Some(metadata) = self.metadata.as_object_mut() {
            metadata.retain(|key, _| key == "resourceVersion");
        }
        self
    }

    /// The list, in the shape that the client asked for.
    pub(crate) fn write(&self, resource: &Resource, shape: Shape) -> Vec<u8> {
        if let Shape::Table(include) = shape {
            let table = resource.strategy.table();
            let shown = |stored: &Arc<Stored>| match include {
                // Only whole objects differ from version to version.
                super::table::IncludeObject::Object => {
                    table.row(&render::shown(resource, &stored.value), include)
                }
                _ => table.row(&stored.value, include),
            };
            let rows: Vec<Value> = self.items.iter().map(shown).collect();
            return json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": self.metadata,
                "columnDefinitions": table.column_definitions(), "rows": rows,
            })
            .to_string()
            .into_bytes();
        }
        let (kind, version) = match shape {
            Shape::Partial => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
            _ => (resource.list_kind.as_str(), resource.api_version()),
        };
        let mut text = format!(
            r#"{{"kind":{},"apiVersion":{},"metadata":{},"items":["#,
            json!(kind),
            json!(version),
            self.metadata
        )
        .into_bytes();
        for (i, stored) in self.items.iter().enumerate() {
            if i > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&render::item(resource, stored, shape));
        }
        text.extend_from_slice(b"]}");
        text
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().map(|s| (object::namespace(&s.value), object::name(&s.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_survives_its_written_form() {
        let token = Token { version: 12, start: "default/a>?\0".to_owned() };
        assert_eq!(Token::decode(&token.encode()).ok(), Some(token));
        assert!(Token::decode("garbage").is_err());
    }
}
