//! Lines on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// A log filter, if it is one. A word that is no level would be taken for the name of a part, and silence all others.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn filter(written: &str) -> Result<String, String> {
    for directive in written.split(',') {
        let level = directive.rsplit('=').next().unwrap_or_default();
        level.parse::<LevelFilter>().map_err(|_| {
            format!("{level:?} is no level; levels are off, error, warn, info, debug and trace")
        })?;
    }
    EnvFilter::try_new(written).map(|_| written.to_owned()).map_err(|error| error.to_string())
}

/// Starts to log, at levels that [`filter`] has let pass.
pub(crate) fn start(filter: &str, format: LogFormat) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
