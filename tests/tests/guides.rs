//! The guides: every link leads somewhere, every page is in the summary, and what a release is made of is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use serde_json::Value;
use tests::performance;
use tests::performance::budgets;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Folders that hold what is built or installed.
const LEFT_OUT: [&str; 6] = ["target", ".git", ".venv", "node_modules", "bin", ".run"];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// What stands between fences is shown and not read.
fn without_code(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = without_code(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_or_a_heading_that_there_is() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let mut all = Vec::new();
    pages(Path::new(WORKSPACE), &mut all);
    assert!(all.len() > 20, "{all:?}");
    let mut dead = Vec::new();
    for page in all {
        let text = fs::read_to_string(&page).expect("text");
        for found in link.captures_iter(&without_code(&text)) {
            let target = &found[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, it)| (file, Some(it)));
            let file = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            let there = match anchor {
                _ if !file.exists() => false,
                Some(anchor) if file.extension().is_some_and(|ending| ending == "md") => {
                    anchors(&fs::read_to_string(&file).expect("text")).contains(anchor)
                }
                _ => true,
            };
            if !there {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn every_guide_is_in_the_summary_of_the_site() {
    let docs = Path::new(WORKSPACE).join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("a summary");
    let mut all = Vec::new();
    pages(&docs, &mut all);
    for page in all {
        let name = page.strip_prefix(&docs).expect("in docs").display().to_string();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "{name} is not in the summary"
        );
    }
}

#[test]
fn every_budget_is_in_the_page_of_what_it_costs_with_what_is_missed() {
    let page = fs::read_to_string(performance::path()).expect("the page");
    for budget in budgets::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| {} |", budget.what)));
        let row =
            row.unwrap_or_else(|| panic!("no figure for {:?}: {}", budget.what, performance::WRITTEN_BY));
        assert!(row.contains(&format!(" {} |", budget.told(budget.at_most).trim())), "another budget: {row}");
        let is_told = page.contains(&format!("- **{}**: {}", budget.what, budget.if_missed));
        assert_eq!(row.contains(" missed |"), is_told, "{row}");
    }
}

#[test]
fn the_plugins_manifest_is_for_this_version() {
    let read = |name: &str| fs::read_to_string(Path::new(WORKSPACE).join(name)).expect("text");
    let manifest = read("deploy/krew/lb.yaml");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&format!("version: {version}\n")));
    for architecture in ["amd64", "arm64"] {
        let archive = format!("kubectl-lb-linux-{architecture}.tar.gz");
        assert!(manifest.contains(&format!("/releases/download/{version}/{archive}")), "{archive}");
    }
}

/// The blocks of a page that are written in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("a block").to_owned()).collect()
}

#[test]
fn recipes_trust_the_service_account_of_the_chart_and_nobody_else() {
    let page = fs::read_to_string(Path::new(WORKSPACE).join("docs/recipes.md")).expect("text");
    // By default the account has the release's name.
    assert!(page.contains(
        "$ helm install cloud-lb-controller deploy/helm/cloud-lb-controller --namespace cloud-lb-controller"
    ));
    let policies: Vec<Value> =
        blocks(&page, "json").iter().map(|json| serde_json::from_str(json).expect("JSON")).collect();
    let [by_token, by_agent] = policies.as_slice() else { panic!("{policies:?}") };
    let equals = by_token["Statement"][0]["Condition"]["StringEquals"].as_object().expect("a condition");
    let subject = equals.iter().find(|(key, _)| key.ends_with(":sub")).expect("a subject");
    assert_eq!(subject.1, "system:serviceaccount:cloud-lb-controller:cloud-lb-controller");
    assert!(equals.iter().any(|(key, value)| key.ends_with(":aud") && value == "sts.amazonaws.com"));
    assert_eq!(by_agent["Statement"][0]["Principal"]["Service"], "pods.eks.amazonaws.com");
    for yaml in blocks(&page, "yaml") {
        let service: Value = serde_saphyr::from_str(&yaml).expect("YAML");
        assert_eq!(service["spec"]["type"], "LoadBalancer");
    }
}

#[test]
fn every_variable_of_the_recipe_for_terraform_is_declared_in_it() {
    let page = fs::read_to_string(Path::new(WORKSPACE).join("docs/recipes.md")).expect("text");
    let recipe = blocks(&page, "terraform").concat();
    let used = Regex::new(r"\bvar\.(\w+)").expect("a pattern");
    let used: BTreeSet<_> = used.captures_iter(&recipe).map(|found| found[1].to_owned()).collect();
    let declared = Regex::new(r#"(?m)^variable "(\w+)""#).expect("a pattern");
    let declared: BTreeSet<_> = declared.captures_iter(&recipe).map(|found| found[1].to_owned()).collect();
    assert!(!used.is_empty());
    assert_eq!(used, declared);
}

#[test]
fn the_recipe_for_kind_loads_the_image_that_it_installs() {
    let page = fs::read_to_string(Path::new(WORKSPACE).join("docs/recipes.md")).expect("text");
    let recipe = page.split("\n## kind\n").nth(1).expect("a recipe").split("\n## ").next().expect("its end");
    let the = |pattern: &str| {
        let found = Regex::new(pattern).expect("a pattern").captures(recipe);
        found.unwrap_or_else(|| panic!("{pattern} is not in {recipe}"))[1].to_owned()
    };
    let installed = format!("{}:{}", the(r"image\.repository=(\S+)"), the(r"image\.tag=(\S+)"));
    assert_eq!(the(r"IMAGE_NAME=(\S+)"), installed);
    assert_eq!(the(r"deploy/image/build (\S+)"), the(r"kind load image-archive (\S+)"));
}
