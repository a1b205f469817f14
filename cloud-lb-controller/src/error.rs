//! Why the program ends early, and the exit code that says so.

use apiserver_client::in_words;
use thiserror::Error as ThisError;

/// It did what was asked.
pub(crate) const EXIT_CODE_DONE: u8 = 0;
/// It cannot run, or not any longer.
pub(crate) const EXIT_CODE_CANNOT: u8 = 1;
/// `plan` found changes, `doctor` or `orphans` found something.
pub(crate) const EXIT_CODE_FOUND: u8 = 2;
/// `doctor` found nothing that fails, and could not look at everything.
pub(crate) const EXIT_CODE_BLIND: u8 = 3;
/// The command line or a file is wrong (`EX_USAGE` of sysexits).
pub(crate) const EXIT_CODE_USAGE: u8 = 64;

/// Why the program ends early; one clear line each.
#[derive(Debug, ThisError)]
pub(crate) enum CliError {
    /// The command line or a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no usable configuration for the API server.
    #[error("no API server to talk to: {0}; give --kubeconfig FILE, or run in a pod with a service account")]
    NoCluster(String),
    /// The API server refused something.
    #[error("{doing}: {}", in_words(source))]
    Api {
        /// What was being done.
        doing: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// A provider failed.
    #[error("provider {provider}: {source}")]
    Provider {
        /// Which.
        provider: String,
        /// Why.
        source: Box<cloud_provider::Error>,
    },
    /// Health and metrics cannot be served.
    #[error("--http-address {address}: {source}")]
    Bind {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Signals cannot be handled.
    #[error("signals cannot be handled: {0}")]
    Signals(std::io::Error),
    /// The controller cannot run.
    #[error(transparent)]
    Controller(service_controller::Error),
}

impl CliError {
    /// The exit code for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => EXIT_CODE_USAGE,
            _ => EXIT_CODE_CANNOT,
        }
    }
}
