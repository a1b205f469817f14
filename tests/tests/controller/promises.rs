//! The tables in the controller's README name tests: each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("it can be read");
            let names = text.lines().filter_map(|line| {
                let line = line.trim_start();
                let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
                rest.strip_suffix("() {").map(str::to_owned)
            });
            found.extend(names);
        }
    }
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let workspace = Path::new(WORKSPACE);
    let mut found = BTreeSet::new();
    for folder in ["cloud-provider/src", "controller/src", "tests/tests"] {
        tests_below(&workspace.join(folder), &mut found);
    }
    let readme = fs::read_to_string(workspace.join("controller/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<&str> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.contains('_')).collect();
    assert!(named.len() > 40, "the tables name {} tests only", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}
