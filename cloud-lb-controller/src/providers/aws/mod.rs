//! Network Load Balancers of AWS.

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
use flags::AwsFlags;
use metrics::Requests;

/// Provider aws.
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "aws",
    help: "Network Load Balancers of AWS",
    add_flags: AwsFlags::augment_args,
    read_flags: |matches| {
        let flags = AwsFlags::from_arg_matches(matches)?;
        Ok(Arc::new(Aws { flags, requests: Arc::default() }))
    },
    definitions: || Ok(String::new()),
};

#[derive(Debug)]
struct Aws {
    flags: AwsFlags,
    requests: Arc<Requests>,
}

#[async_trait]
impl Provider for Aws {
    fn class(&self) -> &ClassRule {
        &self.flags.aws_class
    }

    fn needs_provider_ids(&self) -> bool {
        true
    }

    fn rights(&self) -> Vec<Right> {
        Vec::new()
    }

    fn show_metrics(&self, metrics: &Metrics) {
        self.requests.show_in(metrics);
    }

    async fn build(
        &self,
        client: &kube::Client,
        _watches: &Watches,
    ) -> Result<Arc<dyn CloudLoadBalancer>, CliError> {
        build::provider(&self.flags, client, self.requests.clone()).await
    }

    async fn doctor(&self, client: &kube::Client) -> Vec<Finding> {
        doctor::look(client, &self.flags).await
    }
}
