//! The demonstration: every Service of the examples gets what it asks for, or is told why not.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::time::timeout;

use super::{Sandbox, SandboxError, manifests, table};
use crate::cluster::{DEADLINE, addresses, condition};

/// Who serves in the sandbox.
const PROVIDER: &str = "bare";

pub(super) async fn run(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let telling = tokio::spawn(tell_events(sandbox.client.clone()));
    let shown = show(sandbox).await;
    telling.abort();
    shown
}

async fn show(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let client = &sandbox.client;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    headline("Applying the examples");
    for file in manifests::files(&sandbox.examples)? {
        for object in manifests::read(&file)? {
            println!("  {} applied", manifests::apply(client, &object).await?);
        }
    }

    headline("Every Service gets an address, or is told why not");
    until(&services, "every Service is served or refused", |all| {
        all.iter().all(|s| {
            condition(s, PROVIDER).is_some_and(|(_, reason, _)| reason == "Ensured" || s.name_any() == "typo")
        })
    })
    .await?;
    println!("{}", indented(&table::services(&list(&services).await?)));
    let typo = services.get("typo").await?;
    if let Some((_, reason, message)) = condition(&typo, PROVIDER) {
        println!("\n  typo is {reason}: {message}");
    }

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
    println!("  {} applied", manifests::apply(client, &another).await?);
    until(&services, "another is served", |all| {
        all.iter().any(|s| s.name_any() == "another" && !addresses(s).is_empty())
    })
    .await?;
    let all = list(&services).await?;
    println!("{}", indented(&table::services(&all)));
    let reused = all.iter().find(|s| s.name_any() == "another").map(addresses).unwrap_or_default();
    if reused != freed {
        let message = format!("web gave back {freed:?}, and another Service got {reused:?}");
        return Err(SandboxError::Unexpected(message));
    }
    println!("\n  {} went from web to another.", freed.join(", "));
    Ok(())
}

fn headline(text: &str) {
    println!("\n{text}\n");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The Services that want a load balancer.
async fn list(services: &Api<Service>) -> Result<Vec<Service>, SandboxError> {
    let mut all = services.list(&ListParams::default()).await?.items;
    all.retain(|s| s.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer"));
    Ok(all)
}

/// Waits until the Services are as described.
async fn until(
    services: &Api<Service>,
    what: &str,
    are_so: impl Fn(&[Service]) -> bool,
) -> Result<(), SandboxError> {
    let mut changes = std::pin::pin!(watcher(services.clone(), watcher::Config::default()).default_backoff());
    let watching = async {
        while changes.next().await.is_some() {
            if are_so(&list(services).await?) {
                break;
            }
        }
        Ok(())
    };
    timeout(DEADLINE, watching)
        .await
        .unwrap_or_else(|_| Err(SandboxError::Unexpected(format!("it did not come true that {what}"))))
}

/// Prints events on Services as they come.
async fn tell_events(client: kube::Client) {
    let events: Api<Event> = Api::namespaced(client, "default");
    let on_services = watcher::Config::default().fields("involvedObject.kind=Service");
    let stream = watcher(events, on_services).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    while let Ok(Some(event)) = stream.try_next().await {
        println!(
            "  · {} {} {}: {}",
            event.type_.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            event.involved_object.name.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default(),
        );
    }
}
