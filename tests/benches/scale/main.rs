//! What the program costs beside the least that could do the same: `cargo bench --workspace --bench scale`.
//!
//! The program runs as a process of its own against the API server that `KUBEBUILDER_ASSETS` names, or else against the
//! double, which is in this process. Beside it, in the same run and each on a server of the same kind, a bare client makes
//! the same writes and does nothing else, and Kubernetes' own service controller and MetalLB's controller, where they were
//! built, serve the same Services.
//! Whoever is measured shares the machine with its server, so that ratios and counts tell more than seconds. Nothing fails:
//! what misses its budget is told.
//!
//! With `UPDATE_DOCS` in the environment, and no word that chooses, the other benches are run as well and
//! `docs/performance.md` is written.

mod bare_client;
mod contender;
mod created;
mod growth;
mod others;
mod outages;
mod peers;
mod process;
mod program;
mod stage;
mod start;
mod waiting;
mod witness;

use peers::Peer;
use tests::performance::{self, Figures, Machine, Page, budgets};

/// What is measured, in this order. Words behind ` -- ` choose among it.
const SCENES: [&str; 7] = ["start", "many", "hundred", "one", "waiting", "growth", "outages"];

#[tokio::main]
async fn main() {
    bare_client::serve_if_asked().await;
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = SCENES.iter().filter(|scene| asked.is_empty() || asked.iter().any(|word| word == *scene));
    let mut figures = Figures::default();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    figures.note(&budgets::BINARY, megabytes(program::size()), "");
    let sizes = [Some(program::size()), None, Peer::Kubernetes.size(), Peer::MetalLb.size()];
    figures
        .compare("the program's file", sizes.map(|size| size.map(|it| format!("{:.1} MB", megabytes(it)))));
    let server = stage::server().await;
    println!("{server}");
    for scene in chosen {
        match *scene {
            "start" => start::until_it_is_ready(&mut figures).await,
            "many" => created::by_ten_clients(&mut figures).await,
            "hundred" => created::a_hundred(&mut figures).await,
            "one" => created::one(&mut figures).await,
            "waiting" => waiting::at_the_start(&mut figures).await,
            "growth" => growth::from_a_hundred(&mut figures).await,
            _ => outages::of_every_length(&mut figures).await,
        }
    }
    if performance::is_to_be_written() && asked.is_empty() {
        let (machine, shown) = (Machine::this(), others::shown());
        let page = Page { figures: &figures, machine: &machine, server: &server, shown: &shown }.text();
        std::fs::write(performance::path(), page).expect("the page is written");
        println!("{} is written", performance::path().display());
    }
}
