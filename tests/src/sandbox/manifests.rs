//! Applying manifests as `kubectl apply --server-side` does.

use std::path::{Path, PathBuf};

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, TypeMeta};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Duration, Instant};

/// The field manager the sandbox applies as.
const MANAGER: &str = "sandbox";
/// How long a definition may take until what it defines is served.
const SERVED_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Why a manifest could not be applied.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML, or no Kubernetes object.
    #[error("{place}: not a Kubernetes object: {reason}")]
    NotAnObject {
        /// Which file or text.
        place: String,
        /// Why.
        reason: String,
    },
    /// The API server refused it.
    #[error("{what}: {source}")]
    Refused {
        /// Kind and name.
        what: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// The manifests of a folder, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let unreadable = |source| ManifestError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The objects of a file of one or more documents.
///
/// # Errors
/// When it cannot be read, or a document is no Kubernetes object.
pub fn read(path: &Path) -> Result<Vec<DynamicObject>, ManifestError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ManifestError::Unreadable { path: path.to_owned(), source })?;
    parse(&text, &path.display().to_string())
}

/// The objects of a text of one or more documents; `place` is for messages.
///
/// # Errors
/// When a document is no Kubernetes object.
pub fn parse(text: &str, place: &str) -> Result<Vec<DynamicObject>, ManifestError> {
    serde_saphyr::from_multiple(text)
        .map_err(|error| ManifestError::NotAnObject { place: place.into(), reason: error.to_string() })
}

/// Applies one object; returns kind and name as kubectl shows them. After a definition, what it defines is served.
///
/// # Errors
/// When the API server does not know the kind or refuses the object.
pub async fn apply(client: &kube::Client, object: &DynamicObject) -> Result<String, ManifestError> {
    let types =
        object.types.clone().unwrap_or_else(|| TypeMeta { api_version: String::new(), kind: String::new() });
    let name = object.metadata.name.clone().unwrap_or_default();
    let what = format!("{}/{name}", types.kind.to_lowercase());
    let refused = |source| ManifestError::Refused { what: what.clone(), source: Box::new(source) };
    let kind = GroupVersionKind::try_from(&types)
        .map_err(|error| ManifestError::NotAnObject { place: what.clone(), reason: error.to_string() })?;
    let (resource, capabilities) = pinned_kind(client, &kind).await.map_err(refused)?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object)).await.map_err(refused)?;
    if types.kind == "CustomResourceDefinition" {
        until_served(client, object).await.map_err(refused)?;
    }
    Ok(what)
}

/// Waits until the custom resources of a definition can be used: an API server takes a moment.
async fn until_served(client: &kube::Client, definition: &DynamicObject) -> kube::Result<()> {
    let spec = &definition.data["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let deadline = Instant::now() + SERVED_TIMEOUT;
    for version in
        spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true)
    {
        let kind = GroupVersionKind::gvk(&group, &text(&version["name"]), &kind);
        while let Err(error) = list_one(client, &kind).await {
            if Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

async fn list_one(client: &kube::Client, kind: &GroupVersionKind) -> kube::Result<()> {
    let (resource, _) = pinned_kind(client, kind).await?;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.list_metadata(&ListParams::default().limit(1)).await.map(drop)
}
