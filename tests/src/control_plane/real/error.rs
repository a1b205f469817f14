//! Why a real control plane does not start, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::ASSETS;

/// Why a control plane does not start. The message says what to do, and what the program in question said last.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The folder lacks programs.
    #[error(
        "{ASSETS}={}: {} not there; build what is missing with tests/kubernetes/up, which prints the folder to name",
        folder.display(), listed(missing)
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        missing: Vec<&'static str>,
    },
    /// Somebody else listens on the port.
    #[error("port {port} of 127.0.0.1 cannot be had ({why}): end what listens there, or choose another port")]
    PortTaken {
        /// Which.
        port: u16,
        /// What the system says.
        why: String,
    },
    /// A program ended instead of getting ready.
    #[error(
        "{program} ended with status {status} before it was ready: mend what its last lines complain of, or build it \
         anew with tests/kubernetes/up{}",
        tail(log)
    )]
    Ended {
        /// Which.
        program: &'static str,
        /// The status it ended with.
        status: String,
        /// What it wrote last.
        log: Vec<String>,
    },
    /// It runs and does not get ready.
    #[error(
        "kube-apiserver is not ready after {timeout:?} ({last}): is this machine very busy? If not, its last lines \
         say why{}",
        tail(log)
    )]
    NotReady {
        /// How long it was waited for.
        timeout: Duration,
        /// What the last question for readiness brought.
        last: String,
        /// What it wrote last.
        log: Vec<String>,
    },
    /// Files or processes of its own fail.
    #[error("the files and processes of the control plane: {0}; is there room in the temporary folder?")]
    Io(#[from] std::io::Error),
}

impl StartError {
    pub(in super::super) fn of_the_double(error: std::io::Error, port: Option<u16>) -> Self {
        match port {
            Some(port) => StartError::PortTaken { port, why: error.to_string() },
            None => error.into(),
        }
    }
}

fn listed(missing: &[&str]) -> String {
    format!("{} {}", missing.join(" and "), if missing.len() == 1 { "is" } else { "are" })
}

fn tail(log: &[String]) -> String {
    log.iter().map(|line| format!("\n  | {line}")).collect()
}
