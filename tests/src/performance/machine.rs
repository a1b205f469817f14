//! On what something was measured.

use std::fs;
use std::thread::available_parallelism;

use jiff::Zoned;

/// The machine, and the day.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) cores: usize,
    pub(super) model: String,
    pub(super) gigabytes: f64,
    pub(super) date: String,
}

impl Machine {
    /// This one, today.
    pub fn this() -> Self {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let kilobytes: f64 =
            line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
        Machine {
            cores: available_parallelism().map_or(1, usize::from),
            model: line("/proc/cpuinfo", "model name"),
            gigabytes: kilobytes / 1024.0 / 1024.0,
            date: Zoned::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}
