//! How fast many Services are served, and what several clusters of one account do to each other. Time is paused: what
//! passes is what AWS takes and what was waited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, NodeSet, Outcome, ServiceView};
use futures::future::join_all;
use provider_aws::client::error::ErrorKind;
use provider_aws::client::fake::{FakeAws, SeededVpc};
use provider_aws::client::{
    Around, Aws, Call, Layered, Rate, RateBucket, RateLimited, Rates, Result, SharingOptions,
};
use provider_aws::{AwsConfig, AwsProvider};
use tokio::time::Instant;

use crate::fixture::{nodes_of, web};

/// What AWS answered.
#[derive(Clone, Debug, Default)]
struct Answers(Arc<Mutex<Answered>>);

#[derive(Debug, Default)]
struct Answered {
    /// When load balancers came to be.
    made: Vec<Instant>,
    /// ELBv2 writes that had their effect, and those that were throttled.
    written: usize,
    throttled: usize,
}

impl Around for Answers {
    async fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let result = request().await;
        let mut answered = self.0.lock().unwrap();
        if call == Call::CreateLoadBalancer && result.is_ok() {
            answered.made.push(Instant::now());
        }
        if call.rate_bucket() == RateBucket::ElbWrite {
            let is_throttled = result.as_ref().is_err_and(|error| error.kind == ErrorKind::Throttled);
            answered.throttled += usize::from(is_throttled);
            answered.written += usize::from(!is_throttled);
        }
        drop(answered);
        result
    }
}

/// A cluster of an account that is shared, with the program's own pacing.
struct Tenant {
    provider: Arc<AwsProvider>,
    nodes: NodeSet,
    answers: Answers,
    named: Mutex<BTreeMap<String, Duration>>,
}

impl Tenant {
    fn of(aws: &FakeAws, vpc: &SeededVpc, name: &str) -> Self {
        let answers = Answers::default();
        let paced = RateLimited::rate_limited(Layered::new(answers.clone(), aws.clone()), &Rates::default());
        let mut config = AwsConfig::new(name);
        config.vpc_id = Some(vpc.id.clone());
        let provider = Arc::new(AwsProvider::new(Aws::new(paced, SharingOptions::default()), config));
        Tenant { provider, nodes: nodes_of(&aws.seed_nodes(vpc, 2)), answers, named: Mutex::default() }
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

    /// Plays the controller: what is published is written, and what is due at once is done at once.
    async fn ready(&self, mut service: ServiceView, began: Instant) -> Duration {
        loop {
            let wait = match self.provider.ensure(&request(&service, &self.nodes)).await {
                Ok(Outcome::Ready(_)) => return began.elapsed(),
                Ok(Outcome::Pending(pending)) => {
                    if let Some(published) = pending.publish {
                        let mut named = self.named.lock().unwrap();
                        named.entry(service.id.uid.to_string()).or_insert_with(|| began.elapsed());
                        drop(named);
                        service.published = published.ingress;
                    }
                    pending.after.unwrap_or_default().min(Duration::from_secs(1))
                }
                Err(_) => Duration::from_secs(1),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// After how long each Service had a host name, the first first.
    fn names(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.named.lock().unwrap().values().map(Duration::as_secs_f64).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// When each load balancer was there, from the first request on.
    fn made_after(&self, began: Instant) -> Vec<f64> {
        let answered = self.answers.0.lock().unwrap();
        answered.made.iter().map(|at| at.duration_since(began).as_secs_f64()).collect()
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
    // Three requests follow one another before a host name, and no Service waits for another one's: what can be known
    // beforehand is asked for at the same time, then both groups, then the load balancer.
    let names = tenant.names();
    assert!(names[19] < 3.5 * 0.25, "a load balancer is asked for before what it does not need: {names:?}");
}

#[tokio::test(start_paused = true)]
async fn where_the_account_was_not_looked_at_for_long_and_the_first_node_tells_the_vpc_a_name_waits_for_one_more()
 {
    let aws = FakeAws::new();
    let vpc = aws.seed_vpc(3);
    let mut tenant = Tenant::of(&aws, &vpc, "blue");
    tenant.provider =
        Arc::new(AwsProvider::new(Aws::new(aws.clone(), SharingOptions::default()), AwsConfig::new("blue")));
    tenant.provider.resume(&[]).await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    aws.set_latency(Duration::from_millis(250));
    tenant.serve(20).await;
    let names = tenant.names();
    assert!(names[19] < 4.5 * 0.25, "{names:?}");
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
async fn the_first_host_name_is_there_within_a_second_and_half_of_them_in_half_of_the_time() {
    // Small ones are asked too much at first, since nobody can know how little they take: they throttle, and are waited
    // for.
    let writes = |burst, per_second| Some(Rate { burst, per_second });
    for (what, writes, first_by) in [
        ("takes all that it is asked", None, 1.0),
        ("as small as is known", writes(20, 3.0), 3.0),
        ("smaller still", writes(5, 1.0), 3.0),
    ] {
        let aws = FakeAws::new();
        let vpc = aws.seed_vpc(3);
        let tenant = Tenant::of(&aws, &vpc, "blue");
        tenant.provider.resume(&[]).await.unwrap();
        writes.into_iter().for_each(|rate| aws.throttle(RateBucket::ElbWrite, rate));
        tenant.serve(20).await;
        let names = tenant.names();
        assert_eq!(names.len(), 20, "{what}");
        assert!(names[9] <= 0.5 * names[19] + 1.0, "{what}: {names:?}");
        assert!(names[0] < first_by, "{what}: {names:?}");
    }
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
    aws.set_quotas(provider_aws::client::fake::Quotas::with(|quotas| quotas.load_balancers = 200));
    for tenant in &tenants {
        tenant.provider.resume(&[]).await.unwrap();
    }
    aws.forget_requests();
    let ready = join_all(tenants.iter().map(|tenant| tenant.serve(20))).await;

    let last: Vec<f64> = ready.iter().map(|of_one| of_one[19]).collect();
    let (first, slowest) =
        (last.iter().copied().fold(f64::MAX, f64::min), last.iter().copied().fold(0.0, f64::max));
    let (mut written, mut throttled) = (0, 0);
    for tenant in &tenants {
        let answered = tenant.answers.0.lock().unwrap();
        written += answered.written;
        throttled += answered.throttled;
    }
    // What one client that knew the bucket would take.
    let at_best = (written as f64 - 20.0) / 3.0;
    assert!(slowest < 1.3 * first, "nobody starves: {last:?}");
    assert!(slowest < 1.2 * at_best, "little is left unused: {last:?}, at best {at_best}");
    assert!(throttled < written / 3, "rates are halved at a throttle: {throttled} beside {written} writes");
}
