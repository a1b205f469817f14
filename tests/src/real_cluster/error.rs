//! What can go wrong with a cluster, each in one line that says what to do, or with the last words of who failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// How many of a log's last lines a failure shows.
const LAST_LINES: usize = 12;

/// Why there is no cluster, or why it does not do as it is told.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// This machine, or this user, cannot have one. The text says what is missing and how to get it.
    #[error("no cluster can run here: {0}")]
    Unable(String),
    /// A command failed.
    #[error("{command}: {said}")]
    Command {
        /// The command, as it would be typed.
        command: String,
        /// What it said, or why it did not run.
        said: String,
    },
    /// A server of the cluster ended, though nobody told it to.
    #[error("{server} ended with {status}; the last lines of {}:\n{last_words}", log.display())]
    Ended {
        /// Its program and machine.
        server: String,
        /// How it ended.
        status: String,
        /// Where all it wrote is, while the cluster stands.
        log: PathBuf,
        /// The last lines of that.
        last_words: String,
    },
    /// A condition did not come true in time.
    #[error("{what} did not come true within {} s; {last}", timeout.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        timeout: Duration,
        /// What was seen last, and who may know why.
        last: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ClusterError {
    /// For `map_err` of what is done to a file.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| ClusterError::File { path: path.to_owned(), source }
    }
}

/// The last lines of a log; empty where there is none.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
