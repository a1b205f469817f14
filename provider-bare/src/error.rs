//! Failures of the Kubernetes API, by what has to happen before it is worth trying again.

use std::path::PathBuf;

use apiserver_client::watch_in_words;
use cloud_provider::Error;
use kube::runtime::watcher;
use thiserror::Error as ThisError;

/// Why pools could not be read.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SourceError {
    /// Pools are to come from the cluster, and there is no client for it.
    #[error("address pools are to be read from the cluster, and there is no Kubernetes client")]
    NoClient,
    /// The file of pools cannot be read.
    #[error("cannot read address pools from {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::transient_from(error.to_string(), error)
    }
}

/// Why a watch does not deliver, as far as somebody can do something about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatchProblem {
    /// The kind is not known to the API server.
    NoSuchKind,
    /// We may not list or watch it.
    Denied(String),
    /// Anything else; the watch tries again by itself.
    Other(String),
}

impl From<&watcher::Error> for WatchProblem {
    fn from(error: &watcher::Error) -> Self {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => Some(status),
            _ => None,
        };
        match status.map(|status| (status.code, status.message.clone())) {
            Some((404, _)) => WatchProblem::NoSuchKind,
            Some((401 | 403, message)) => WatchProblem::Denied(message),
            _ => WatchProblem::Other(watch_in_words(error)),
        }
    }
}

impl WatchProblem {
    /// As the controller is told, for this kind of resource.
    pub(crate) fn into_error(self, resource: &str) -> Error {
        match self {
            WatchProblem::NoSuchKind => Error::transient(format!(
                "the cluster does not know {resource}; install the CustomResourceDefinition, with \
                 `cloud-lb-controller crds | kubectl apply -f -` or as part of MetalLB"
            )),
            WatchProblem::Denied(message) => Error::denied(format!("list and watch {resource}: {message}")),
            WatchProblem::Other(message) => {
                Error::transient(format!("{resource} cannot be read yet: {message}"))
            }
        }
    }
}
