//! Addresses from MetalLB's pools.

mod build;
mod doctor;
mod flags;
mod metrics;
mod rights;

use std::sync::Arc;

use apiserver_client::Watches;
use async_trait::async_trait;
use clap::{Args, FromArgMatches};
use cloud_provider::{ClassRule, CloudLoadBalancer};
use service_controller::Metrics;

use super::{Provider, ProviderKind};
use crate::error::CliError;
use crate::finding::Finding;
use crate::rights::Right;
use flags::BareFlags;
use metrics::PoolMetrics;

/// Provider bare.
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "bare",
    help: "Addresses from pools, as MetalLB has them",
    add_flags: BareFlags::augment_args,
    read_flags: |matches| {
        let flags = BareFlags::from_arg_matches(matches)?;
        Ok(Arc::new(Bare { flags, pools: Arc::default() }))
    },
    definitions: || metallb::crd::manifest().map_err(|error| CliError::Usage(error.to_string())),
};

#[derive(Debug)]
struct Bare {
    flags: BareFlags,
    pools: Arc<PoolMetrics>,
}

#[async_trait]
impl Provider for Bare {
    fn class(&self) -> &ClassRule {
        &self.flags.bare_class
    }

    fn needs_provider_ids(&self) -> bool {
        false
    }

    fn rights(&self) -> Vec<Right> {
        rights::of(&self.flags)
    }

    fn show_metrics(&self, metrics: &Metrics) {
        self.pools.clone().show_in(metrics);
    }

    async fn build(
        &self,
        client: &kube::Client,
        watches: &Watches,
    ) -> Result<Arc<dyn CloudLoadBalancer>, CliError> {
        let provider = build::provider(&self.flags, client, watches)?;
        self.pools.are_those_of(&provider);
        Ok(provider)
    }

    async fn doctor(&self, client: &kube::Client) -> Vec<Finding> {
        doctor::look(client, &self.flags).await
    }
}
