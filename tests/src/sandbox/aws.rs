//! AWS as the sandbox has it: the strict AWS in memory, or the endpoint that `AWS_ENDPOINT_URL` names.

use std::sync::Arc;
use std::time::Duration;

use provider_aws::client::fake::{FakeAws, Lag, Lags};
use provider_aws::client::{Aws, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};

use super::SandboxError;
use crate::aws::{ENDPOINT_URL, Endpoint, Network};

/// The cluster's name at AWS.
const CLUSTER: &str = "sandbox";
/// How many nodes the cluster has.
const NODE_COUNT: usize = 3;
/// How long AWS takes to make a load balancer: seconds here, minutes there.
const PROVISIONING_TIME: Duration = Duration::from_secs(1);
/// Where an endpoint that is given is asked, unless `AWS_REGION` says otherwise.
const REGION: &str = "us-east-1";

/// An account with a network and instances.
pub(super) struct Account {
    backing: Backing,
    /// The provider IDs of the instances.
    pub(super) nodes: Vec<String>,
    /// The ARN of a certificate.
    pub(super) certificate: String,
}

enum Backing {
    Memory(FakeAws, String),
    Endpoint(Box<Network>),
}

impl Account {
    /// Opens one as the environment wants it.
    ///
    /// # Errors
    /// When the endpoint that it names does not answer as AWS does.
    pub(super) async fn open() -> Result<Self, SandboxError> {
        match std::env::var(ENDPOINT_URL) {
            Ok(url) if !url.is_empty() => Account::at(url).await,
            _ => Ok(Account::in_memory()),
        }
    }

    fn in_memory() -> Self {
        let aws = FakeAws::new();
        // The first thing that is made, so that its ARN is the one in the examples.
        let certificate = aws.seed_certificate();
        aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(PROVISIONING_TIME)));
        let vpc = aws.seed_vpc(3);
        let instances = aws.seed_nodes(&vpc, NODE_COUNT);
        let nodes = instances.iter().map(|id| format!("aws:///us-east-1a/{id}")).collect();
        Account { backing: Backing::Memory(aws, vpc.id), nodes, certificate }
    }

    async fn at(url: String) -> Result<Self, SandboxError> {
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| REGION.to_owned());
        let endpoint = Endpoint::at(&url, &region).await;
        endpoint.answers().await.map_err(|reason| SandboxError::Endpoint { url, reason })?;
        let network = Network::seed(&endpoint, CLUSTER).await;
        let mut nodes = Vec::new();
        for number in 0..NODE_COUNT {
            nodes.push(network.launch(number).await);
        }
        // Emulators take IAM's certificates on trust.
        let certificate = "arn:aws:iam::123456789012:server-certificate/sandbox".to_owned();
        Ok(Account { backing: Backing::Endpoint(Box::new(network)), nodes, certificate })
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        match &self.backing {
            Backing::Memory(..) => "the strict AWS in memory".to_owned(),
            Backing::Endpoint(network) => {
                format!("{} in region {}", network.endpoint.url, network.endpoint.region)
            }
        }
    }

    /// The provider on this account.
    pub(super) fn provider(&self) -> Arc<AwsProvider> {
        let (aws, vpc) = match &self.backing {
            Backing::Memory(aws, vpc) => (Aws::new(aws.clone(), SharingOptions::default()), vpc),
            Backing::Endpoint(network) => {
                (Aws::new(network.endpoint.sdk(), SharingOptions::default()), &network.vpc)
            }
        };
        let vpc_id = Some(vpc.clone());
        let mut config = AwsConfig::new(CLUSTER);
        config.provisioning_look = PROVISIONING_TIME;
        config.vpc_id = vpc_id;
        Arc::new(AwsProvider::new(aws, config))
    }

    /// What is there that was not before, a line each.
    pub(super) async fn leftovers(&self) -> Vec<String> {
        match &self.backing {
            Backing::Memory(aws, _) => aws.remaining(),
            Backing::Endpoint(network) => network.leftovers().await,
        }
    }
}
