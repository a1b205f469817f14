//! Twenty new Services at once, by the controller on an API server: when they have host names, and when all is done, which
//! it learns from its next look at the load balancers that AWS makes (`AwsConfig::provisioning_look`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::ListParams;
use provider_aws::client::fake::FakeAws;
use provider_aws::client::{Aws, RateLimited, Rates, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};
use serde_json::json;
use service_controller::Config;
use tests::cluster::{Cluster, addresses, condition};

const SERVICES: usize = 20;
const NODES: usize = 3;
/// How often is looked; what is measured takes seconds.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) const HEAD: &str = "20 Services at once, in seconds, by a controller that is at work. The peers' numbers were published with the first comparison: on one emulator \
and one API server, the AWS Load Balancer Controller 3.5 and cloud-provider-aws 1.37.1, whose emulator takes time over each \
request besides.";

/// When the last of twenty had its host name with the peers, in seconds, at this latency a request.
fn peers(latency: Duration) -> &'static str {
    match latency.is_zero() {
        true => "7.4 and 3.0",
        false => "57 and 92",
    }
}

/// Makes them where AWS takes so long over each request; what came of it.
pub(crate) async fn at_once(latency: Duration) -> String {
    let cluster = Cluster::with_faults().await;
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    for (number, id) in aws.seed_nodes(&vpc, NODES).iter().enumerate() {
        let node = json!({ "spec": { "providerID": format!("aws:///us-east-1a/{id}") } });
        cluster.add_node_with(&format!("n{number}"), node).await;
    }
    aws.set_latency(latency);
    let paced = RateLimited::rate_limited(aws.clone(), &Rates::default());
    // The program knows the VPC before it begins.
    let mut config = AwsConfig::new("bench");
    config.vpc_id = Some(vpc.id.clone());
    let provider = AwsProvider::new(Aws::new(paced, SharingOptions::default()), config);
    let running = cluster.run_with(vec![Arc::new(provider)], Config::default());
    running.until_at_work().await;

    let began = Instant::now();
    for number in 0..SERVICES {
        let class = json!({ "spec": { "loadBalancerClass": AwsConfig::CLASS } });
        cluster.create_with(&format!("s{number}"), class).await;
    }
    let (mut named, mut served) = (BTreeMap::new(), BTreeMap::new());
    while served.len() < SERVICES {
        let all = cluster.services().list(&ListParams::default()).await.expect("the Services").items;
        note(&mut named, began, &all, |service| !addresses(service).is_empty());
        note(&mut served, began, &all, |service| {
            condition(service, "aws").is_some_and(|(_, reason, _)| reason == "Ensured")
        });
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    running.stop().await;
    format!(
        "AWS takes {:>3} ms a request: host names {}; listeners and all the rest {}; {} requests. Peers, the last host name: \
         {}.",
        latency.as_millis(),
        spread(&named),
        spread(&served),
        aws.requests().len(),
        peers(latency),
    )
}

/// Notes when each of these was seen first.
fn note(
    seen: &mut BTreeMap<String, Duration>,
    began: Instant,
    all: &[Service],
    is_so: impl Fn(&Service) -> bool,
) {
    for service in all.iter().filter(|service| is_so(service)) {
        seen.entry(service.name_any()).or_insert_with(|| began.elapsed());
    }
}

fn spread(seen: &BTreeMap<String, Duration>) -> String {
    let mut seconds: Vec<f64> = seen.values().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    let last = seconds.len() - 1;
    format!("{:.1}, half of them by {:.1}, the last {:.1}", seconds[0], seconds[last / 2], seconds[last])
}
