//! The house keeps to its plan: arrows between modules have one direction, and what `ARCHITECTURE.md` names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The crates that are for others: all members of the workspace but the tests.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(WORKSPACE).join("Cargo.toml")).expect("the manifest");
    let members = manifest.lines().find(|line| line.starts_with("members = [")).expect("the members");
    let names = members.split('"').skip(1).step_by(2);
    names.filter(|name| *name != "tests").map(str::to_owned).collect()
}

type Module = Vec<String>;

/// The modules of a crate with their text, tests and comments left out.
fn modules(source: &Path, below: &[String], found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(source).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        if name == "tests" {
            continue;
        }
        let module = match name.as_str() {
            "lib" | "mod" => below.to_vec(),
            _ => [below, std::slice::from_ref(&name)].concat(),
        };
        if path.is_dir() {
            modules(&path, &module, found);
        } else if name != "main" {
            let text = fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.insert(module, lines.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Splits at commas that stand in no braces.
fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// All paths of `a::{b, c::{d, e}}`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    match tree.split_once('{') {
        None => vec![tree.to_owned()],
        Some((before, rest)) => {
            let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
            parts(inside).iter().flat_map(|part| paths(part)).map(|path| format!("{before}{path}")).collect()
        }
    }
}

/// Which modules each module names. A parent may name its children, whose face it is.
fn arrows(modules: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let named =
        Regex::new(r"\b(crate|self|(?:super::)*super)::([\w:]*(?:\{[^;]*?\}[;\n])?)").expect("a pattern");
    let mut arrows: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, text) in modules {
        let to = arrows.entry(module).or_default();
        for found in named.captures_iter(text) {
            let base = match &found[1] {
                "crate" => &[],
                "self" => &module[..],
                ups => &module[..module.len().saturating_sub(ups.matches("super").count())],
            };
            for path in paths(found[2].trim_end_matches([';', '\n'])) {
                let path: Module = base.iter().cloned().chain(path.split("::").map(str::to_owned)).collect();
                let target = (1..=path.len()).rev().find_map(|n| modules.get_key_value(&path[..n]));
                to.extend(target.map(|(target, _)| target).filter(|target| !target.starts_with(module)));
            }
        }
    }
    arrows
}

