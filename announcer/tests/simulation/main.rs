//! Histories of a segment, drawn from a seed: nodes that start, stop, stand still and leave, clocks that go at different
//! rates, frames that are late, lost, or overtake each other, wires that are cut in one direction or both. What must hold
//! whatever happens is in `invariants.rs`.
//!
//! `ANNOUNCER_HISTORIES` says how many, `ANNOUNCER_SEED` with which one to begin: `ANNOUNCER_HISTORIES=1 ANNOUNCER_SEED=17`
//! runs again what failed with seed 17.

mod history;
mod invariants;
mod world;

use std::time::Duration;

use history::History;
use world::World;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn in_every_history_double_claims_end_and_no_address_stays_without_an_owner() {
    let (histories, first) =
        (from_environment("ANNOUNCER_HISTORIES", 200), from_environment("ANNOUNCER_SEED", 1));
    let (mut takes, mut doubles, mut longest_double, mut longest_vacancy) =
        (0, 0, Duration::ZERO, Duration::ZERO);
    for seed in first..first + histories {
        let mut world = World::new(History::draw(seed));
        if let Err(broken) = world.run() {
            let log = world.log.iter().rev().take(60).rev().map(|line| format!("{line}\n"));
            panic!("seed {seed}: {broken}\n{}", log.collect::<String>());
        }
        takes += world.invariants.takes;
        doubles += world.invariants.doubles;
        longest_double = longest_double.max(world.invariants.longest_double);
        longest_vacancy = longest_vacancy.max(world.invariants.longest_vacancy);
    }
    println!(
        "{histories} histories: {takes} times taken, {doubles} times by two; double for {longest_double:?} after both hear \
         each other, without an owner for {longest_vacancy:?} while one could take it"
    );
    assert!(
        takes > histories * 3 && doubles > histories / 4,
        "{takes} and {doubles}: too little happened to say much"
    );
}
