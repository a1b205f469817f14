//! What a request asks for: the resource its path leads to, its verb, and its options.

use std::collections::HashMap;

use super::pod_proxy::PROXY;
use super::status::{ApiError, Result};

/// The part of an object that a request addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subresource {
    Main,
    Status,
    Finalize,
}

impl Subresource {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }
}

/// A path below `/api/v1` or `/apis/GROUP/VERSION`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What is asked of whom the subresource `proxy` leads to.
    pub(crate) below: String,
    /// The old form of a watch: `/api/v1/watch/services`.
    pub(crate) watch: bool,
}

impl ResourcePath {
    /// `None` when the path is not that of a resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let decoded: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode).collect();
        let mut parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let (group, version) = match parts.as_slice() {
            ["api", version, _, ..] => ("", *version),
            ["apis", group, version, _, ..] => (*group, *version),
            _ => return None,
        };
        let mut found = Self { group: group.to_owned(), version: version.to_owned(), ..Self::default() };
        parts.drain(..if group.is_empty() { 2 } else { 3 });
        if parts.len() > 1 && parts[0] == "watch" {
            found.watch = true;
            parts.remove(0);
        }
        // `/namespaces/x/status` is a part of the Namespace x, not a resource in it.
        if let ["namespaces", namespace, resource, ..] = parts.as_slice()
            && !["status", "finalize"].contains(resource)
        {
            found.namespace = (*namespace).to_owned();
            parts.drain(..2);
        }
        let mut parts = parts.into_iter().map(str::to_owned);
        found.resource = parts.next().unwrap_or_default();
        found.name = parts.next().unwrap_or_default();
        let rest: Vec<String> = parts.collect();
        match rest.split_first() {
            Some((first, below)) if first == PROXY => {
                found.subresource.clone_from(first);
                found.below = format!("/{}", below.join("/"));
            }
            _ => found.subresource = rest.join("/"),
        }
        Some(found)
    }
}

/// The query string.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// The value, if it is there and not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|v| matches!(v.as_str(), "1" | "true" | "True" | ""))
    }

    /// A whole number; anything else is a mistake of the client.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
                })
            })
            .transpose()
    }
}

/// Undoes percent-encoding and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let code = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> (String, String, String, String) {
        let p = ResourcePath::parse(path).expect("a resource path");
        (p.namespace, p.resource, p.name, p.subresource)
    }

    fn parts(a: &str, b: &str, c: &str, d: &str) -> (String, String, String, String) {
        (a.into(), b.into(), c.into(), d.into())
    }

    #[test]
    fn paths_lead_to_resources() {
        assert_eq!(parsed("/api/v1/nodes"), parts("", "nodes", "", ""));
        assert_eq!(parsed("/api/v1/namespaces/a"), parts("", "namespaces", "a", ""));
        assert_eq!(parsed("/api/v1/namespaces/a/finalize"), parts("", "namespaces", "a", "finalize"));
        assert_eq!(parsed("/api/v1/namespaces/a/services/b/status"), parts("a", "services", "b", "status"));
        assert_eq!(parsed("/apis/x.io/v1/namespaces/a/pools"), parts("a", "pools", "", ""));
        assert_eq!(parsed("/api/v1/namespaces/a/pods/b:80/proxy/c/d"), parts("a", "pods", "b:80", "proxy"));
        assert_eq!(ResourcePath::parse("/apis/x.io/v1"), None);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%20in%20(b,c)&watch=true&limit=");
        assert_eq!(query.get("labelSelector"), Some("a in (b,c)"));
        assert!(query.flag("watch"));
        assert_eq!(query.get("limit"), None);
    }
}
