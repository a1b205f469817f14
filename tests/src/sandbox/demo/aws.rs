//! Network Load Balancers: planned, made, taken down.

use cloud_provider::CloudLoadBalancer;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::json;

use super::super::aws::Account;
use super::super::page::say;
use super::super::{Sandbox, SandboxError, table};
use super::{TYPO, apply_examples, headline, indented, list, reason, show_services, until};

/// The annotations that hold the mistakes.
const SCHEME: &str = "service.beta.kubernetes.io/aws-load-balancer-scheme";
const HEALTH_INTERVAL: &str = "service.beta.kubernetes.io/aws-load-balancer-healthcheck-interval";
/// The annotation that names certificates.
const CERTIFICATE: &str = "service.beta.kubernetes.io/aws-load-balancer-ssl-cert";

pub(super) async fn show(sandbox: &Sandbox, account: &Account) -> Result<(), SandboxError> {
    let services: Api<Service> = Api::namespaced(sandbox.client.clone(), "default");
    say(&format!("AWS is {}.", account.place()));
    apply_examples(sandbox, |object| give_certificate(object, &account.certificate)).await?;

    headline("Every Service is planned, gets a load balancer, or is told why not");
    show_services(sandbox, &services).await?;

    headline("Mending typo: it gets its load balancer");
    let mended = json!({ "metadata": { "annotations": { SCHEME: "internal", HEALTH_INTERVAL: "10" } } });
    services.patch(TYPO, &PatchParams::default(), &Patch::Merge(mended)).await?;
    until(&services, "typo is served", |all| {
        all.iter().any(|s| s.name_any() == TYPO && reason(s, sandbox.provider) == "Ensured")
    })
    .await?;
    say(&indented(&table::services(&list(&services).await?)));

    headline("Deleting web: what was made for it goes");
    let before = owned_by(account, "web").await?;
    for resource in &before {
        say(&format!("  - {resource}"));
    }
    delete(&services, "web").await?;
    let after = owned_by(account, "web").await?;
    if before.is_empty() || !after.is_empty() {
        let message = format!("of web there was {before:?}; now that it is deleted, there is {after:?}");
        return Err(SandboxError::Unexpected(message));
    }
    say("\n  web is deleted, and nothing of it is left at AWS.");

    headline("Deleting the others");
    for service in list(&services).await? {
        delete(&services, &service.name_any()).await?;
        say(&format!("  {} is deleted", service.name_any()));
    }
    let left = account.leftovers().await;
    if !left.is_empty() {
        return Err(SandboxError::Unexpected(format!("at AWS there is still {left:?}")));
    }
    say("\n  Nothing is left at AWS.");
    Ok(())
}

/// The example names the certificate of the AWS in memory; an endpoint has another.
fn give_certificate(object: &mut DynamicObject, certificate: &str) {
    if let Some(named) = object.annotations_mut().get_mut(CERTIFICATE) {
        certificate.clone_into(named);
    }
}

/// What a Service has at AWS: asked of AWS itself, not of what the controller remembers.
async fn owned_by(account: &Account, name: &str) -> Result<Vec<String>, SandboxError> {
    let owned = account.provider().list().await;
    let owned = owned.map_err(|error| SandboxError::Unexpected(error.to_string()))?;
    Ok(owned
        .into_iter()
        .filter(|owned| *owned.service.key.name == *name)
        .map(|owned| owned.resource)
        .collect())
}

/// Deletes a Service and waits until it is gone.
async fn delete(services: &Api<Service>, name: &str) -> Result<(), SandboxError> {
    services.delete(name, &DeleteParams::default()).await?;
    until(services, &format!("{name} is gone"), |all| all.iter().all(|s| s.name_any() != name)).await
}
