//! From exec until the program is ready, and what it holds when nobody asks anything of it.
//!
//! Whoever asks for a list without saying how old it may be gets one that is complete as of the moment of the request. The
//! API server answers it from its cache, once that has heard of the last write, to whatever kind of object; it asks etcd
//! for that ten times a second. So the first list after any write takes up to 100 ms, whoever asks, and what is measured
//! here would be when the program before wrote its last word. Each start waits until the caches have caught up; how long a
//! bare client's list took for that is told beside it. (Kubernetes' own controllers say that the list may be old, `0`, and
//! do not wait. Ours would then serve what a server that lags behind shows, after a restart older things than before.)

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::Value;

use tests::cluster::Cluster;
use tests::performance::{Figures, budgets};
use tokio::time::sleep;

use crate::contender::{Contender, side_by_side};
use crate::program::{Asked, is_ours};
use crate::stage::{Body, a_cluster, median, millis, services};

const ROUND_COUNT: usize = 9;

/// How long it has nothing to do until its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);

const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// What the program lists before it is ready.
const LISTED: [&str; 6] = [
    "/api/v1/services",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/metallb.io/v1beta1/ipaddresspools",
    "/apis/metallb.io/v1beta1/servicel2statuses",
    "/apis/metallb.io/v1beta1/servicebgpstatuses",
];

/// Waits until the server's caches know of all that was written so far; how long the slowest list took.
async fn until_the_caches_have_caught_up(cluster: &Cluster) -> Duration {
    let client = services(cluster).into_client();
    let list = async |path: &&str| {
        let began = Instant::now();
        let request = http::Request::get(*path).body(Vec::new()).expect("a request");
        client.request::<Value>(request).await.expect("a list");
        began.elapsed()
    };
    // Shaking hands is nobody's work here.
    list(&"/version").await;
    join_all(LISTED.iter().map(list)).await.into_iter().max().unwrap_or_default()
}

pub(crate) async fn until_it_is_ready(figures: &mut Figures) {
    let cluster = a_cluster(Body::AsAsked).await;
    let (mut listed, mut ready, mut waited) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUND_COUNT {
        // Before the first, whoever made the cluster wrote; before the others, the program that ended.
        waited.push(until_the_caches_have_caught_up(&cluster).await);
        cluster.requests().clear();
        let program = Asked::start(&cluster.plane);
        let first_list = || cluster.requests().count(|r| is_ours(r) && r.resource == "services");
        while first_list() == 0 {
            sleep(BETWEEN_LOOKS).await;
        }
        let at = Instant::now();
        listed.push(at - program.process.began());
        while !program.is_ready().await {
            sleep(BETWEEN_LOOKS).await;
        }
        ready.push(at.elapsed());
        program.process.stop();
    }
    let spread = |took: &[Duration]| {
        let (fastest, slowest) = (took.iter().min(), took.iter().max());
        let told = |it: Option<&Duration>| it.map_or(0.0, |it| millis(*it));
        format!("of {ROUND_COUNT} starts; {:.0} to {:.0} ms", told(fastest), told(slowest))
    };
    let beside = format!(
        "{}; after a write, until the server's caches had caught up, a bare client's lists took {:.0} ms",
        spread(&listed),
        millis(median(&waited))
    );
    figures.note(&budgets::FIRST_LIST, millis(median(&listed)), beside);
    figures.note(&budgets::READY, millis(median(&ready)), spread(&ready));
    idle(&cluster, figures).await;
}

/// What each holds that has nothing to do.
async fn idle(cluster: &Cluster, figures: &mut Figures) {
    let mut all = Vec::new();
    for contender in Contender::all() {
        let process = contender.start(cluster).await;
        sleep(IDLE).await;
        all.push((contender, process.peak_megabytes()));
        process.stop();
    }
    let beside = format!("the most that it ever held; a bare client {:.1} MB", all[1].1);
    figures.note(&budgets::IDLE_MEMORY, all[0].1, beside);
    figures.compare("memory of one that has nothing to do", side_by_side(&all, |it| format!("{it:.1} MB")));
}
