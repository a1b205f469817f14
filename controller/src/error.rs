//! Why the controller cannot run.

use thiserror::Error as ThisError;

/// Why the controller cannot run. What goes wrong with one Service is never one of these: it is retried and told.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// There is nobody to make load balancers.
    #[error("no provider is configured: nothing would ever get an address")]
    NoProvider,
    /// Two providers share a name, and what they record on Services could not be told apart.
    #[error("two providers are called {0:?}: each needs a name of its own")]
    DoubleName(String),
    /// Another process leads now, or the Lease could not be renewed in time.
    #[error("leadership was lost; start over")]
    LostLeadership,
    /// The watch of Services or Nodes ended, which it never does by itself.
    #[error("a watch ended: the controller cannot see the cluster any more")]
    WatchEnded,
}
