//! `remove-conditions`: takes our conditions off Services, for a way back to another controller.

use apiserver_client::{Lean, Watches};
use clap::Args;
use cloud_provider::SortedMap;
use cloud_provider::kubernetes::service_key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use service_controller::status::{StatusPatch, published_conditions, records};

use crate::error::{CliError, EXIT_CODE_DONE};
use crate::flags::RunFlags;
use crate::{connection, providers};

/// Nothing of its own: it looks for the conditions of the chosen providers.
#[derive(Args, Clone, Debug)]
pub(super) struct RemoveConditionsFlags {
    #[command(flatten)]
    pub run: RunFlags,
}

/// Takes the conditions of the chosen providers off every Service, and touches nothing else: what is published stays. The
/// exit code is 0 also where there were none.
///
/// A condition is also the record of who serves a Service. Of a provider that holds something outside the cluster it is
/// needed until that is deleted, so that its conditions are not removed by this.
///
/// # Errors
/// When a provider holds resources, before anything is written; when the cluster cannot be asked, or refuses a write.
pub(super) async fn run(flags: RemoveConditionsFlags) -> Result<u8, CliError> {
    let client = connection::client(&flags.run.cluster, "remove-conditions").await?;
    let mut names: Vec<String> = Vec::new();
    for provider in
        providers::build(&flags.run.chosen_providers()?, &client, &Watches::new(client.clone())).await?
    {
        if provider.holds_resources() {
            return Err(CliError::Usage(format!(
                "--cloud-provider: the conditions of {} are the record of what it holds; they go with the Services",
                provider.name()
            )));
        }
        names.push(provider.name().to_owned());
    }
    let failed = |doing: String| move |e| CliError::Api { doing, source: Box::new(e) };
    let services = Api::<Lean<Service>>::all(client.clone()).list(&ListParams::default()).await;
    let mut removed = 0_usize;
    for Lean(service) in services.map_err(failed("listing Services".into()))? {
        let ours = records(&service).into_iter().map(|record| record.provider);
        let ours: Vec<String> = ours.filter(|provider| names.contains(provider)).collect();
        if ours.is_empty() {
            continue;
        }
        let key = service_key(&service);
        remove(&client, &service, &ours).await.map_err(failed(format!("writing the status of {key}")))?;
        println!("{key}: removed");
        removed += 1;
    }
    println!("{removed} Services had conditions of {}", names.join(", "));
    Ok(EXIT_CODE_DONE)
}

async fn remove(client: &Client, service: &Service, providers: &[String]) -> kube::Result<()> {
    let mut patch = StatusPatch::default();
    let seen = published_conditions(service);
    for provider in providers {
        patch.forget(provider);
        patch.publish_conditions(provider, &SortedMap::new(), &seen, Timestamp::now());
    }
    // The UID is in the patch: of a Service that was made anew meanwhile nothing is taken.
    let body = patch.body(service.metadata.uid.as_deref().unwrap_or_default());
    let api: Api<Lean<Service>> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    match api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Strategic(body)).await {
        // It has gone, or another of its name is there.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        done => done.map(drop),
    }
}
