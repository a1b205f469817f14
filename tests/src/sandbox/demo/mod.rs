//! The demonstration: every Service of the examples gets what it asks for, or is told why not.

mod aws;
mod bare;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Service};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::timeout;

use super::network;
use super::page::{Ink, say, say_in};
use super::{Platform, Sandbox, SandboxError, manifests, table};
use crate::cluster::{DEADLINE, condition};

/// The Service with a mistake in it, among the examples of every provider.
const TYPO: &str = "typo";

pub(super) async fn run(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let telling = tokio::spawn(tell_events(sandbox.client.clone()));
    let shown = match &sandbox.platform {
        Platform::Bare => bare::show(sandbox).await,
        Platform::Aws(account) => aws::show(sandbox, account).await,
    };
    telling.abort();
    shown?;
    let entered = network::is_entered();
    if let Some(folder) = &entered {
        network::show(&sandbox.plane, folder).await?;
    }
    let (other, has) = match &sandbox.platform {
        Platform::Bare => ("aws", "Network Load Balancers"),
        Platform::Aws(_) => ("bare", "addresses from pools"),
    };
    headline("What to try next");
    say(&format!("  cargo run --bin sandbox -- --provider {}", sandbox.provider));
    say("      the same control plane stays up, for kubectl and manifests of your own");
    say(&format!("  cargo run --bin sandbox -- --demo --provider {other}"));
    say(&format!("      the same with {has}"));
    if entered.is_none() {
        say("  cargo run --bin sandbox -- --demo --network");
        say("      two nodes and a client on a network, and a node that is cut off");
    }
    say("  README.md, \"Run it in a cluster\"");
    Ok(())
}

/// Applies the examples, each as `prepared`.
async fn apply_examples(
    sandbox: &Sandbox,
    prepared: impl Fn(&mut DynamicObject),
) -> Result<(), SandboxError> {
    headline("Applying the examples");
    for file in manifests::files(&sandbox.examples)? {
        for mut object in manifests::read(&file)? {
            prepared(&mut object);
            say(&format!("  {} applied", manifests::apply(&sandbox.client, &object).await?));
        }
    }
    Ok(())
}

/// Waits until every Service is served, but for the one with the typo, which is told why not; then shows them.
async fn show_services(sandbox: &Sandbox, services: &Api<Service>) -> Result<(), SandboxError> {
    let provider = sandbox.provider;
    until(services, "every Service is served or refused", |all| {
        all.iter().all(|s| reason(s, provider) == if s.name_any() == TYPO { "Invalid" } else { "Ensured" })
    })
    .await?;
    say(&indented(&table::services(&list(services).await?)));
    if let Some((_, reason, message)) = condition(&services.get(TYPO).await?, provider) {
        say(&format!("\n  {TYPO} is {reason}: {message}"));
    }
    Ok(())
}

/// The reason in a provider's condition; empty without one.
fn reason(service: &Service, provider: &str) -> String {
    condition(service, provider).map(|(_, reason, _)| reason).unwrap_or_default()
}

pub(super) fn headline(text: &str) {
    say_in(Ink::Headline, &format!("\n{text}"));
    say("");
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
pub(super) async fn until(
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
        let kind = event.type_.as_deref().unwrap_or_default();
        let told = format!(
            "  · {kind} {} {}: {}",
            event.reason.as_deref().unwrap_or_default(),
            event.involved_object.name.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default(),
        );
        say_in(if kind == "Warning" { Ink::Warning } else { Ink::Plain }, &told);
    }
}
