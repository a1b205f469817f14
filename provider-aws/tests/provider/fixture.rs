//! A cluster on a strict in-memory AWS, and a controller in a few lines.

use std::sync::Arc;

use cloud_provider::testing::{ServiceBuilder, a_node, a_service_named, request};
use cloud_provider::{CloudLoadBalancer, Error, NodeSet, Outcome, Published, Request, ServiceView};
use provider_aws::client::fake::{FakeAws, SeededVpc};
use provider_aws::client::{
    Aws, Call, Ec2, Elbv2, LoadBalancer, SecurityGroup, SecurityGroupQuery, Select, SharingOptions, Target,
};
use provider_aws::{AwsConfig, AwsProvider};

/// What every annotation key of a load balancer starts with.
pub(crate) const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// More than any sequence of faults of a test makes fail.
const MAX_TRIES: usize = 40;

pub(crate) struct Cluster {
    pub(crate) aws: FakeAws,
    pub(crate) vpc: SeededVpc,
    pub(crate) instances: Vec<String>,
    pub(crate) config: AwsConfig,
    pub(crate) provider: Arc<AwsProvider>,
}

/// Three zones and this many nodes, with a provider that has resumed.
pub(crate) async fn a_cluster(nodes: usize) -> Cluster {
    a_cluster_with(nodes, |_| {}).await
}

pub(crate) async fn a_cluster_with(nodes: usize, configure: impl FnOnce(&mut AwsConfig)) -> Cluster {
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    let instances = aws.seed_nodes(&vpc, nodes);
    let mut config = AwsConfig::new("prod");
    config.vpc_id = Some(vpc.id.clone());
    configure(&mut config);
    let provider = start(&aws, &config);
    provider.resume(&[]).await.expect("an empty account can be resumed");
    Cluster { aws, vpc, instances, config, provider }
}

fn start(aws: &FakeAws, config: &AwsConfig) -> Arc<AwsProvider> {
    let shared = Aws::new(aws.clone(), SharingOptions::default());
    Arc::new(AwsProvider::new(shared, config.clone()))
}

/// A Service of our class.
pub(crate) fn web(name: &str) -> ServiceBuilder {
    a_service_named("default", name).class(AwsConfig::CLASS)
}

/// Nodes for these instances.
pub(crate) fn nodes_of<'a>(instances: impl IntoIterator<Item = &'a String>) -> NodeSet {
    NodeSet::of(
        instances.into_iter().enumerate().map(|(i, id)| {
            a_node(&format!("n{i:04}")).provider_id(&format!("aws:///us-east-1a/{id}")).build()
        }),
    )
}

impl Cluster {
    /// Another process on the same account.
    pub(crate) async fn restart(&mut self, services: &[Arc<ServiceView>]) {
        self.provider = start(&self.aws, &self.config);
        for _ in 0..MAX_TRIES {
            if self.provider.resume(services).await.is_ok() {
                return;
            }
        }
        panic!("not resumed after {MAX_TRIES} tries");
    }

    pub(crate) fn nodes(&self) -> NodeSet {
        nodes_of(&self.instances)
    }

    pub(crate) fn request(&self, service: &ServiceView) -> Request {
        request(service, &self.nodes())
    }

    pub(crate) async fn ensure(&self, service: &ServiceView) -> Result<Outcome, Error> {
        self.ensure_on(service, &self.nodes()).await
    }

    /// Plays the controller as long as there is something to do at once: what is published is written, and the Service
    /// is looked at again.
    pub(crate) async fn ensure_on(&self, service: &ServiceView, nodes: &NodeSet) -> Result<Outcome, Error> {
        let mut service = service.clone();
        for _ in 0..MAX_TRIES {
            match self.provider.ensure(&request(&service, nodes)).await {
                Ok(Outcome::Pending(pending)) if pending.after == Some(std::time::Duration::ZERO) => {
                    service.published = pending.publish.map(|it| it.ingress).unwrap_or(service.published);
                }
                outcome => return outcome,
            }
        }
        panic!("after {MAX_TRIES} calls there is still something to do at once");
    }

