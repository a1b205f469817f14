//! How a watch stands, for who wants to know from outside.

use tokio::time::Instant;

/// Why a watch does not deliver, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchFailure {
    /// Since when; it has not delivered since.
    pub since: Instant,
    /// Why, in words; the last cause if there were several.
    pub cause: String,
}

/// How a watch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchState {
    /// Whether a first list was read to its end.
    pub listed: bool,
    /// What is wrong with it now, if anything.
    pub failing: Option<WatchFailure>,
}
