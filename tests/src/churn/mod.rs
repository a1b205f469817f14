//! Churn: Services come, change, go and are renamed at random, while the API server and the platform fail and the
//! controller dies again and again; and when it is over, everything has to be as if nothing had gone wrong.
//!
//! What happens follows from a seed and a number of rounds, but for the order in which two processes at once get their
//! turns: a seed that finds something finds it again often, not always. [`Length::of_the_environment`] lets it go on for
//! hours.

pub mod memory;
mod platform;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apiserver_client::{Bounds, bounded};
use cloud_provider::CloudLoadBalancer;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use tokio::time::{Instant, timeout};

pub use platform::{Aws, Memory, Metal, Platform};

use crate::apiserver::{Failure, Faults, Matching};
use crate::cluster::{Cluster, Running, addresses, condition, has_finalizer, quick};
use crate::rights::Rights;
use user::User;

/// Long enough for every wait that a provider or a server may have asked for to be over.
const CALM_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the API server is away at the longest.
const OUTAGE_MS: u64 = 120;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// What everything that is drawn follows from.
    pub seed: u64,
    /// How many things happen.
    pub rounds: u32,
}

impl Length {
    /// As `CHURN_SEED` and `CHURN_ROUNDS` say; without them the same each time, and over in seconds.
    ///
    /// # Panics
    /// When one of them is no number.
    pub fn of_the_environment() -> Self {
        let number = |name: &str, otherwise: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")),
            Err(_) => otherwise,
        };
        let rounds = number("CHURN_ROUNDS", 300).try_into().unwrap_or(u32::MAX);
        Length { seed: number("CHURN_SEED", 20_261), rounds }
    }
}

/// What becomes of the controllers meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// One lives through it all. Nothing is an orphan, so nobody looks for any: what it forgets is found.
    Live,
    /// One dies after the other, sometimes two are there at once. Services that lose their finalizer meanwhile leave
    /// orphans, and the sweep has to find each.
    Die,
}

/// Runs it: `length` things happen, then it is calm, then everything is deleted.
///
/// # Panics
/// When something is not as it should be once it is calm, with the seed that brings it back.
pub async fn run(cluster: &Cluster, mut platform: impl Platform, controllers: Controllers, length: Length) {
    let start = |provider| start(cluster, provider, controllers == Controllers::Die);
    let mut rng = fastrand::Rng::with_seed(length.seed);
    let user = User::of(cluster, platform.class());
    for node in ["n0", "n1", "n2"] {
        cluster.add_node_with(node, platform.node()).await;
    }
    let mut running = start(platform.provider());
    for _ in 0..length.rounds {
        let most = if controllers == Controllers::Die { 100 } else { 95 };
        match rng.u32(0..most) {
            0..60 => user.acts(&mut rng).await,
            60..70 => platform.fails(&mut rng),
            70..76 => platform.changes(&mut rng, cluster).await,
            76..92 => server_fails(cluster, &mut rng).await,
            92..95 => user.takes_finalizers_off(&mut rng).await,
            95..98 => {
                running.crash().await;
                running = start(platform.provider());
            }
            _ => {
                // Two at once, as when one process believes that it still leads.
                let second = start(platform.provider());
                user.acts(&mut rng).await;
                running.crash().await;
                running = second;
            }
        }
    }

    let what = format!(
        "{} ({controllers:?}) with CHURN_SEED={} CHURN_ROUNDS={}",
        platform.name(),
        length.seed,
        length.rounds
    );
    if let Some(double) = cluster.plane.double() {
        double.faults().clear();
    }
    platform.heals(cluster).await;
    // Who lived through it, and then who knows nothing of it.
    calm(&what, || wrong(&user, &platform)).await;
    running.crash().await;
    let running = start(platform.provider());
    calm(&what, || wrong(&user, &platform)).await;

    user.deletes_everything().await;
    calm(&what, || left(&user, &platform)).await;
    running.stop().await;
}

