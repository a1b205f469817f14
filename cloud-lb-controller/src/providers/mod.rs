//! The providers the program can run, each in a folder of its own.
//!
//! What the rest of the program knows of them is [`ProviderKind`] and [`Provider`]: another provider is another folder with
//! the same files (flags, build, doctor, rights, metrics) and a line in [`KINDS`].

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "bare")]
mod bare;

use std::fmt::Debug;
use std::sync::Arc;

use apiserver_client::Watches;
use async_trait::async_trait;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use cloud_provider::{ClassRule, CloudLoadBalancer};
use service_controller::Metrics;

use crate::error::CliError;
use crate::finding::Finding;
use crate::rights::Right;

/// All of them, in the order of the help.
const KINDS: &[ProviderKind] = &[
    #[cfg(feature = "aws")]
    aws::KIND,
    #[cfg(feature = "bare")]
    bare::KIND,
];

/// What is known of a provider before its flags are read.
pub(crate) struct ProviderKind {
    /// As `--cloud-provider` names it.
    pub name: &'static str,
    /// What it makes, for the help.
    pub help: &'static str,
    /// Adds its flags to a command.
    pub add_flags: fn(Command) -> Command,
    /// Reads its flags.
    pub read_flags: fn(&ArgMatches) -> Result<Arc<dyn Provider>, Error>,
    /// The manifest of the resources that it defines in a cluster; empty if it needs none.
    pub definitions: fn() -> Result<String, CliError>,
}

/// A provider as its flags describe it.
#[async_trait]
pub(crate) trait Provider: Debug + Send + Sync {
    /// The class of Services it serves.
    fn class(&self) -> &ClassRule;

    /// Whether it finds machines by the provider ID of their Nodes.
    fn needs_provider_ids(&self) -> bool;

    /// What it asks of the API server beyond what the controller does.
    fn rights(&self) -> Vec<Right>;

    /// From now on what it counts is shown there.
    fn show_metrics(&self, metrics: &Metrics);

    /// The provider itself; what its flags leave open is found out. What it follows at the API server stands beside
    /// `watches`, and is one of them.
    ///
    /// # Errors
    /// When it cannot be made. [`CliError::Api`] may pass by itself.
    async fn build(
        &self,
        client: &kube::Client,
        watches: &Watches,
    ) -> Result<Arc<dyn CloudLoadBalancer>, CliError>;

    /// What usually goes wrong with it.
    async fn doctor(&self, client: &kube::Client) -> Vec<Finding>;
}

/// The kinds by their names.
pub(crate) fn kinds() -> impl Iterator<Item = &'static ProviderKind> {
    KINDS.iter()
}

/// Each of these as something that makes load balancers.
///
/// # Errors
/// When one cannot be made from its flags and from what they leave to be found out.
pub(crate) async fn build(
    chosen: &[Arc<dyn Provider>],
    client: &kube::Client,
    watches: &Watches,
) -> Result<Vec<Arc<dyn CloudLoadBalancer>>, CliError> {
    let mut built = Vec::with_capacity(chosen.len());
    for provider in chosen {
        built.push(provider.build(client, watches).await?);
    }
    Ok(built)
}

/// The flags of every provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderFlags(Vec<(&'static str, Arc<dyn Provider>)>);

impl ProviderFlags {
    /// The providers of these names, in their order.
    ///
    /// # Errors
    /// When there is no name.
    pub(crate) fn chosen(&self, names: &[String]) -> Result<Vec<Arc<dyn Provider>>, CliError> {
        if names.is_empty() {
            let message = "--cloud-provider is missing: who is to make load balancers? --help lists them";
            return Err(CliError::Usage(message.into()));
        }
        let named = |name: &String| self.0.iter().find(|(known, _)| known == name);
        Ok(names.iter().filter_map(named).map(|(_, provider)| provider.clone()).collect())
    }
}

impl Args for ProviderFlags {
    fn augment_args(command: Command) -> Command {
        KINDS.iter().fold(command, |command, kind| (kind.add_flags)(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ProviderFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let read = |kind: &ProviderKind| Ok((kind.name, (kind.read_flags)(matches)?));
        KINDS.iter().map(read).collect::<Result<_, _>>().map(ProviderFlags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