/// A way from a module back to it, if there is one.
fn circle<'a>(
    from: &'a Module,
    arrows: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> Option<Vec<&'a Module>> {
    let (mut ways, mut seen) = (vec![vec![from]], BTreeSet::new());
    while let Some(way) = ways.pop() {
        for &next in &arrows[way[way.len() - 1]] {
            if next == from {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

#[test]
fn no_module_depends_on_one_that_depends_on_it() {
    for name in crates() {
        let mut found = BTreeMap::new();
        modules(&Path::new(WORKSPACE).join(&name).join("src"), &[], &mut found);
        let arrows = arrows(&found);
        let imports: usize = arrows.values().map(BTreeSet::len).sum();
        // In a crate of a few files only the root may import, what stands below it.
        assert!(imports > 5 || found.len() < 6, "{name}: its imports are not understood");
        for module in arrows.keys() {
            let circle = circle(module, &arrows);
            assert!(circle.is_none(), "{name}: {circle:?}");
        }
    }
}

#[test]
fn a_circle_is_found() {
    let text = |text: &str| text.to_owned();
    let found = BTreeMap::from([
        (vec![text("a")], text("use crate::{b::B, c};\n")),
        (vec![text("b")], text("use super::c::{D, E};\n")),
        (vec![text("c")], text("pub fn f() -> crate::a::A {}\n")),
    ]);
    let arrows = arrows(&found);
    assert!(circle(found.keys().next().expect("a module"), &arrows).is_some());
}

#[test]
fn the_files_that_the_plan_of_the_house_names_are_there() {
    let plan = fs::read_to_string(Path::new(WORKSPACE).join("ARCHITECTURE.md")).expect("the plan");
    let named: BTreeSet<&str> = plan
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('/') && !name.contains([' ', '*', '{']) && !name.starts_with('/'))
        .collect();
    assert!(named.len() > 60, "it names {} files only", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !Path::new(WORKSPACE).join(name).exists()).collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
}

#[test]
fn each_way_of_the_data_is_as_long_as_the_plan_says() {
    let plan = fs::read_to_string(Path::new(WORKSPACE).join("ARCHITECTURE.md")).expect("the plan");
    let title = Regex::new(r"^\*\*(.+)\*\* \((\d+) files\)$").expect("a pattern");
    // As many as were asked for: the four ways, and what three new things touch.
    let mut at_most = [28, 19, 24, 15, 15, 15, 8].into_iter();
    for paragraph in plan.split("\n\n") {
        let Some((first, list)) = paragraph.split_once('\n') else { continue };
        let Some(found) = title.captures(first) else { continue };
        let files: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        let different: BTreeSet<&str> = files.iter().copied().collect();
        assert_eq!(files.len(), different.len(), "{}: a file stands twice", &found[1]);
        assert_eq!(files.len().to_string(), found[2], "{}", &found[1]);
        let at_most = at_most.next().expect("a bound for each");
        assert!(files.len() <= at_most, "{}: {} files, of {at_most} at most", &found[1], files.len());
    }
    assert_eq!(at_most.len(), 0, "four ways, and what three new things touch");
}

/// A property of AWS is where its word stands, tests apart.
#[test]
fn a_property_of_aws_touches_the_files_that_the_plan_says() {
    let plan = fs::read_to_string(Path::new(WORKSPACE).join("ARCHITECTURE.md")).expect("the plan");
    let mut texts = BTreeMap::new();
    let source = Path::new(WORKSPACE).join("provider-aws/src");
    sources(&source, &mut texts);
    let policy = Path::new(WORKSPACE).join("deploy/aws/iam-policy.json");
    texts.insert(policy.clone(), fs::read_to_string(&policy).expect("the policy"));
    for (title, word) in [
        ("such as the interval", r"interval_seconds|HEALTH_INTERVAL"),
        ("such as reserved capacity", r"(?i)capacity"),
    ] {
        let word = Regex::new(word).expect("a pattern");
        let touched: BTreeSet<String> = texts
            .iter()
            .filter(|(path, text)| {
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                !path.ends_with("tests.rs") && word.is_match(&code.replace("with_capacity", ""))
            })
            .filter_map(|(path, _)| path.strip_prefix(WORKSPACE).ok()?.to_str().map(str::to_owned))
            .collect();
        let mut paragraphs = plan.split("\n\n");
        let list = paragraphs.find(|paragraph| paragraph.contains(title)).expect("its paragraph");
        let listed: BTreeSet<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(touched, listed, "{title}");
    }
}

#[test]
fn no_file_is_included_by_its_path() {
    let mut texts = BTreeMap::new();
    for folder in crates().into_iter().chain(["tests".to_owned()]) {
        sources(&Path::new(WORKSPACE).join(folder), &mut texts);
    }
    let by_path = Regex::new(r"(?m)^\s*#\[path\b").expect("a pattern");
    let including: Vec<_> =
        texts.iter().filter(|(_, text)| by_path.is_match(text)).map(|(file, _)| file).collect();
    assert!(including.is_empty(), "share a module or a crate instead: {including:?}");
}

#[test]
fn the_tests_that_hold_its_rules_are_there() {
    let plan = fs::read_to_string(Path::new(WORKSPACE).join("ARCHITECTURE.md")).expect("the plan");
    let mut texts = BTreeMap::new();
    for folder in crates().into_iter().chain(["tests/src".to_owned(), "tests/tests".to_owned()]) {
        sources(&Path::new(WORKSPACE).join(folder), &mut texts);
    }
    let named = plan.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() > 15, "it names {} tests only", named.len());
    let is_there = |name: &str| texts.values().any(|text| text.contains(&format!("fn {name}(")));
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
}

/// The files below a folder.
fn sources(folder: &Path, texts: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            texts.insert(path.clone(), fs::read_to_string(&path).expect("text"));
        }
    }
}
