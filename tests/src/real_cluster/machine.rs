//! A machine of the cluster: a network namespace, held by a file, and the commands that run in it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::cleanup::MARK;
use super::error::ClusterError;

/// A machine on the LAN, or the switch between them.
#[derive(Debug, Clone)]
pub struct Machine {
    name: &'static str,
    namespace: PathBuf,
}

impl Machine {
    /// Makes the namespace and holds it by a file in `folder`, which the cleaning finds by being there.
    pub(super) fn make(name: &'static str, folder: &Path) -> Result<Self, ClusterError> {
        let namespace = folder.join(format!("{name}.net"));
        std::fs::write(&namespace, "").map_err(ClusterError::file(&namespace))?;
        let mut hold = Command::new("unshare");
        hold.arg(format!("--net={}", namespace.display())).args(["ip", "link", "set", "lo", "up"]);
        run(hold)?;
        Ok(Machine { name, namespace })
    }

    /// Its name: `node-1`, `client`, …
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The file that holds the namespace: `nsenter --net=FILE` leads into it.
    pub fn namespace(&self) -> &Path {
        &self.namespace
    }

    /// A program, to be run on this machine, where it ends with the cluster. By `nsenter`: `ip netns exec` would mount
    /// another /sys, without cgroups.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.display())).arg(program);
        command.env(MARK, self.namespace.parent().unwrap_or(Path::new("/")));
        command
    }

    /// Runs a program on this machine to its end; what it wrote.
    ///
    /// # Errors
    /// When it does not run, or fails.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String, ClusterError> {
        let mut command = self.command(program);
        command.args(arguments);
        run(command)
    }

    /// Runs lines of `ip` on this machine.
    pub(super) fn ip(&self, lines: &[String]) -> Result<(), ClusterError> {
        let mut ip = self.command("ip");
        ip.args(["-batch", "-"]);
        run_with(ip, lines.join("\n").as_bytes()).map(drop)
    }
}

/// Runs a command to its end; what it wrote to standard output.
pub(super) fn run(command: Command) -> Result<String, ClusterError> {
    run_with(command, b"")
}

/// The same, with something to read.
pub(super) fn run_with(mut command: Command, input: &[u8]) -> Result<String, ClusterError> {
    let ended = output_of(&mut command, input);
    let failed = |said: String| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        ClusterError::Command { command: words.join(" "), said }
    };
    match ended {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        }
        Ok(Output { status, stderr, .. }) => {
            Err(failed(format!("{status}; {}", String::from_utf8_lossy(&stderr).trim())))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn output_of(command: &mut Command, input: &[u8]) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends without reading says why by its status.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output()
}
