//! Pools from manifests, as one would give them to `kubectl apply`.

use std::net::IpAddr;

use cloud_provider::Mistake;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::pool::Definition;

/// What manifests hold.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Manifests {
    /// The pools, in the order written.
    pub pools: Vec<Definition>,
    /// What was passed over, one sentence each: other kinds have no meaning here.
    pub passed_over: Vec<String>,
}

/// Reads manifests: documents with `---` between, and lists of objects. A document that is no YAML becomes a
/// definition with a mistake, so that it stops nobody but itself.
pub fn parse(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    for (i, document) in documents(text).enumerate() {
        match serde_saphyr::from_str::<Value>(&document) {
            Ok(object) => manifests.add(&object),
            Err(error) => {
                let name = format!("document-{}", i + 1);
                let first_line = document.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let mistake = Mistake::new(&name, first_line, format!("is no YAML: {error}"))
                    .allowing("one Kubernetes manifest");
                let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
                manifests.pools.push(Definition::of(&metadata, Err(mistake)));
            }
        }
    }
    manifests
}

/// Splits before parsing, so that a mistake in one document does not take the others with it.
fn documents(text: &str) -> impl Iterator<Item = String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents.into_iter().filter(|document| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    })
}

/// The smallest pool that holds these addresses, on one line: nobody gets another address from it, and nobody one of
/// these unasked.
pub fn holding(name: &str, namespace: &str, addresses: &[IpAddr]) -> String {
    let ranges: Vec<String> =
        addresses.iter().map(|ip| format!("\"{ip}/{}\"", if ip.is_ipv4() { 32 } else { 128 })).collect();
    format!(
        "{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}, namespace: {namespace}}}, spec: \
         {{autoAssign: false, addresses: [{}]}}}}",
        ranges.join(", ")
    )
}

impl Manifests {
    fn add(&mut self, object: &Value) {
        if let Some(items) = object.get("items").and_then(Value::as_array) {
            items.iter().for_each(|item| self.add(item));
            return;
        }
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let definition = Definition::from_json(object);
        match (text("apiVersion"), text("kind")) {
            ("metallb.io/v1beta1", "IPAddressPool") => self.pools.push(definition),
            (version, kind) => self.passed_over.push(format!(
                "{kind} {:?} ({version}) is no IPAddressPool of metallb.io/v1beta1 and has no meaning here",
                definition.name
            )),
        }
    }
}
