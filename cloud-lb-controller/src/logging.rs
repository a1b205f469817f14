//! Log lines: as text or JSON, at a level that can be changed while the program runs.

use std::io::IsTerminal;

use cloud_provider::cut_short;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::flags::{LogFlags, LogFormat};
use crate::traces::Traces;

/// The log level in force.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(reload::Handle<EnvFilter, Registry>);

/// What holds a filter that can be changed, for as long as it lives.
pub(crate) type Filter = reload::Layer<EnvFilter, Registry>;

impl LogLevel {
    /// One that begins with this filter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn beginning_with(filter: &str) -> Result<(Filter, Self), String> {
        let (filter, handle) = reload::Layer::new(parse(filter)?);
        Ok((filter, LogLevel(handle)))
    }

    /// The filter in force.
    pub(crate) fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right; the one in force stays.
    pub(crate) fn set(&self, filter: &str) -> Result<(), String> {
        self.0.reload(parse(filter)?).map_err(|error| error.to_string())
    }
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter.trim()).map_err(|error| {
        let (filter, error) = (cut_short(filter), cut_short(error.to_string()));
        format!("{filter:?} is no log filter ({error}); write a level such as info, or info,controller=debug")
    })
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
