//! From exec until the program is ready, and what it holds when nobody asks anything of it.

use std::time::{Duration, Instant};

use tests::performance::{Figures, budgets};
use tokio::time::sleep;

use crate::process::{Program, is_ours};
use crate::stage::{Body, a_cluster, median, millis};

const ROUND_COUNT: usize = 9;

/// How long it has nothing to do until its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);

const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

pub(crate) async fn until_it_is_ready(figures: &mut Figures) {
    let cluster = a_cluster(Body::AsAsked).await;
    let (mut listed, mut ready, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUND_COUNT {
        cluster.requests().clear();
        let program = Program::start(&cluster.plane);
        let first_list = || cluster.requests().count(|r| is_ours(r) && r.resource == "services");
        while first_list() == 0 {
            sleep(BETWEEN_LOOKS).await;
        }
        let at = Instant::now();
        listed.push(at - program.began());
        while !program.is_ready().await {
            sleep(BETWEEN_LOOKS).await;
        }
        ready.push(at.elapsed());
        if round == 0 {
            sleep(IDLE).await;
            idle.push(program.peak_megabytes());
        }
        program.stop();
    }
    let spread = |took: &[Duration]| {
        let (fastest, slowest) = (took.iter().min(), took.iter().max());
        let told = |it: Option<&Duration>| it.map_or(0.0, |it| millis(*it));
        format!("of {ROUND_COUNT} starts; {:.0} to {:.0} ms", told(fastest), told(slowest))
    };
    figures.note(&budgets::FIRST_LIST, millis(median(&listed)), spread(&listed));
    figures.note(&budgets::READY, millis(median(&ready)), spread(&ready));
    figures.note(&budgets::IDLE_MEMORY, idle[0], "the most that it ever held");
}
