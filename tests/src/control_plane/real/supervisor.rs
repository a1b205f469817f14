//! The processes of a real control plane, which end with the process that started them, however that ends.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SCRIPT: &str = include_str!("supervise.sh");

/// A script that holds the programs, and the pipe that keeps it at it: closed when this is dropped, or when this
/// process is no more.
#[derive(Debug)]
pub(super) struct Supervisor {
    folder: PathBuf,
    script: Child,
    commands: Mutex<Option<ChildStdin>>,
}

impl Supervisor {
    /// Starts one for the programs of a new folder, which goes when they have ended.
    pub(super) fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("control-plane-").tempdir()?;
        let file = folder.path().join("supervise.sh");
        fs::write(&file, SCRIPT)?;
        let mut script = Command::new("bash")
            .arg(file)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What a terminal sends to the test, Ctrl-C say, must not end the script before it has cleaned up.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("bash, which runs the programs: {error}"))
            })?;
        let commands = Mutex::new(script.stdin.take());
        Ok(Self { folder: folder.keep(), script, commands })
    }

    /// Where the programs have their files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program under a name: that of its log, too.
    pub(super) fn run(&self, name: &str, program: &Path, arguments: &[String]) -> io::Result<()> {
        let mut line = format!("exec {}", quoted(&program.display().to_string()));
        for argument in arguments {
            line = format!("{line} {}", quoted(argument));
        }
        fs::write(self.folder.join(format!("{name}.sh")), format!("{line}\n"))?;
        self.command(&format!("start {name}"))
    }

    /// Starts again what [`stop`](Supervisor::stop) ended.
    pub(super) fn start_again(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(format!("{name}.ended")))?;
        self.command(&format!("start {name}"))
    }

    /// Ends a program as a power cut would, and returns when it has ended.
    pub(super) async fn stop(&self, name: &str) -> io::Result<()> {
        self.command(&format!("stop {name}"))?;
        while self.ended(name).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The status that a program ended with, if it has ended.
    pub(super) fn ended(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(self.folder.join(format!("{name}.ended"))).ok()?;
        Some(status.trim().to_owned())
    }

    /// The last lines that a program wrote.
    pub(super) fn last_lines(&self, name: &str) -> Vec<String> {
        const LINES: usize = 5;
        let log = fs::read(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].iter().map(|&line| line.to_owned()).collect()
    }

    fn command(&self, line: &str) -> io::Result<()> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        match commands.as_mut() {
            Some(commands) => writeln!(commands, "{line}"),
            None => Err(io::Error::other("the supervisor was told to end")),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It ends by itself now; whoever goes on should find its ports and its folder free.
        let _ = self.script.wait();
    }
}

/// As a shell reads back what it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
