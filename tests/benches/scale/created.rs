//! Services that are created while the program runs.

use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::performance::{Figures, budgets};
use tokio::time::sleep;

use crate::contender::{Contender, side_by_side};
use crate::program::is_ours;
use crate::stage::{Made, create, median, millis, quantile, ratio};
use crate::witness::Witness;

const MANY: usize = 500;
const CLIENT_COUNT: usize = 10;

/// How often each is done, by one contender after the other.
const ROUND_COUNT: usize = 3;

/// How many are created one by one, and how long the server has its quiet between two.
const ALONE: usize = 21;
const QUIET: Duration = Duration::from_millis(100);

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

    fn p99(&self) -> Duration {
        median(&self.slowest)
    }

    fn told(&self) -> String {
        format!("p50 {:.1} ms, p99 {:.1} ms", millis(self.p50()), millis(self.p99()))
    }
}

/// What a contender needed, of all rounds.
#[derive(Default)]
struct Created {
    latencies: Latencies,
    cpu: Vec<Duration>,
    megabytes: f64,
    /// Of the program alone.
    writes: usize,
    requests: usize,
}

impl Created {
    async fn add_round(&mut self, contender: Contender) {
        let (cluster, process, witness) = contender.at_work().await;
        let before = process.cpu_seconds();
        cluster.requests().clear();
        self.latencies.add(&witness.took(&create(&cluster, CLIENT_COUNT, MANY).await).await);
        // Events are told a moment later, and are part of what a Service costs.
        sleep(QUIET * 5).await;
        self.cpu.push(Duration::from_secs_f64(process.cpu_seconds() - before));
        self.megabytes = self.megabytes.max(process.peak_megabytes());
        let asked = cluster.requests();
        self.writes += asked.count(|r| is_ours(r) && r.is_write() && r.resource == "services");
        self.requests += asked.count(is_ours);
        process.stop();
    }

    fn cpu(&self) -> f64 {
        median(&self.cpu).as_secs_f64()
    }
}

pub(crate) async fn by_ten_clients(figures: &mut Figures) {
    let mut created: Vec<_> = Contender::all().into_iter().map(|it| (it, Created::default())).collect();
    for _ in 0..ROUND_COUNT {
        for (contender, created) in &mut created {
            created.add_round(*contender).await;
        }
    }
    let (ours, bare) = (&created[0].1, &created[1].1);
    figures.note(&budgets::CREATED_MEMORY, ours.megabytes, format!("a bare client {:.1} MB", bare.megabytes));
    let rounds = format!("the middle of {ROUND_COUNT} rounds; a bare client {:.2} s", bare.cpu());
    figures.note(&budgets::CREATED_CPU, ours.cpu(), rounds);
    let beside = format!("{}; a bare client {}", ours.latencies.told(), bare.latencies.told());
    figures.note(&budgets::CREATED_MEDIAN, ratio(ours.latencies.p50(), bare.latencies.p50()), beside);
    let each = |count: usize| count as f64 / (MANY * ROUND_COUNT) as f64;
    let requests = format!("{:.2} requests with lists, watches, events and the Lease", each(ours.requests));
    figures.note(&budgets::CREATED_WRITES, each(ours.writes), requests);

    let mut compare = |what: &str, told: &dyn Fn(&Created) -> String| {
        figures.compare(
            format!("{MANY} created by {CLIENT_COUNT} clients: {what}"),
            side_by_side(&created, told),
        );
    };
    let told = |took: Duration| format!("{:.0} ms", millis(took));
    compare("create to status, median", &|it| told(it.latencies.p50()));
    compare("create to status, all but a hundredth", &|it| told(it.latencies.p99()));
    compare("CPU", &|it| format!("{:.2} s", it.cpu()));
    compare("memory at most", &|it| format!("{:.1} MB", it.megabytes));
}

pub(crate) async fn a_hundred(figures: &mut Figures) {
    let part = |made: &[Made], last: Instant| {
        let (began, ended) = (made.iter().map(|it| it.began).min(), made.iter().map(|it| it.ended).max());
        let (began, ended) = began.zip(ended).expect("some were made");
        (last - began, ended - began)
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUND_COUNT {
        for (contender, parts) in [(Contender::BareClient, &mut bare), (Contender::Program, &mut ours)] {
            let (cluster, process, witness) = contender.at_work().await;
            let made = create(&cluster, CLIENT_COUNT, 100).await;
            parts.push(part(&made, witness.until(101).await));
            process.stop();
        }
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
    let mut all = Vec::new();
    for contender in Contender::all() {
        let (cluster, process, witness) = contender.at_work().await;
        all.push((contender, one_by_one(&cluster, &witness).await));
        process.stop();
    }
    let slowest = |took: &[Duration]| millis(quantile(took, 1.0));
    let (ours, bare) = (&all[0].1, &all[1].1);
    let beside = format!(
        "the slowest of {ALONE} {:.1} ms; a bare client {:.1} ms, the slowest {:.1} ms",
        slowest(ours),
        millis(median(bare)),
        slowest(bare)
    );
    figures.note(&budgets::ONE, millis(median(ours)), beside);
    let told = |took: &Vec<Duration>| format!("{:.1} ms", millis(median(took)));
    figures.compare("one on a quiet server: create to status, median", side_by_side(&all, told));
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
