//! Addresses from pools: given, refused, given back, given again.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::super::page::say;
use super::super::{Sandbox, SandboxError, manifests, table};
use super::{apply_examples, headline, indented, list, show_services, until};
use crate::cluster::addresses;

pub(super) async fn show(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let client = &sandbox.client;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    apply_examples(sandbox, |_| ()).await?;

    headline("Every Service gets an address, or is told why not");
    show_services(sandbox, &services).await?;

    headline("Deleting web: its address is free again");
    let freed = addresses(&services.get("web").await?);
    services.delete("web", &DeleteParams::default()).await?;
    until(&services, "web is gone", |all| all.iter().all(|s| s.name_any() != "web")).await?;
    let another = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "another", "namespace": "default" },
        "spec": { "type": "LoadBalancer", "selector": { "app": "another" }, "ports": [{ "port": 80 }] },
    });
    let another = serde_json::from_value(another).map_err(kube::Error::SerdeError)?;
    say(&format!("  {} applied", manifests::apply(client, &another).await?));
    until(&services, "another is served", |all| {
        all.iter().any(|s| s.name_any() == "another" && !addresses(s).is_empty())
    })
    .await?;
    let all = list(&services).await?;
    say(&indented(&table::services(&all)));
    let reused = all.iter().find(|s| s.name_any() == "another").map(addresses).unwrap_or_default();
    if reused != freed {
        let message = format!("web gave back {freed:?}, and another Service got {reused:?}");
        return Err(SandboxError::Unexpected(message));
    }
    say(&format!("\n  {} went from web to another.", freed.join(", ")));
    Ok(())
}
