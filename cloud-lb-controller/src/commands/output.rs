//! How a command prints what it found.

use clap::ValueEnum;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Lines, in colour on a terminal
    Text,
    /// One JSON document
    Json,
}
