//! Services that wait when the program starts, and a start at which nothing is to be done.

use std::time::Duration;

use tests::cluster::Cluster;
use tests::performance::{Figures, Growth, budgets};
use tokio::time::sleep;

use crate::contender::{Contender, side_by_side};
use crate::program::{Asked, is_ours};
use crate::stage::{Body, a_cluster, fill, millis, ratio};
use crate::witness::Witness;

const MANY: usize = 5_000;

/// What is told of a Service, and what a reconcile leaves to be done, comes within this.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) async fn at_the_start(figures: &mut Figures) {
    let cluster = a_cluster(Body::AsAsked).await;
    let mut all = vec![(Contender::Program, serve(&cluster, MANY, Contender::Program).await)];
    let restarted = again(&cluster).await;
    drop(cluster);
    for contender in Contender::all().into_iter().skip(1) {
        all.push((contender, serve(&a_cluster(Body::AsAsked).await, MANY, contender).await));
    }

    let ((took, ours), (took_bare, bare)) = (&all[0].1, &all[1].1);
    let beside = format!("{:.0} ms; a bare client {:.0} ms", millis(*took), millis(*took_bare));
    figures.note(&budgets::WAITING_TIME, ratio(*took, *took_bare), beside);
    figures.note(&budgets::WAITING_CPU, ours.cpu_seconds, format!("a bare client {:.2} s", bare.cpu_seconds));
    figures.note(&budgets::WAITING_MEMORY, ours.megabytes, format!("a bare client {:.1} MB", bare.megabytes));
    figures.note(&budgets::RESTART_WRITES, restarted.writes as f64, "");
    figures.note(&budgets::RESTART_MEMORY, restarted.megabytes, "");
    figures.grow(ours.clone());

    let mut compare = |what: &str, told: &dyn Fn(&Growth) -> String| {
        figures.compare(format!("{MANY} wait at the start: {what}"), side_by_side(&all, |(_, it)| told(it)));
    };
    compare("all are served", &|it| format!("{:.1} s", it.seconds));
    compare("CPU", &|it| format!("{:.2} s", it.cpu_seconds));
    compare("memory at most", &|it| format!("{:.1} MB", it.megabytes));
}

/// Has so many Services wait in the cluster, and somebody serve them: how long that took from exec, and what it cost.
pub(crate) async fn serve(cluster: &Cluster, count: usize, contender: Contender) -> (Duration, Growth) {
    fill(cluster, count).await;
    cluster.requests().clear();
    let witness = Witness::of(cluster);
    let process = contender.start(cluster).await;
    let took = witness.until(count).await - process.began();
    sleep(SETTLED).await;
    let growth = Growth {
        server: if cluster.plane.is_real() { "real" } else { "double" },
        services: count,
        seconds: took.as_secs_f64(),
        cpu_seconds: process.cpu_seconds(),
        megabytes: process.peak_megabytes(),
        requests: cluster.requests().count(is_ours),
    };
    process.stop();
    (took, growth)
}

/// What the next process needed.
struct Restarted {
    writes: usize,
    megabytes: f64,
}

/// The next process finds all as it should be.
async fn again(cluster: &Cluster) -> Restarted {
    cluster.requests().clear();
    let program = Asked::start(&cluster.plane);
    while !program.is_ready().await {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(SETTLED).await;
    let written = |r: &tests::apiserver::Request| is_ours(r) && r.is_write() && r.resource == "services";
    let restarted =
        Restarted { writes: cluster.requests().count(written), megabytes: program.process.peak_megabytes() };
    program.process.stop();
    restarted
}