    /// Plays the controller until the Service is ready: errors and waits are met with another try, what is
    /// published is written into the status.
    pub(crate) async fn ready(&self, service: &mut ServiceView) -> Published {
        self.ready_on(service, &self.nodes()).await
    }

    pub(crate) async fn ready_on(&self, service: &mut ServiceView, nodes: &NodeSet) -> Published {
        for _ in 0..MAX_TRIES {
            match self.provider.ensure(&request(service, nodes)).await {
                Ok(Outcome::Ready(ready)) => {
                    service.published = ready.published.ingress.clone();
                    return ready.published;
                }
                Ok(Outcome::Pending(pending)) => {
                    if let Some(published) = pending.publish {
                        service.published = published.ingress;
                    }
                    self.aws.settle();
                }
                Err(error @ (Error::Invalid(_) | Error::InvalidInPart(_))) => {
                    panic!("a mistake is never mended by waiting: {error}")
                }
                Err(_) => {
                    tokio::time::advance(std::time::Duration::from_secs(5)).await;
                    self.aws.settle();
                }
            }
        }
        panic!("not ready after {MAX_TRIES} tries; AWS has {:#?}", self.aws.remaining());
    }

    /// Plays the controller until the Service is deleted.
    pub(crate) async fn deleted(&self, service: &ServiceView) {
        for _ in 0..MAX_TRIES {
            match self.provider.delete(&service.id).await {
                Ok(()) => return,
                Err(_) => {
                    tokio::time::advance(std::time::Duration::from_secs(5)).await;
                    self.aws.settle();
                }
            }
        }
        panic!("not deleted after {MAX_TRIES} tries; AWS has {:#?}", self.aws.remaining());
    }

    /// The only load balancer there is.
    pub(crate) async fn load_balancer(&self) -> LoadBalancer {
        let mut all = self.load_balancers().await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    pub(crate) async fn load_balancers(&self) -> Vec<LoadBalancer> {
        // A fault that is still to come may hit the test's own look.
        for _ in 0..MAX_TRIES {
            if let Ok(page) = self.aws.describe_load_balancers(&Select::All, None).await {
                return page.items;
            }
        }
        panic!("load balancers cannot be read in {MAX_TRIES} tries");
    }

    /// The targets that are registered, of all target groups.
    pub(crate) async fn targets(&self) -> Vec<Target> {
        for _ in 0..MAX_TRIES {
            if let Ok(targets) = self.look_at_targets().await {
                return targets;
            }
        }
        panic!("targets cannot be read in {MAX_TRIES} tries");
    }

    async fn look_at_targets(&self) -> provider_aws::client::Result<Vec<Target>> {
        let mut targets = Vec::new();
        for group in self.aws.describe_target_groups(&Select::All, None).await?.items {
            let health = self.aws.describe_target_health(&group.arn, &[]).await?;
            targets.extend(health.into_iter().filter(|t| !t.state.is_leaving()).map(|t| t.target));
        }
        targets.sort();
        Ok(targets)
    }

    /// The requests that `act` makes.
    pub(crate) async fn requests<F: Future>(&self, act: F) -> (F::Output, Vec<Call>) {
        let before = self.aws.requests().len();
        let output = act.await;
        (output, self.aws.requests().split_off(before))
    }

    /// The mistakes that keep a Service from being served, or a part of it.
    pub(crate) async fn mistakes(&self, service: &ServiceView) -> String {
        match self.ensure(service).await {
            Err(Error::Invalid(mistakes) | Error::InvalidInPart(mistakes)) => mistakes.to_string(),
            Ok(Outcome::Pending(pending)) if pending.reason == "PartlyRefused" => pending.why,
            other => panic!("expected mistakes, got {other:?}"),
        }
    }
}

/// A security group as EC2 shows it.
pub(crate) async fn group(aws: &FakeAws, id: &str) -> SecurityGroup {
    let query = SecurityGroupQuery { ids: vec![id.to_owned()], ..SecurityGroupQuery::default() };
    aws.describe_security_groups(&query, None).await.unwrap().items.remove(0)
}
