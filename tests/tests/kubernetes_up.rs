//! `tests/kubernetes/up` says what is in its way in one line, and builds nothing that is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A machine with the plain tools of a shell and no Go, and a target folder of its own.
struct Machine {
    folder: TempDir,
}

/// What a run of `up` left behind.
struct Run {
    succeeded: bool,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        let machine = Machine { folder: TempDir::new().expect("a folder") };
        fs::create_dir(machine.tools()).expect("a folder for tools");
        for tool in [
            "basename", "bash", "cat", "cp", "dirname", "env", "find", "flock", "head", "mkdir", "mv", "rm",
            "sed", "tail",
        ] {
            let place = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let found = place.into_iter().find(|path| path.exists()).expect("the tool is on every Linux");
            std::os::unix::fs::symlink(found, machine.tools().join(tool)).expect("a link");
        }
        machine
    }

    fn tools(&self) -> PathBuf {
        self.folder.path().join("tools")
    }

    /// The folder that a version's programs are built into.
    fn programs(&self, version: &str) -> PathBuf {
        self.folder.path().join("target/kubernetes").join(version)
    }

    /// With a Go that only says this, and fails.
    fn with_go_that_fails(self, saying: &str) -> Self {
        let go = self.tools().join("go");
        fs::write(&go, format!("#!/usr/bin/env bash\necho '{saying}' >&2\nexit 1\n")).expect("a script");
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).expect("it may be run");
        self
    }

    fn up(&self, arguments: &[&str]) -> Run {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/up"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.tools())
            .env("CARGO_TARGET_DIR", self.folder.path().join("target"))
            .output()
            .expect("the script runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
        Run { succeeded: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn pinned() -> String {
    let module = include_str!("../kubernetes/go.mod");
    let line = module.lines().find(|line| line.contains("k8s.io/kubernetes v")).expect("it is pinned");
    line.rsplit_once(" v").expect("it has a version").1.to_owned()
}

#[test]
fn without_go_it_says_what_to_install_and_what_for() {
    let run = Machine::new().up(&["kubectl"]);
    assert!(!run.succeeded);
    let [line] = run.err.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {}", run.err) };
    assert!(line.contains("Go is missing") && line.contains("kubectl") && line.contains("PATH"), "{line}");
    assert_eq!(run.out, "");
}

#[test]
fn without_a_network_the_last_line_says_so_after_go_has_spoken() {
    let machine = Machine::new().with_go_that_fails("dial tcp: no route to host");
    let run = machine.up(&["kubectl"]);
    assert!(!run.succeeded);
    assert!(run.err.contains("dial tcp: no route to host"), "{}", run.err);
    let last = run.err.lines().last().unwrap_or_default();
    assert!(last.contains("kubectl could not be built") && last.contains("network"), "{last}");
    assert!(!machine.programs(&pinned()).join("kubectl").exists(), "nothing half-built is left");
}

#[test]
fn a_release_that_cannot_be_had_is_named() {
    let machine = Machine::new().with_go_that_fails("unknown revision");
    let run = machine.up(&["1.99.0"]);
    assert!(!run.succeeded);
    let last = run.err.lines().last().unwrap_or_default();
    assert!(last.contains("Kubernetes 1.99.0 could not be downloaded"), "{}", run.err);
}

#[test]
fn a_word_that_is_no_program_is_answered_with_those_there_are() {
    let run = Machine::new().up(&["kube-apisever"]);
    assert!(!run.succeeded);
    assert!(run.err.contains("\"kube-apisever\"") && run.err.contains("kube-apiserver"), "{}", run.err);
}

#[test]
fn a_number_that_is_no_release_is_refused_with_an_example() {
    for wrong in ["1.37", "137.2", "1.37.2.1", "1.37.x"] {
        let run = Machine::new().up(&[wrong]);
        assert!(!run.succeeded, "{wrong}");
        assert!(run.err.contains(&format!("{wrong:?}")) && run.err.contains(&pinned()), "{}", run.err);
    }
}

#[test]
fn what_is_there_is_not_built_again_and_needs_no_go() {
    let machine = Machine::new();
    for version in [pinned(), "1.33.13".to_owned()] {
        fs::create_dir_all(machine.programs(&version)).expect("a folder");
        for program in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
            fs::write(machine.programs(&version).join(program), "a program").expect("a file");
        }
        let run = machine.up(&[&version]);
        assert!(run.succeeded, "{}", run.err);
        let last = run.out.lines().last().map(PathBuf::from);
        assert_eq!(last, Some(machine.programs(&version)), "the folder is the last line");
    }
}