/// A controller as a new process has it: it knows nothing.
fn start(cluster: &Cluster, provider: Arc<dyn CloudLoadBalancer>, sweeps: bool) -> Running {
    let mut config = quick();
    config.sweep.interval = Duration::from_millis(300);
    config.sweep.grace = Duration::ZERO;
    config.sweep.delete = sweeps;
    config.debounce.quiet_period = Duration::from_millis(10);
    config.debounce.max_delay = Duration::from_millis(100);
    config.resync_interval = Duration::from_secs(2);
    let client = cluster.client_with(Rights::of_the_bare_overlay().and("get", "", "services"));
    Running::start(impatient(&client), vec![provider], config)
}

/// A client that gives up soon what is not answered, so that a connection that has died without a word costs seconds here
/// and not the half minute that it may take in a cluster.
fn impatient(client: &kube::Client) -> kube::Client {
    let mut bounds = Bounds::default();
    bounds.request = Duration::from_secs(1);
    bounds.silence = Duration::from_secs(2);
    bounded(client, bounds)
}

/// One thing goes wrong between the controller and the API server, if that is the double.
async fn server_fails(cluster: &Cluster, rng: &mut fastrand::Rng) {
    let Some(double) = cluster.plane.double() else { return };
    let faults: &Faults = double.faults();
    let verbs = ["list", "watch", "get", "patch", "create", "update"];
    let matching = Matching::any().verb(verbs[rng.usize(..verbs.len())]);
    let times = rng.usize(1..4);
    let failures =
        [Failure::Conflict, Failure::Gone, Failure::TooManyRequests, Failure::Internal, Failure::Unavailable];
    match rng.u32(0..20) {
        0..10 => faults.fail(matching, failures[rng.usize(..failures.len())], times),
        10..14 => faults.lose_replies(Matching::any().verb("patch"), times),
        14..16 => faults.close_watches(),
        16 => faults.silence_connections(),
        17 => faults.end_watches_after(Matching::any(), rng.usize(0..5), times),
        _ => {
            faults.cut_network();
            // The length of the outage, not a wait for something.
            tokio::time::sleep(Duration::from_millis(rng.u64(0..OUTAGE_MS))).await;
            faults.mend_network();
        }
    }
}

/// Waits until nothing is wrong.
async fn calm<F: Future<Output = Vec<String>>>(what: &str, mut wrong: impl FnMut() -> F) {
    let start = Instant::now();
    let mut last = Vec::new();
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            last = wrong().await;
            if last.is_empty() {
                return;
            }
            looks.tick().await;
        }
    };
    let in_time = timeout(CALM_TIMEOUT, looking).await.is_ok();
    assert!(in_time, "{what}: after {:?} it is still wrong that\n{}", start.elapsed(), last.join("\n"));
}

/// What is not as it should be while Services exist.
async fn wrong(user: &User, platform: &impl Platform) -> Vec<String> {
    let services = user.services().await;
    let mut wrong = Vec::new();
    let mut holders: BTreeMap<String, String> = BTreeMap::new();
    for service in &services {
        let name = service.name_any();
        let shown = addresses(service);
        for address in &shown {
            if let Some(other) = holders.insert(address.clone(), name.clone()) {
                wrong.push(format!("{address} is shown by {other} and by {name}"));
            }
        }
        let state = condition(service, platform.name());
        let is_balancer = user::is_balancer(service);
        match (is_balancer, shown.is_empty()) {
            (true, true) if !platform.may_wait(service) => {
                wrong.push(format!("{name} has no address: {state:?}"));
            }
            (true, false) if state.as_ref().is_none_or(|(status, ..)| status != "True") => {
                wrong.push(format!("{name} shows {shown:?} and says {state:?}"));
            }
            (false, false) => wrong.push(format!("{name} is no LoadBalancer and shows {shown:?}")),
            _ => {}
        }
        if !is_balancer && has_finalizer(service) {
            let recorded = service.annotations();
            wrong.push(format!("{name} is no LoadBalancer and has our finalizer: {state:?}, {recorded:?}"));
        }
    }
    let balancers: Vec<Service> = services.into_iter().filter(user::is_balancer).collect();
    wrong.extend(platform.disagrees(&balancers).await);
    wrong
}

/// What is left when it should be nothing.
async fn left(user: &User, platform: &impl Platform) -> Vec<String> {
    let services = user.services().await;
    let mut left: Vec<String> =
        services.iter().map(|s| format!("{} is there: {:?}", s.name_any(), s.finalizers())).collect();
    left.extend(platform.left().await);
    left
}
