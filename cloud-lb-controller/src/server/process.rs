//! What this process uses, by the names all Prometheus clients have for it; nothing where there is no /proc.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks a second, as the kernel tells programs of them, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Looks itself up when somebody asks.
#[derive(Debug)]
pub(super) struct ThisProcess;

/// What `/proc/self/stat` tells.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since the machine started.
    started_seconds: f64,
}

impl Stat {
    /// The name in the second field may hold spaces, so that fields count from behind it.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            started_seconds: ticks(19)? / TICKS_PER_SECOND,
        })
    }
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(word))?.split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(stat) = Stat::parse(&read("/proc/self/stat")) {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let (kind, help) = (cpu.metric_type(), "CPU time of this process, user and system");
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
            if let Some(boot) = number(&read("/proc/stat"), "btime ") {
                let start = ConstGauge::new(boot as f64 + stat.started_seconds);
                let (kind, help) = (start.metric_type(), "When this process started, since 1970");
                let unit = Some(&Unit::Seconds);
                start.encode(encoder.encode_descriptor("process_start_time", help, unit, kind)?)?;
            }
        }
        if let Some(kilobytes) = number(&read("/proc/self/status"), "VmRSS:") {
            let memory = ConstGauge::new(kilobytes.saturating_mul(1_024));
            let (kind, help) = (memory.metric_type(), "Memory of this process that is in use");
            let unit = Some(&Unit::Bytes);
            memory.encode(encoder.encode_descriptor("process_resident_memory", help, unit, kind)?)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let open = ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX));
            let (kind, help) = (open.metric_type(), "Files and connections that this process has open");
            open.encode(encoder.encode_descriptor("process_open_fds", help, None, kind)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use service_controller::Metrics;

    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let line =
            "7 (a ) b) S 1 7 7 0 -1 4194304 99 0 0 0 150 50 0 0 20 0 3 0 1234 5678 25 18446744073709551615";
        assert_eq!(Stat::parse(line), Some(Stat { cpu_seconds: 2.0, started_seconds: 12.34 }));
        assert_eq!(Stat::parse("garbage"), None);
    }

    #[test]
    fn a_number_stands_behind_its_word() {
        let text = "VmSize:\t    3060 kB\nVmRSS:\t    1952 kB\n";
        assert_eq!(number(text, "VmRSS:"), Some(1_952));
        assert_eq!(number(text, "VmSwap:"), None);
        assert_eq!(number("VmRSS:", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_started_and_uses_memory_and_files() {
        let metrics = Metrics::default();
        metrics.extend(|registry| registry.register_collector(Box::new(ThisProcess)));
        let text = metrics.encode();
        let value = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).parse::<f64>().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let start = value("process_start_time_seconds");
        assert!(0.0 < start && start <= now + 1.0, "{start} {now}");
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
