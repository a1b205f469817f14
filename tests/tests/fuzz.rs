//! Readers of what users write and networks carry, on inputs that nobody meant: see [`tests::fuzz`]. `FUZZ_INPUTS` says how many
//! each reader gets, `FUZZ_SEED` which, and `FUZZ_TARGET` that only one of them reads.

use tests::fuzz::TARGETS;
use tests::process::read;

/// Some seconds for all readers, unoptimised.
const INPUTS_PER_TARGET: u64 = 20_000;

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")),
        Err(_) => otherwise,
    }
}

#[test]
fn no_input_makes_a_reader_panic_open_more_than_it_says_or_tell_it_back_whole() {
    let (inputs, seed) = (number("FUZZ_INPUTS", INPUTS_PER_TARGET), number("FUZZ_SEED", 1));
    let only = std::env::var("FUZZ_TARGET").ok();
    let is_meant = |name: &str| only.as_deref().is_none_or(|only| only == name);
    assert!(TARGETS.iter().any(|target| is_meant(target.name)), "FUZZ_TARGET={only:?} is no reader");
    for target in TARGETS.iter().filter(|target| is_meant(target.name)) {
        let start = std::time::Instant::now();
        target.try_inputs(inputs, seed);
        eprintln!("{}: {inputs} inputs in {:?}", target.name, start.elapsed());
    }
}

#[test]
fn every_reader_is_a_target_of_cargo_fuzz_and_looked_at_by_the_workflow() {
    let (manifest, workflow) = (read("tests/fuzz/Cargo.toml"), read(".github/workflows/thorough.yaml"));
    for target in TARGETS {
        let name = target.name;
        let (bin, source) = (format!("name = \"{name}\""), format!("tests/fuzz/fuzz_targets/{name}.rs"));
        assert!(manifest.contains(&bin), "tests/fuzz/Cargo.toml lacks {bin}");
        assert!(read(&source).contains(&format!("tests::fuzz::read(\"{name}\", input)")), "{source}");
        let looked_at = workflow.lines().any(|line| line.trim() == format!("- {name}"));
        assert!(looked_at, ".github/workflows/thorough.yaml does not run {name}");
    }
}
