//! What the program costs beside the least that could do the same: `cargo bench --workspace --bench scale`.
//!
//! The program runs as a process of its own against the API server that `KUBEBUILDER_ASSETS` names, or else against the
//! double, which is in this process. Beside it, in the same run and on a server of the same kind, a bare client makes the
//! same writes and does nothing else. Program and server share the machine, so that ratios and counts tell more than
//! seconds. Nothing fails: what misses its budget is told.
//!
//! With `UPDATE_DOCS` in the environment, and no word that chooses, the other benches are run as well and
//! `docs/performance.md` is written.

mod bare_client;
mod created;
mod growth;
mod others;
mod outages;
mod process;
mod stage;
mod start;
mod waiting;
mod witness;

use tests::performance::{self, Figures, Machine, Page, budgets};

/// What is measured, in this order. Words behind ` -- ` choose among it.
const SCENES: [&str; 7] = ["start", "many", "hundred", "one", "waiting", "growth", "outages"];

#[tokio::main]
async fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = SCENES.iter().filter(|scene| asked.is_empty() || asked.iter().any(|word| word == *scene));
    let mut figures = Figures::default();
    figures.note(&budgets::BINARY, process::size() as f64 / 1e6, "");
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
