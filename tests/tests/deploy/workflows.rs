//! What can be told of GitHub's workflows without GitHub: what they run is there, by whom they are run and with what rights,
//! and what the step for the guides does to a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use regex_lite::Regex;
use serde_json::Value;

use super::process::{WORKSPACE, read};

const FOLDER: &str = ".github/workflows";

/// Each workflow by its name, as text and as what it says.
fn workflows() -> BTreeMap<String, (String, Value)> {
    let files = fs::read_dir(Path::new(WORKSPACE).join(FOLDER)).expect("a folder");
    let workflow = |file: std::io::Result<fs::DirEntry>| {
        let name = file.expect("a file").file_name().into_string().expect("a name");
        let text = read(format!("{FOLDER}/{name}"));
        let read = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, (text, read))
    };
    let all: BTreeMap<_, _> = files.map(workflow).collect();
    assert!(!all.is_empty());
    all
}

/// The jobs of a workflow.
fn jobs(workflow: &Value) -> &serde_json::Map<String, Value> {
    workflow["jobs"].as_object().expect("jobs")
}

/// The steps of all jobs of a workflow.
fn steps(workflow: &Value) -> impl Iterator<Item = &Value> {
    jobs(workflow).values().flat_map(|job| job["steps"].as_array().expect("steps"))
}

/// The commands of all steps of a workflow.
fn commands(workflow: &Value) -> impl Iterator<Item = &str> {
    steps(workflow).filter_map(|step| step["run"].as_str())
}

#[test]
fn every_script_of_this_repository_that_a_workflow_runs_is_there() {
    let script = Regex::new(r"(?:^|[\s;|&(])((?:deploy|tests|localstack|\.ci)/[\w./-]+)").expect("a pattern");
    let mut found = 0;
    for (name, (_, workflow)) in workflows() {
        for command in commands(&workflow) {
            for path in script.captures_iter(command).map(|found| found[1].to_owned()) {
                assert!(Path::new(WORKSPACE).join(&path).is_file(), "{name} runs {path}, which there is not");
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

#[test]
fn every_action_of_somebody_elses_is_pinned_to_a_commit_and_says_of_which_version() {
    let pinned = Regex::new(r"^[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$").expect("a pattern");
    for (name, (text, _)) in workflows() {
        for line in
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "))
        {
            assert!(pinned.is_match(line), "{name}: {line}");
        }
    }
}

#[test]
fn nothing_that_github_fills_in_is_read_as_a_command() {
    for (name, (_, workflow)) in workflows() {
        for command in commands(&workflow) {
            assert!(!command.contains("${{"), "{name}: give it as a variable: {command}");
        }
    }
}

#[test]
fn a_workflow_may_read_and_who_may_more_is_a_job_of_a_release() {
    for (name, (_, workflow)) in workflows() {
        assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}), "{name}");
        let more = jobs(&workflow).iter().filter(|(_, job)| !job["permissions"].is_null());
        let more: Vec<_> = more.map(|(job, _)| job.as_str()).collect();
        let allowed: &[&str] = if name == "release.yaml" { &["guides", "publish"] } else { &[] };
        assert_eq!(more, allowed, "{name}");
    }
}

#[test]
fn every_job_has_an_end_and_only_who_pushes_keeps_the_token_that_it_fetched_with() {
    for (name, (_, workflow)) in workflows() {
        for (job, it) in jobs(&workflow) {
            assert!(it["timeout-minutes"].is_u64(), "{name}: {job} may take for ever");
            let steps = it["steps"].as_array().expect("steps");
            let pushes =
                steps.iter().any(|step| step["run"].as_str().is_some_and(|run| run.contains("git push")));
            let checkouts = steps.iter().filter(|step| {
                step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@"))
            });
            for checkout in checkouts {
                assert_eq!(checkout["with"]["persist-credentials"], pushes, "{name}: {job}");
            }
        }
    }
}

/// A repository with the script that makes the site, its origin, and a stand-in for the program that makes pages.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Repository { folder };
        fs::create_dir_all(made.checkout().join("deploy/release")).expect("a folder");
        let script = "deploy/release/site";
        fs::copy(Path::new(WORKSPACE).join(script), made.checkout().join(script)).expect("the script");
        made.run(
            "git init --quiet --bare ../origin && git init --quiet . && git remote add origin \"$PWD/../origin\"",
        );
        let pages = "#!/bin/sh\nmkdir -p \"$3\" && echo 'the guides' >\"$3/index.html\"\n";
        fs::write(made.folder.path().join("mdbook"), pages).expect("a file");
        made.run("chmod +x ../mdbook");
        made
    }

    fn checkout(&self) -> std::path::PathBuf {
        self.folder.path().join("checkout")
    }

    /// What a script prints that runs in the checkout as GitHub runs a step: by nobody whom git knows.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(self.checkout());
        bash.env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("HOME", self.folder.path());
        bash.env("MDBOOK", self.folder.path().join("mdbook")).env("GIT_CONFIG_NOSYSTEM", "1");
        for part in ["AUTHOR", "COMMITTER"] {
            bash.env(format!("GIT_{part}_NAME"), "who releases");
            bash.env(format!("GIT_{part}_EMAIL"), "who@example.com");
        }
        let output = bash.output().expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn the_first_release_makes_the_branch_of_the_guides_and_the_next_one_keeps_what_is_on_it() {
    let (_, workflow) = &workflows()["release.yaml"];
    let is_it = |step: &&Value| step["name"] == "The guides of this version, beside those of the others";
    let step = steps(workflow).find(is_it).expect("the step");
    for of_git in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        assert!(step["env"][of_git].is_string(), "{of_git}: git commits for nobody whom it does not know");
    }
    let script = step["run"].as_str().expect("a script");
    let repository = Repository::new();
    for version in ["0.1.0", "0.2.0"] {
        fs::write(repository.checkout().join("Cargo.toml"), format!("version = \"{version}\"\n"))
            .expect("a file");
        repository.run(&format!("GITHUB_REF_NAME=v{version}\n{script}"));
        // The next release has a checkout of its own.
        repository.run("git worktree remove site && git branch --quiet -D gh-pages");
    }
    let files = repository.run("git -C ../origin ls-tree -r --name-only gh-pages");
    assert_eq!(files, "0.1.0/index.html\n0.2.0/index.html\nindex.html\n");
    let said = repository.run("git -C ../origin log --format=%s gh-pages");
    assert_eq!(said, "The guides of v0.2.0\nThe guides of v0.1.0\nNo version yet\n");
}
