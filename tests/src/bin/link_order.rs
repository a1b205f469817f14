//! Writes the linker script that has what the program does in one place: `tests/link-order` runs it.
//!
//! It is told the program, which has its symbols, and what valgrind's callgrind saw of it while it worked.

use std::collections::BTreeSet;
use std::process::Command;

use tests::link_order::{beginnings, run_in};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().expect("the program");
    let profiles: Vec<String> =
        arguments.map(|path| std::fs::read_to_string(path).expect("a profile of callgrind")).collect();
    let run: BTreeSet<&str> = profiles.iter().flat_map(|profile| run_in(profile)).collect();
    let functions = functions(&program);
    let lines = beginnings(functions.iter().map(|(name, size)| (name.as_str(), *size)), &run);
    assert!(!lines.is_empty(), "no function of the program was run");
    println!(
        "/* Written by `tests/link-order`; why it is there: build.rs. A line that fits nothing does no harm. */"
    );
    println!("SECTIONS\n{{\n  .text.first :\n  {{\n    *(");
    // What is seldom run, by the compiler's guess, has `.unlikely` in between.
    lines.iter().for_each(|line| println!("      .text*.{line}*"));
    println!("    )\n  }}\n}}\nINSERT BEFORE .text;");
}

/// The functions of Rust in a program, and how many bytes each has.
fn functions(program: &str) -> Vec<(String, u64)> {
    let listed =
        Command::new("nm").args(["--print-size", "--defined-only", program]).output().expect("nm runs");
    let listed = String::from_utf8(listed.stdout).expect("names are text");
    let function = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (size, kind, name) = (words.next()?, words.next()?, words.next()?);
        let is_ours =
            matches!(kind, "t" | "T" | "w" | "W") && (name.starts_with("_ZN") || name.starts_with("_R"));
        Some((name.to_owned(), u64::from_str_radix(size, 16).ok()?)).filter(|_| is_ours)
    };
    listed.lines().filter_map(function).collect()
}
