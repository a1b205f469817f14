//! Readers of what users write, on inputs that nobody meant: see [`tests::fuzz`]. `FUZZ_INPUTS` says how many each
//! reader gets, and `FUZZ_SEED` which.

use tests::fuzz::{TARGETS, mutate};

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
    for target in TARGETS {
        let start = std::time::Instant::now();
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..inputs {
            let input = mutate::input(target.examples, &mut rng);
            let read = std::panic::catch_unwind(|| (target.read)(&input));
            assert!(read.is_ok(), "{}: FUZZ_SEED={seed}, the input {input:?}", target.name);
        }
        eprintln!("{}: {inputs} inputs in {:?}", target.name, start.elapsed());
    }
}
