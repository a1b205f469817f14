//! The tables of rules beside these tests name tests that exist and know every code with which the fake refuses.

use std::collections::BTreeSet;
use std::fs;

use provider_aws::client::Call;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// The text of every source file in a folder.
fn sources(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("{FOLDER}/{folder}")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let rust = paths.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| fs::read_to_string(path).expect("it can be read")).collect()
}

/// What the last column, or the one before it, has in backquotes.
fn column(from_the_right: usize) -> BTreeSet<String> {
    let tables =
        fs::read_to_string(format!("{FOLDER}/tests/client/README.md")).expect("the tables are there");
    let rows = tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule"));
    rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").nth(from_the_right).map(str::to_owned))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let named = column(0);
    let exist: BTreeSet<String> = sources("tests/client")
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")))
        .filter_map(|rest| rest.strip_suffix("() {").map(str::to_owned))
        .collect();
    assert!(named.len() > 90, "the tables name {} tests only", named.len());
    let missing: Vec<_> = named.difference(&exist).collect();
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}

#[test]
fn every_code_of_the_fake_is_in_the_tables_and_the_other_way_round() {
    // A code is what `refuse` is given, by value or by the name of a constant.
    let text = sources("src/client/fake").concat();
    let quoted = text
        .split("refuse(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let constants = text.split("pub(super) const ").skip(1).filter_map(|rest| {
        let (_, value) = rest.split_once("&str = \"")?;
        value.split('"').next().filter(|code| code.chars().all(char::is_alphabetic))
    });
    let codes: BTreeSet<String> = quoted.chain(constants).map(str::to_owned).collect();
    let named = column(1);
    assert!(codes.len() > 40, "{codes:#?}");
    assert_eq!(codes.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the tables");
    let unknown: Vec<_> =
        named.difference(&codes).filter(|code| code.starts_with(char::is_uppercase)).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "the fake does not know these");
}

#[test]
fn every_call_is_in_the_list_of_what_was_asked_of_each() {
    let text = fs::read_to_string(format!("{FOLDER}/tests/client/README.md")).expect("the lists are there");
    let (_, list) = text.split_once("## What was asked of every call").expect("the list");
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let listed: BTreeSet<&str> =
        rows.flat_map(|cell| cell.split("`, `")).map(|name| name.trim_end_matches('`')).collect();
    let calls: BTreeSet<&str> = Call::ALL.iter().map(|call| call.name()).collect();
    assert_eq!(listed, calls);
}
