//! How soon a new Service is served after the API server was away.

use std::time::{Duration, Instant};

use tests::performance::{Budget, Figures, budgets};

use crate::program;
use crate::stage::{Body, a_cluster, services};
use crate::witness::Witness;

const LENGTHS: [(u64, &Budget); 4] =
    [(2, &budgets::OUTAGE_2), (8, &budgets::OUTAGE_8), (30, &budgets::OUTAGE_30), (60, &budgets::OUTAGE_60)];

pub(crate) async fn of_every_length(figures: &mut Figures) {
    for (seconds, budget) in LENGTHS {
        let mut cluster = a_cluster(Body::AsAsked).await;
        let program = program::start(&cluster.plane);
        cluster.create("before").await;
        Witness::of(&cluster).of_service("before").await;
        let began = Instant::now();

        cluster.plane.restart_after(Duration::from_secs(seconds)).await;

        let back = Instant::now();
        // Who has just come knows of no outage.
        cluster.client = services(&cluster).into_client();
        let witness = Witness::of(&cluster);
        cluster.create("after").await;
        let served = witness.of_service("after").await;
        let beside = format!("ready {:.1} s after it ended", (back - began).as_secs_f64());
        figures.note(budget, (served - back).as_secs_f64(), beside);
        program.stop();
    }
}
