//! Services that wait when the program starts, and a start at which nothing is to be done.

use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::performance::{Figures, Growth, budgets};
use tokio::time::sleep;

use crate::bare_client::BareClient;
use crate::process::{Program, is_ours};
use crate::stage::{Body, a_cluster, fill, millis, ratio};
use crate::witness::Witness;

const MANY: usize = 5_000;

/// What is told of a Service, and what a reconcile leaves to be done, comes within this.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) async fn at_the_start(figures: &mut Figures) {
    let bare = {
        let cluster = a_cluster(Body::AsAsked).await;
        fill(&cluster, MANY).await;
        let (witness, began) = (Witness::of(&cluster), Instant::now());
        let _client = BareClient::serve(&cluster);
        witness.until(MANY).await - began
    };
    let cluster = a_cluster(Body::AsAsked).await;
    let (took, growth) = serve(&cluster, MANY).await;
    let beside = format!("{:.0} ms; a bare client {:.0} ms", millis(took), millis(bare));
    figures.note(&budgets::WAITING_TIME, ratio(took, bare), beside);
    figures.note(&budgets::WAITING_CPU, growth.cpu_seconds, "");
    figures.note(&budgets::WAITING_MEMORY, growth.megabytes, "");
    again(&cluster, figures).await;
    figures.grow(growth);
}

/// Has so many Services wait in the cluster, and the program serve them: how long that took from exec, and what it cost.
pub(crate) async fn serve(cluster: &Cluster, count: usize) -> (Duration, Growth) {
    fill(cluster, count).await;
    cluster.requests().clear();
    let witness = Witness::of(cluster);
    let program = Program::start(&cluster.plane);
    let took = witness.until(count).await - program.began();
    sleep(SETTLED).await;
    let growth = Growth {
        server: if cluster.plane.is_real() { "real" } else { "double" },
        services: count,
        seconds: took.as_secs_f64(),
        cpu_seconds: program.cpu_seconds(),
        megabytes: program.peak_megabytes(),
        requests: cluster.requests().count(is_ours),
    };
    program.stop();
    (took, growth)
}

/// The next process finds all as it should be.
async fn again(cluster: &Cluster, figures: &mut Figures) {
    cluster.requests().clear();
    let program = Program::start(&cluster.plane);
    while !program.is_ready().await {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(SETTLED).await;
    let written = |r: &tests::apiserver::Request| is_ours(r) && r.is_write() && r.resource == "services";
    figures.note(&budgets::RESTART_WRITES, cluster.requests().count(written) as f64, "");
    figures.note(&budgets::RESTART_MEMORY, program.peak_megabytes(), "");
    program.stop();
}
