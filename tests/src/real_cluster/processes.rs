//! The servers of a cluster: child processes on its machines, each with a log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{ClusterError, last_lines};
use super::machine::Machine;

/// How long anything may take that a cluster does by itself at its start.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Debug)]
struct Server {
    name: String,
    log: PathBuf,
    command: Command,
    child: Child,
}

fn spawn(name: &str, command: &mut Command) -> Result<Child, ClusterError> {
    let failed =
        |error: std::io::Error| ClusterError::Command { command: name.to_owned(), said: error.to_string() };
    command.spawn().map_err(failed)
}

/// All of a cluster's servers.
#[derive(Debug)]
pub(super) struct Processes {
    folder: PathBuf,
    servers: Vec<Server>,
}

impl Processes {
    /// None yet; logs go into `folder`.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Processes { folder: folder.to_owned(), servers: Vec::new() }
    }

    /// Starts a server that `command` makes on a machine; the number of its process.
    pub(super) fn start(
        &mut self,
        machine: &Machine,
        program: &str,
        mut command: Command,
    ) -> Result<u32, ClusterError> {
        let name = format!("{program} on {}", machine.name());
        let path = self.log(machine.name(), program);
        let file =
            || File::options().create(true).append(true).open(&path).map_err(ClusterError::file(&path));
        command.stdin(Stdio::null()).stdout(file()?).stderr(file()?);
        let child = spawn(&name, &mut command)?;
        let number = child.id();
        self.servers.push(Server { name, log: path.clone(), command, child });
        Ok(number)
    }

    /// Ends a server of this program, on whatever machine, as a power cut does.
    pub(super) fn kill(&mut self, program: &str) -> Result<(), ClusterError> {
        self.of(program).try_for_each(|server| {
            server
                .child
                .kill()
                .and_then(|()| server.child.wait())
                .map_err(ClusterError::file(&server.log))?;
            Ok(())
        })
    }

    /// Starts what [`kill`](Processes::kill) has ended, as it was started before.
    pub(super) fn start_again(&mut self, program: &str) -> Result<(), ClusterError> {
        self.of(program).try_for_each(|server| {
            server.child = spawn(&server.name, &mut server.command)?;
            Ok(())
        })
    }

    fn of(&mut self, program: &str) -> impl Iterator<Item = &mut Server> {
        let start = format!("{program} on ");
        self.servers.iter_mut().filter(move |server| server.name.starts_with(&start))
    }

    /// Where a server writes.
    fn log(&self, machine: &str, program: &str) -> PathBuf {
        self.folder.join(format!("{machine}-{program}.log"))
    }

    /// The last lines of every server.
    pub(super) fn last_words(&self) -> String {
        let of = |server: &Server| format!("--- {}\n{}", server.name, last_lines(&server.log));
        self.servers.iter().map(of).collect::<Vec<_>>().join("\n")
    }

    /// Waits until `look` says None: it is so. Until then it says what is missing.
    ///
    /// # Errors
    /// When a server ends meanwhile, or it takes longer than a cluster's start may.
    pub(super) async fn until<Look: Future<Output = Option<String>>>(
        &mut self,
        what: &str,
        mut look: impl FnMut() -> Look,
    ) -> Result<(), ClusterError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let Some(last) = look().await else { return Ok(()) };
            self.all_run()?;
            if Instant::now() > deadline {
                let last = format!("{last}\n{}", self.last_words());
                return Err(ClusterError::Late { what: what.to_owned(), timeout: START_TIMEOUT, last });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn all_run(&mut self) -> Result<(), ClusterError> {
        for server in &mut self.servers {
            let ended = server.child.try_wait().map_err(ClusterError::file(&server.log))?;
            if let Some(status) = ended {
                return Err(ClusterError::Ended {
                    server: server.name.clone(),
                    status: status.to_string(),
                    log: server.log.clone(),
                    last_words: last_lines(&server.log),
                });
            }
        }
        Ok(())
    }

    /// Takes note that all have ended, once somebody has ended them.
    pub(super) fn reap(&mut self) {
        for server in &mut self.servers {
            let _ = server.child.wait();
        }
    }
}
