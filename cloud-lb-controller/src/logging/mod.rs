//! Log lines: as text or JSON, at a level that can be changed while the program runs.

mod filter;

use std::io::IsTerminal;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::flags::{LogFlags, LogFormat};
use crate::traces::Traces;

/// The log level in force, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    written: Arc<Mutex<String>>,
}

/// What holds a filter that can be changed, for as long as it lives.
pub(crate) type Filter = reload::Layer<EnvFilter, Registry>;

impl LogLevel {
    /// One that begins with this filter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn beginning_with(text: &str) -> Result<(Filter, Self), String> {
        let (filter, handle) = reload::Layer::new(filter::parse(text)?);
        Ok((filter, LogLevel { handle, written: Arc::new(Mutex::new(text.trim().to_owned())) }))
    }

    /// The filter in force, as it was written.
    pub(crate) fn get(&self) -> String {
        self.written.lock().clone()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right; the one in force stays.
    pub(crate) fn set(&self, text: &str) -> Result<(), String> {
        self.handle.reload(filter::parse(text)?).map_err(|error| error.to_string())?;
        text.trim().clone_into(&mut self.written.lock());
        Ok(())
    }
}

/// Starts logging to standard error, and, if spans are exported, to where they go.
///
/// # Errors
/// What is wrong with the filter.
pub(crate) fn start(flags: &LogFlags, traces: Option<&Traces>) -> Result<LogLevel, String> {
    let (filter, level) = LogLevel::beginning_with(&flags.log_level)?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(in_colour());
    let lines = match flags.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let lines = lines.with_filter(filter_fn(|event| !is_said_elsewhere(event)));
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.with(traces.map(Traces::layer)).init();
    Ok(level)
}

/// What kube says of failures that whoever asked says in words, with the cause, and once: each request that failed, each
/// attempt at a watch that was refused, as a dump.
fn is_said_elsewhere(event: &Metadata<'_>) -> bool {
    let said = ["kube_client::client::builder", "kube_runtime::watcher"];
    *event.level() <= Level::WARN && said.contains(&event.target())
}

/// On a terminal, unless its owner wants none (<https://no-color.org>).
fn in_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !unwanted
}
