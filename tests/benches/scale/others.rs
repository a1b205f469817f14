//! The other benches, for the page that tells of all.

use std::process::{Command, Stdio};

use tests::performance::Shown;
use tests::programs::without_own_package;

/// A bench, what it is told, and what it measures.
const BENCHES: [(&str, &[&str], &str); 3] = [
    ("memory", &[], "What is kept of a Service"),
    ("allocate", &[], "An allocation"),
    ("aws", &["1000"], "At AWS"),
];

/// Runs them, and keeps what they print.
pub(crate) fn shown() -> Vec<Shown> {
    BENCHES
        .iter()
        .map(|(bench, arguments, title)| Shown { bench, title, text: run(bench, arguments) })
        .collect()
}

fn run(bench: &str, arguments: &[&str]) -> String {
    println!("the bench {bench}");
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--quiet", "--workspace", "--bench", bench, "--"]).args(arguments);
    without_own_package(&mut command);
    let output = command.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the bench {bench} failed");
    String::from_utf8(output.stdout).expect("text")
}
