//! A scene in namespaces of its own: the test's own program once more, in there, with that one test. Whatever the scene makes
//! and starts ends with it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// What is set for the program inside.
const INSIDE_VARIABLE: &str = "ANNOUNCER_SCENE";

/// How long a condition may take. What is waited for takes seconds at most; a busy machine takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Whether this is the process inside, which is to play the scene. Outside, the scene has been played when this returns. `name`
/// is the path of the test that calls it; `needed` are programs, each with the Debian package that has it.
#[track_caller]
pub(crate) fn is_inside(name: &str, needed: &[(&str, &str)]) -> bool {
    if std::env::var_os(INSIDE_VARIABLE).is_some() {
        return true;
    }
    let missing = missing(needed);
    assert!(missing.is_empty(), "apt-get install --yes {} brings what is missing", missing.join(" "));
    // With a process namespace, so that whatever the scene starts ends with it; and with its own /proc, or a number of a
    // process in it is looked up among the machine's, whose network would be taken for the scene's.
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]);
    if std::fs::metadata("/proc/self").expect("a process").uid() != 0 {
        inside.args(["--user", "--map-root-user"]);
    }
    inside.arg(std::env::current_exe().expect("this program"));
    inside.args(["--exact", name, "--nocapture", "--test-threads", "1"]).env(INSIDE_VARIABLE, name);
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
    false
}

fn missing<'a>(needed: &[(&str, &'a str)]) -> Vec<&'a str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| match tool.starts_with('/') {
        true => Path::new(tool).exists(),
        false => std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()),
    };
    let missing: BTreeSet<&str> =
        needed.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    missing.into_iter().collect()
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
