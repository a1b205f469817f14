//! How fast many Services are served, and what several clusters of one account do to each other. Time is paused: what
//! passes is what AWS takes and what was waited.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, NodeSet, Outcome, ServiceView};
use futures::future::join_all;
use provider_aws::client::fake::{FakeAws, SeededVpc};
use provider_aws::client::{
    Around, Aws, Call, Layered, Rate, RateBucket, RateLimited, Rates, Result, SharingOptions,
};
use provider_aws::{AwsConfig, AwsProvider};
use tokio::time::Instant;

use crate::fixture::{nodes_of, web};

/// When load balancers came to be, and how many requests AWS was asked.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<Mutex<Vec<Instant>>>);

impl Around for Clock {
    async fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let result = request().await;
        if call == Call::CreateLoadBalancer && result.is_ok() {
            self.0.lock().unwrap().push(Instant::now());
        }
        result
    }
}

/// A cluster of an account that is shared, with the program's own pacing.
struct Tenant {
    provider: Arc<AwsProvider>,
    nodes: NodeSet,
    made: Clock,
}

impl Tenant {
    fn of(aws: &FakeAws, vpc: &SeededVpc, name: &str) -> Self {
        let made = Clock::default();
        let paced = RateLimited::rate_limited(Layered::new(made.clone(), aws.clone()), &Rates::default());
        let mut config = AwsConfig::new(name);
        config.vpc_id = Some(vpc.id.clone());
        let provider = Arc::new(AwsProvider::new(Aws::new(paced, SharingOptions::default()), config));
        Tenant { provider, nodes: nodes_of(&aws.seed_nodes(vpc, 2)), made }
    }

    /// Serves so many new Services at once; how long it took for each to be ready.
    async fn serve(&self, count: usize) -> Vec<f64> {
        let began = Instant::now();
        let services = (0..count).map(|n| web(&format!("s{n}")).build());
        let all = join_all(services.map(|service| self.ready(service, began))).await;
        let mut all: Vec<f64> = all.into_iter().map(|took| took.as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    async fn ready(&self, service: ServiceView, began: Instant) -> Duration {
        loop {
            match self.provider.ensure(&request(&service, &self.nodes)).await {
                Ok(Outcome::Ready(_)) => return began.elapsed(),
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// When each load balancer was there, from the first request on.
    fn made_after(&self, began: Instant) -> Vec<f64> {
        let made = self.made.0.lock().unwrap();
        made.iter().map(|at| at.duration_since(began).as_secs_f64()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_twenty_load_balancers_is_there_within_a_second_and_the_last_within_five() {
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    let tenant = Tenant::of(&aws, &vpc, "blue");
    tenant.provider.resume(&[]).await.unwrap();
    let began = Instant::now();
    tenant.serve(20).await;
    let made = tenant.made_after(began);
    assert!(made[0] < 1.0 && made[19] < 4.5, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn with_a_quarter_of_a_second_a_request_the_last_of_twenty_is_there_before_any_peers_is() {
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    let tenant = Tenant::of(&aws, &vpc, "blue");
    aws.set_latency(Duration::from_millis(250));
    tenant.provider.resume(&[]).await.unwrap();
    let began = Instant::now();
    tenant.serve(20).await;
    let made = tenant.made_after(began);
    assert!(made[19] < 57.0, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn services_are_served_one_after_the_other_where_aws_is_slow_rather_than_all_of_them_last() {
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    aws.throttle(RateBucket::ElbWrite, Rate { burst: 5, per_second: 1.0 });
    let tenant = Tenant::of(&aws, &vpc, "blue");
    tenant.provider.resume(&[]).await.unwrap();
    let ready = tenant.serve(20).await;
    assert!(ready[9] < 0.67 * ready[19], "{ready:?}");
}

#[tokio::test(start_paused = true)]
async fn three_clusters_share_small_buckets_and_nobody_starves() {
    let aws = FakeAws::new();
    for (bucket, per_second, burst) in [
        (RateBucket::ElbRead, 10.0, 40),
        (RateBucket::ElbWrite, 3.0, 20),
        (RateBucket::ElbTargets, 3.0, 20),
        (RateBucket::Ec2Read, 20.0, 100),
        (RateBucket::Ec2Write, 5.0, 50),
    ] {
        aws.throttle(bucket, Rate { burst, per_second });
    }
    aws.set_latency(Duration::from_millis(100));
    let mut tenants = Vec::new();
    for name in ["blue", "green", "red"] {
        let vpc = aws.seed_vpc(3);
        tenants.push(Tenant::of(&aws, &vpc, name));
    }
    aws.set_quotas(provider_aws::client::fake::Quotas { load_balancers: 200, ..Default::default() });
    for tenant in &tenants {
        tenant.provider.resume(&[]).await.unwrap();
    }
    aws.forget_requests();
    let ready = join_all(tenants.iter().map(|tenant| tenant.serve(20))).await;

    let last: Vec<f64> = ready.iter().map(|of_one| of_one[19]).collect();
    let (first, slowest) =
        (last.iter().copied().fold(f64::MAX, f64::min), last.iter().copied().fold(0.0, f64::max));
    assert!(slowest < 2.0 * first, "{last:?}");
    let writes = |call: &&Call| call.rate_bucket() == RateBucket::ElbWrite;
    let requests = aws.requests();
    // What one client that knew the bucket would take.
    let at_best = (requests.iter().filter(writes).count() as f64 - 20.0) / 3.0;
    assert!(slowest < 1.5 * at_best.max(40.0), "{last:?}, at best {at_best}");
}
