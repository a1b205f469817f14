//! Services that are created while the program runs.

use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::performance::{Figures, budgets};
use tokio::time::sleep;

use crate::bare_client::BareClient;
use crate::process::{Program, is_ours};
use crate::stage::{Body, Made, a_cluster, create, median, millis, quantile, ratio};
use crate::witness::Witness;

const MANY: usize = 500;
const CLIENT_COUNT: usize = 10;

/// How often each is done, the program and the bare client by turns.
const ROUND_COUNT: usize = 3;

/// How many are created one by one, and how long the server has its quiet between two.
const ALONE: usize = 21;
const QUIET: Duration = Duration::from_millis(100);

/// A cluster on which the program has served one Service, so that it leads and its connections are open.
async fn at_work() -> (Cluster, Program, Witness) {
    let cluster = a_cluster(Body::AsAsked).await;
    let program = Program::start(&cluster.plane);
    let witness = Witness::of(&cluster);
    cluster.create("first").await;
    witness.of_service("first").await;
    (cluster, program, witness)
}

/// The same with a bare client.
async fn bare_at_work() -> (Cluster, BareClient, Witness) {
    let cluster = a_cluster(Body::AsAsked).await;
    let (client, witness) = (BareClient::serve(&cluster), Witness::of(&cluster));
    cluster.create("first").await;
    witness.of_service("first").await;
    (cluster, client, witness)
}

/// Half of these, and all but a hundredth, of every round the one in the middle.
#[derive(Default)]
struct Latencies {
    medians: Vec<Duration>,
    slowest: Vec<Duration>,
}

impl Latencies {
    fn add(&mut self, took: &[Duration]) {
        self.medians.push(median(took));
        self.slowest.push(quantile(took, 0.99));
    }

    fn p50(&self) -> Duration {
        median(&self.medians)
    }

    fn told(&self) -> String {
        format!("p50 {:.1} ms, p99 {:.1} ms", millis(self.p50()), millis(median(&self.slowest)))
    }
}

pub(crate) async fn by_ten_clients(figures: &mut Figures) {
    let (mut ours, mut bare) = (Latencies::default(), Latencies::default());
    let (mut cpu, mut memory) = (Vec::new(), 0.0_f64);
    let (mut writes, mut requests) = (0, 0);
    for _ in 0..ROUND_COUNT {
        let (cluster, client, witness) = bare_at_work().await;
        bare.add(&witness.took(&create(&cluster, CLIENT_COUNT, MANY).await).await);
        drop((client, witness, cluster));

        let (cluster, program, witness) = at_work().await;
        let before = program.cpu_seconds();
        cluster.requests().clear();
        ours.add(&witness.took(&create(&cluster, CLIENT_COUNT, MANY).await).await);
        // Events are told a moment later, and are part of what a Service costs.
        sleep(QUIET * 5).await;
        cpu.push(Duration::from_secs_f64(program.cpu_seconds() - before));
        memory = memory.max(program.peak_megabytes());
        let asked = cluster.requests();
        writes += asked.count(|r| is_ours(r) && r.is_write() && r.resource == "services");
        requests += asked.count(is_ours);
        program.stop();
    }
    let each = |count: usize| count as f64 / (MANY * ROUND_COUNT) as f64;
    let beside = format!("{}; a bare client {}", ours.told(), bare.told());
    figures.note(&budgets::CREATED_MEDIAN, ratio(ours.p50(), bare.p50()), beside);
    let rounds = format!("the middle of {ROUND_COUNT} rounds");
    figures.note(&budgets::CREATED_CPU, median(&cpu).as_secs_f64(), rounds);
    figures.note(&budgets::CREATED_MEMORY, memory, "");
    let requests = format!("{:.2} requests with lists, watches, events and the Lease", each(requests));
    figures.note(&budgets::CREATED_WRITES, each(writes), requests);
}

pub(crate) async fn a_hundred(figures: &mut Figures) {
    let part = |made: &[Made], last: Instant| {
        let (began, ended) = (made.iter().map(|it| it.began).min(), made.iter().map(|it| it.ended).max());
        let (began, ended) = began.zip(ended).expect("some were made");
        (last - began, ended - began)
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUND_COUNT {
        let (cluster, client, witness) = bare_at_work().await;
        let made = create(&cluster, CLIENT_COUNT, 100).await;
        bare.push(part(&made, witness.until(101).await));
        drop((client, witness, cluster));
        let (cluster, program, witness) = at_work().await;
        let made = create(&cluster, CLIENT_COUNT, 100).await;
        ours.push(part(&made, witness.until(101).await));
        program.stop();
    }
    let middle = |mut rounds: Vec<(Duration, Duration)>| {
        rounds.sort_by(|(a, b), (c, d)| ratio(*a, *b).total_cmp(&ratio(*c, *d)));
        rounds[ROUND_COUNT / 2]
    };
    let ((served, created), (served_bare, created_bare)) = (middle(ours), middle(bare));
    let beside = format!(
        "{:.0} of {:.0} ms; a bare client {:.2} x",
        millis(served),
        millis(created),
        ratio(served_bare, created_bare)
    );
    figures.note(&budgets::HUNDRED, ratio(served, created), beside);
}

pub(crate) async fn one(figures: &mut Figures) {
    let bare = {
        let (cluster, _client, witness) = bare_at_work().await;
        one_by_one(&cluster, &witness).await
    };
    let (cluster, program, witness) = at_work().await;
    let ours = one_by_one(&cluster, &witness).await;
    program.stop();
    let slowest = |took: &[Duration]| millis(quantile(took, 1.0));
    let beside = format!(
        "the slowest of {ALONE} {:.1} ms; a bare client {:.1} ms, the slowest {:.1} ms",
        slowest(&ours),
        millis(median(&bare)),
        slowest(&bare)
    );
    figures.note(&budgets::ONE, millis(median(&ours)), beside);
}

async fn one_by_one(cluster: &Cluster, witness: &Witness) -> Vec<Duration> {
    let mut took = Vec::new();
    for i in 0..ALONE {
        sleep(QUIET).await;
        let name = format!("alone-{i}");
        let began = Instant::now();
        cluster.create(&name).await;
        took.push(witness.of_service(&name).await - began);
    }
    took
}
