//! Which functions of a program are to lie side by side: those that were run, by as few beginnings of their names as will do.
//!
//! A name ends in a hash that the next compiler makes otherwise, and functions that are made for several types share what is
//! before it. A line for each of those would be four thousand; of most modules nearly all or nearly nothing is run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many bytes that were not run may lie among those that were for a line less.
const BYTES_FOR_A_LINE: u64 = 1_000;

/// What is before the hash at the end of a name.
const BEFORE_HASH: &str = "17h";

/// How many bytes of functions of one name were run, and how many not.
#[derive(Clone, Copy, Default)]
struct Bytes {
    run: u64,
    not_run: u64,
}

/// The beginnings of names by which all that was `run` is found among the `functions`, of which each has its name and its
/// size in bytes.
pub fn beginnings<'a>(
    functions: impl IntoIterator<Item = (&'a str, u64)>,
    run: &BTreeSet<&str>,
) -> Vec<&'a str> {
    let mut names: BTreeMap<&str, Bytes> = BTreeMap::new();
    for (name, size) in functions {
        let bytes = names.entry(without_hash(name)).or_default();
        *if run.contains(name) { &mut bytes.run } else { &mut bytes.not_run } += size;
    }
    shortest(&names.into_iter().collect::<Vec<_>>(), 0).beginnings
}

/// Those of which an instruction was run. In this format a function is named once by a number, and lines of costs follow;
/// the one behind `calls=` is what was spent elsewhere (<https://valgrind.org/docs/manual/cl-format.html>).
pub fn run_in(profile: &str) -> BTreeSet<&str> {
    let (mut names, mut run, mut current, mut elsewhere) = (HashMap::new(), BTreeSet::new(), None, false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=").or(line.strip_prefix("cfn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                // Of a function that calls itself there is one for each depth.
                names.insert(number, name.split('\'').next().unwrap_or(name));
            }
            if line.starts_with("fn=") {
                current = Some(number);
            }
        } else if line.starts_with("calls=") {
            elsewhere = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            && !std::mem::take(&mut elsewhere)
        {
            run.extend(current);
        }
    }
    run.into_iter().filter_map(|number| names.get(number).copied()).collect()
}

fn without_hash(name: &str) -> &str {
    match name.rfind(BEFORE_HASH) {
        Some(at) if name[at + BEFORE_HASH.len()..].starts_with(|first: char| first.is_ascii_hexdigit()) => {
            &name[..at + BEFORE_HASH.len()]
        }
        _ => name,
    }
}

/// Beginnings by which all that was run is found, and what they cost in [`BYTES_FOR_A_LINE`] and in what was not run.
#[derive(Default)]
struct Found<'a> {
    beginnings: Vec<&'a str>,
    cost: u64,
}

/// The cheapest for these names, which are sorted and have the first `shared` bytes in common.
fn shortest<'a>(names: &[(&'a str, Bytes)], shared: usize) -> Found<'a> {
    let [(first, _), ..] = names else { return Found::default() };
    if names.iter().all(|(_, bytes)| bytes.run == 0) {
        return Found::default();
    }
    let last = names[names.len() - 1].0;
    let alike = first.bytes().zip(last.bytes()).skip(shared).take_while(|(a, b)| a == b).count() + shared;
    let not_run: u64 = names.iter().map(|(_, bytes)| bytes.not_run).sum();
    let together = Found { beginnings: vec![&first[..alike]], cost: BYTES_FOR_A_LINE + not_run };
    if names.len() == 1 {
        return together;
    }
    let mut apart = Found::default();
    let byte = |name: &str| name.as_bytes().get(alike).copied();
    for some in names.chunk_by(|(a, _), (b, _)| byte(a) == byte(b)) {
        let of_some = shortest(some, alike);
        apart.cost += of_some.cost;
        apart.beginnings.extend(of_some.beginnings);
    }
    if apart.cost < together.cost { apart } else { together }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(functions: &[(&str, u64)], run: &[&str]) -> Vec<String> {
        let run = run.iter().copied().collect();
        beginnings(functions.iter().copied(), &run).into_iter().map(str::to_owned).collect()
    }

    const A: &str = "_ZN3net4read17h00112233445566aaE";
    const OF_ANOTHER_TYPE: &str = "_ZN3net4read17h99112233445566aaE";
    const B: &str = "_ZN3net5write17h00112233445566bbE";
    const C: &str = "_ZN3cli4help17h00112233445566ccE";
    const D: &str = "_ZN3cli5parse17h00112233445566ddE";

    #[test]
    fn what_is_not_run_is_taken_along_where_it_is_less_than_a_line_is_worth() {
        let small = [(A, 500), (OF_ANOTHER_TYPE, 500), (B, 900), (C, 500), (D, 9_000)];
        assert_eq!(found(&small, &[A]), ["_ZN3net4read17h"]);
        assert_eq!(found(&small, &[A, B]), ["_ZN3net"], "one line for both");
        assert_eq!(found(&small, &[A, C]), ["_ZN3cli4help17h", "_ZN3net4read17h"]);
        assert_eq!(found(&small, &[]), [] as [&str; 0]);
    }

    #[test]
    fn a_function_counts_as_run_by_its_own_instructions_and_not_by_those_it_calls() {
        let profile = "fn=(1) main\n10 5\ncfn=(2) called\ncalls=1 20\n10 700\nfn=(3) caller'2\ncfn=(2)\ncalls=1 20\n+1 9\nfn=(2)\n20 700\n";
        assert_eq!(run_in(profile), BTreeSet::from(["main", "called"]));
    }

    proptest! {
        #[test]
        fn all_that_was_run_is_found(
            functions in proptest::collection::btree_map("_ZN[ab]{1,6}17h[0-9a-f]{16}E", (1..3_000_u64, any::<bool>()), 1..40),
        ) {
            let run = functions.iter().filter(|(_, (_, is_run))| *is_run).map(|(name, _)| name.as_str()).collect();
            let lines = beginnings(functions.iter().map(|(name, (size, _))| (name.as_str(), *size)), &run);
            for name in &run {
                prop_assert!(lines.iter().any(|line| name.starts_with(line)), "{name}: {lines:?}");
            }
        }
    }
}
