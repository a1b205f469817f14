//! The contract's own suite, on the strict AWS.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_provider::testing::conformance::{Failure, Harness, conformance};
use cloud_provider::testing::{a_node, a_service_named};
use cloud_provider::{CloudLoadBalancer, NodeSet, ServiceView};
use provider_aws::client::fake::{FakeAws, Fault, Lags};
use provider_aws::client::{Aws, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};

struct StrictAws {
    aws: FakeAws,
    instances: Vec<String>,
    config: AwsConfig,
    requests_at_order: std::sync::Mutex<Option<(usize, usize)>>,
}

impl StrictAws {
    fn new(lags: Lags) -> Self {
        let aws = FakeAws::new();
        let vpc = aws.seed_vpc(2);
        let instances = aws.seed_nodes(&vpc, 5);
        aws.set_lags(lags);
        let config = AwsConfig { vpc_id: Some(vpc.id), ..AwsConfig::new("conformance") };
        StrictAws { aws, instances, config, requests_at_order: std::sync::Mutex::default() }
    }
}

#[async_trait]
impl Harness for StrictAws {
    async fn start(&self) -> Arc<dyn CloudLoadBalancer> {
        let aws = Aws::new(self.aws.clone(), SharingOptions::default());
        Arc::new(AwsProvider::new(aws, self.config.clone()))
    }

    fn service(&self, name: &str) -> ServiceView {
        a_service_named("conformance", name).class(AwsConfig::CLASS).build()
    }

    fn nodes(&self, count: usize) -> NodeSet {
        NodeSet::of((0..count).map(|i| {
            let id = &self.instances[i % self.instances.len()];
            a_node(&format!("n{i}")).provider_id(&format!("aws:///us-east-1a/{id}")).build()
        }))
    }

    async fn settle(&self) {
        self.aws.settle();
    }

    fn fail(&self, failure: Failure) -> bool {
        self.aws.heal();
        let fault = if failure.reply_lost { Fault::reply_lost() } else { Fault::before("InternalFailure") };
        *self.requests_at_order.lock().unwrap() = Some((self.aws.requests().len(), failure.call));
        self.aws.fail_nth_request(u32::try_from(failure.call).unwrap(), fault);
        true
    }

    fn heal(&self) -> bool {
        self.aws.heal();
        let ordered = self.requests_at_order.lock().unwrap().take();
        ordered.is_some_and(|(before, nth)| self.aws.requests().len() >= before + nth)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.aws.remaining()
    }
}

#[tokio::test(start_paused = true)]
async fn the_contract_is_kept_on_an_aws_that_is_quick() {
    conformance(&StrictAws::new(Lags::default())).await;
}

#[tokio::test(start_paused = true)]
async fn the_contract_is_kept_on_an_aws_that_is_slow() {
    conformance(&StrictAws::new(Lags::looks(2))).await;
}
