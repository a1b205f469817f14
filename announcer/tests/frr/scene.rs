//! A scene: the test's own program once more, in namespaces of its own.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What is set for the program inside.
const INSIDE: &str = "ANNOUNCER_SCENE";

/// How long a condition may take. What is waited for takes seconds at most; a busy machine takes longer.
const WITHIN: Duration = Duration::from_secs(60);

/// What is needed, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("/usr/lib/frr/bgpd", "frr"),
    ("/usr/lib/frr/bfdd", "frr"),
    ("/usr/bin/vtysh", "frr"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
];

/// Runs a scene. `name` is the path of the test that calls it.
pub(crate) fn play<F: Future<Output = ()>>(name: &str, scene: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        // The scene itself waits for programs, and sessions go on meanwhile.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        return runtime.block_on(scene());
    }
    let missing = missing();
    assert!(missing.is_empty(), "apt-get install --yes {} brings what is missing", missing.join(" "));
    // With a process namespace, so that whatever the scene starts ends with it; and with its own /proc, or a number of a
    // process in it is looked up among the machine's, whose network would be taken for the router's.
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]);
    if std::fs::metadata("/proc/self").expect("a process").uid() != 0 {
        inside.args(["--user", "--map-root-user"]);
    }
    inside.arg(std::env::current_exe().expect("this program"));
    inside.args(["--exact", name, "--nocapture", "--test-threads", "1"]).env(INSIDE, name);
    let Output { status, stdout, stderr } = inside.output().expect("unshare runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(
        status.success(),
        "{status}; namespaces need root, or a kernel.unprivileged_userns_clone of 1\n{stdout}\n{stderr}"
    );
    assert!(stdout.contains("1 passed"), "{name} is not the name of one test: {stdout}");
    for line in stdout.lines() {
        // Before the first one stands what the test's own program says of itself.
        line.split_once("measured: ").into_iter().for_each(|(_, figure)| println!("measured: {figure}"));
    }
}

fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| match tool.starts_with('/') {
        true => Path::new(tool).exists(),
        false => std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()),
    };
    let missing: BTreeMap<_, _> =
        NEEDED.into_iter().filter(|(tool, _)| !is_there(tool)).map(|(tool, from)| (from, tool)).collect();
    missing.into_keys().collect()
}

/// Runs a command line of words without spaces to its end; what it wrote.
#[track_caller]
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    output(command)
}

/// Runs a command to its end; what it wrote.
#[track_caller]
pub(crate) fn output(mut command: Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}; {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Waits until what is seen is what is expected, and says how long that took.
#[track_caller]
pub(crate) fn until<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    mut look: impl FnMut() -> T,
) -> impl Future<Output = Duration> {
    let (start, caller) = (Instant::now(), std::panic::Location::caller());
    async move {
        loop {
            let seen = look();
            if seen == expected {
                return start.elapsed();
            }
            assert!(start.elapsed() < WITHIN, "{caller}: {what}: {seen:?} is seen, {expected:?} is expected");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
