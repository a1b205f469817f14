//! The contract's own suite, on the strict AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::testing::conformance::{Failure, Harness, Serving, conformance};
use cloud_provider::testing::{a_node, a_service_named};
use cloud_provider::{CloudLoadBalancer, NodeSet, ServiceId, ServiceView, SessionAffinity, SourceRanges};
use provider_aws::client::fake::{FakeAws, Fault, Lags};
use provider_aws::client::{
    Aws, Ec2, Elbv2, HealthCheckPort, IngressRule, LoadBalancer, Protocol, RuleSource, SecurityGroupQuery,
    Select, SharingOptions,
};
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
        let mut config = AwsConfig::new("conformance");
        config.vpc_id = Some(vpc.id);
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

    fn mistaken(&self, service: &ServiceView) -> Option<ServiceView> {
        let mut mistaken = service.clone();
        let attributes = "service.beta.kubernetes.io/aws-load-balancer-attributes".to_owned();
        mistaken.annotations.insert(attributes, "oops".to_owned());
        Some(mistaken)
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

    fn slow(&self, outside_call: Duration) -> bool {
        self.aws.set_latency(outside_call);
        true
    }

    fn heal(&self) -> bool {
        self.aws.heal();
        self.aws.set_latency(Duration::ZERO);
        let ordered = self.requests_at_order.lock().unwrap().take();
        ordered.is_some_and(|(before, nth)| self.aws.requests().len() >= before + nth)
    }

    async fn serving(&self, service: &ServiceId) -> Option<Serving> {
        let all = self.aws.describe_load_balancers(&Select::All, None).await.ok()?.items;
        let arns: Vec<String> = all.iter().map(|lb| lb.arn.clone()).collect();
        let tags = self.aws.describe_tags(&arns).await.ok()?;
        let ours = |lb: &LoadBalancer| tags[&lb.arn].values().any(|value| **value == *service.uid);
        let lb = all.into_iter().find(ours)?;

        let groups = self.aws.describe_target_groups(&Select::All, None).await.ok()?.items;
        let (mut ports, mut nodes, mut health_check) = (BTreeMap::new(), BTreeSet::new(), None);
        let mut affinity = SessionAffinity::None;
        for listener in self.aws.describe_listeners(&lb.arn, None).await.ok()?.items {
            let forward = &listener.forward.target_groups[0];
            let group = groups.iter().find(|group| group.arn == forward.arn)?;
            for protocol in protocols(listener.protocol) {
                ports.insert((protocol, listener.port), Some(group.port));
            }
            if let (HealthCheckPort::Number(port), Some("/healthz")) =
                (&group.health_check.port, group.health_check.path.as_deref())
            {
                health_check = Some(*port);
            }
            let attributes = self.aws.describe_target_group_attributes(&group.arn).await.ok()?;
            if attributes.get("stickiness.enabled").is_some_and(|on| on == "true") {
                // AWS knows no time: kube-proxy keeps that of the Service.
                affinity = SessionAffinity::ClientIp { timeout_seconds: 10_800 };
            }
            for target in self.aws.describe_target_health(&group.arn, &[]).await.ok()? {
                let node = self.instances.iter().position(|id| *id == target.target.id)?;
                nodes.insert(format!("n{node}"));
            }
        }

        let known = self.aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.ok()?.items;
        let rules = known.into_iter().filter(|group| lb.security_groups.contains(&group.id));
        let sources: Vec<String> = rules.flat_map(|group| group.ingress).filter_map(range).collect();
        let source_ranges = SourceRanges::parse(&sources, None).ok()?;
        let everybody = SourceRanges::parse(&["0.0.0.0/0".to_owned()], None).ok()?;
        // Not the families: as with AWS's own controllers an annotation asks for them, not the Service's list.
        Some(
            Serving::nothing()
                .ports(ports)
                .nodes(nodes)
                .source_ranges(if source_ranges == everybody { SourceRanges::Unset } else { source_ranges })
                .health_check(health_check)
                .affinity(affinity),
        )
    }

    async fn leftovers(&self) -> Vec<String> {
        self.aws.remaining()
    }
}

fn protocols(of: Protocol) -> Vec<cloud_provider::Protocol> {
    match of {
        Protocol::Tcp | Protocol::Tls => vec![cloud_provider::Protocol::Tcp],
        Protocol::Udp => vec![cloud_provider::Protocol::Udp],
        _ => vec![cloud_provider::Protocol::Tcp, cloud_provider::Protocol::Udp],
    }
}

/// The range that a rule lets in, if it lets in one.
fn range(rule: IngressRule) -> Option<String> {
    match rule.source {
        RuleSource::Ipv4(range) => Some(range.to_string()),
        RuleSource::Ipv6(range) => Some(range.to_string()),
        RuleSource::PrefixList(_) | RuleSource::Group(_) => None,
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
