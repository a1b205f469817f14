//! Thousands of Services: requests, CPU and memory of the provider for each look at all of them.

use std::sync::Arc;

use cloud_provider::testing::{a_node, a_service_named, request};
use cloud_provider::{CloudLoadBalancer, NodeSet, Outcome, ServiceView};
use provider_aws::client::fake::{FakeAws, Quotas};
use provider_aws::client::{Aws, Rates, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};

const NODES: usize = 3;

pub(crate) const HEAD: &str = "Thousands of Services of one port, by the provider alone, which is not paced here: requests; how long those \
take at the pace that it keeps; CPU, with that of the AWS in memory, which does the work of both; and what the process holds.";

/// Serves so many, looks at them again, and lets another process take over; `say` is told what came of each.
pub(crate) async fn services(count: usize, mut say: impl FnMut(String)) {
    let aws = FakeAws::new();
    aws.set_quotas(Quotas::with(|quotas| {
        quotas.load_balancers = count;
        quotas.target_groups = count;
        quotas.security_groups = count * 2;
        quotas.interfaces_per_vpc = count * 3;
    }));
    let vpc = aws.seed_vpc(3);
    let nodes = NodeSet::of(aws.seed_nodes(&vpc, NODES).iter().enumerate().map(|(number, id)| {
        a_node(&format!("n{number}")).provider_id(&format!("aws:///us-east-1a/{id}")).build()
    }));
    let mut config = AwsConfig::new("bench");
    config.vpc_id = Some(vpc.id.clone());
    let start = || AwsProvider::new(Aws::new(aws.clone(), SharingOptions::default()), config.clone());
    let mut all: Vec<ServiceView> = (0..count)
        .map(|number| a_service_named("default", &format!("s{number}")).class(AwsConfig::CLASS).build())
        .collect();

    let provider = start();
    provider.resume(&[]).await.expect("an empty account");
    let before = Before::now(&aws);
    for service in &mut all {
        ready(&provider, service, &nodes).await;
    }
    say(before.row(&aws, &format!("{count} Services are made")));
    tokio::time::advance(config.snapshot_age * 2).await;
    let before = Before::now(&aws);
    look(&provider, &all, &nodes).await;
    say(before.row(&aws, "all are looked at, nothing to do"));
    drop(provider);

    let shared: Vec<Arc<ServiceView>> = all.iter().cloned().map(Arc::new).collect();
    let before = Before::now(&aws);
    let next = start();
    next.resume(&shared).await.expect("the account is read");
    look(&next, &all, &nodes).await;
    say(before.row(&aws, "another process leads and looks at all"));
}

async fn look(provider: &AwsProvider, services: &[ServiceView], nodes: &NodeSet) {
    for service in services {
        let outcome = provider.ensure(&request(service, nodes)).await.expect("it is served");
        assert!(matches!(outcome, Outcome::Ready(_)), "{outcome:?}");
    }
}

/// Plays the controller until a Service is served.
async fn ready(provider: &AwsProvider, service: &mut ServiceView, nodes: &NodeSet) {
    while let Outcome::Pending(pending) = provider.ensure(&request(service, nodes)).await.expect("it is made")
    {
        service.published = pending.publish.expect("a host name").ingress;
    }
}

/// What was used before something.
struct Before {
    requests: usize,
    cpu_seconds: f64,
}

impl Before {
    fn now(aws: &FakeAws) -> Self {
        Before { requests: aws.requests().len(), cpu_seconds: cpu_seconds() }
    }

    fn row(self, aws: &FakeAws, what: &str) -> String {
        let requests = aws.requests().split_off(self.requests);
        let rates = Rates::default();
        let paced: Vec<f64> = provider_aws::client::RateBucket::ALL
            .into_iter()
            .map(|bucket| {
                let count = requests.iter().filter(|call| call.rate_bucket() == bucket).count() as f64;
                let rate = rates.of(bucket);
                (count - f64::from(rate.burst)).max(0.0) / rate.per_second
            })
            .collect();
        let slowest = paced.into_iter().fold(0.0, f64::max);
        format!(
            "{what:<40} {:>7} requests {slowest:>7.0} s {:>7.1} s of CPU {:>6.0} MB",
            requests.len(),
            cpu_seconds() - self.cpu_seconds,
            megabytes(),
        )
    }
}

/// Seconds of CPU of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // User and system time are the 14th and 15th field; the name, the 2nd, may hold spaces.
    let behind_name = stat.rsplit_once(") ").expect("a name").1;
    let ticks: f64 = behind_name.split(' ').skip(11).take(2).map(|n| n.parse::<f64>().expect("ticks")).sum();
    // What every Linux on the platforms we build for uses.
    const TICKS_A_SECOND: f64 = 100.0;
    ticks / TICKS_A_SECOND
}

/// What this process holds now.
fn megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
