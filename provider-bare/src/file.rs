//! Pools from a file of manifests, as one would give them to `kubectl apply`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cloud_provider::Mistake;
use serde_json::Value;

use crate::error::SourceError;
use crate::pool::Definition;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifests {
    /// The pools, in the order written.
    pub pools: Vec<Definition>,
    /// What was passed over, one sentence each: other kinds have no meaning here.
    pub passed_over: Vec<String>,
}

/// Reads a file of manifests.
///
/// # Errors
/// If the file cannot be read. What is wrong in it is found in the definitions.
pub fn read(path: &Path) -> Result<Manifests, SourceError> {
    text_of(path).map(|text| parse(&text))
}

fn text_of(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::File { path: path.to_owned(), source })
}

/// A file of manifests, and what was last read in it.
#[derive(Debug)]
pub(crate) struct PoolFile {
    path: PathBuf,
    last: Mutex<Option<String>>,
}

impl PoolFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        PoolFile { path, last: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self) -> Result<Manifests, SourceError> {
        let text = text_of(&self.path)?;
        let manifests = parse(&text);
        self.note(text);
        Ok(manifests)
    }

    /// What is in it, if that is not what was last read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read_if_changed(&self) -> Result<Option<Manifests>, SourceError> {
        let text = text_of(&self.path)?;
        let changed = self.note(text.clone());
        Ok(changed.then(|| parse(&text)))
    }

    fn note(&self, text: String) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = last.as_ref() != Some(&text);
        *last = Some(text);
        changed
    }
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
                let spec = Err(mistake);
                manifests.pools.push(Definition {
                    namespace: String::new(),
                    name,
                    created: None,
                    annotations: BTreeMap::new(),
                    spec,
                });
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
