//! What this process uses, by the names all Prometheus clients have for it; nothing where there is no /proc.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks a second, and bytes a page: what Linux has on every platform we build for.
const TICKS: f64 = 100.0;
const PAGE: i64 = 4_096;

/// Looks itself up when somebody asks.
#[derive(Debug)]
pub struct ThisProcess;

/// What `/proc/self/stat` tells.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    resident_bytes: i64,
}

impl Stat {
    /// The name in the second field may hold spaces, so that fields count from behind it.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field)?.parse::<i64>().ok();
        Some(Stat {
            cpu_seconds: (number(11)? + number(12)?) as f64 / TICKS,
            resident_bytes: number(21)?.saturating_mul(PAGE),
        })
    }
}

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
        if let Some(stat) = stat {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let kind = cpu.metric_type();
            let help = "CPU time of this process, user and system";
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
            let memory = ConstGauge::new(stat.resident_bytes);
            let (kind, help) = (memory.metric_type(), "Memory of this process that is in use");
            memory.encode(encoder.encode_descriptor(
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                kind,
            )?)?;
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
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let line =
            "7 (a ) b) S 1 7 7 0 -1 4194304 99 0 0 0 150 50 0 0 20 0 3 0 1234 5678 25 18446744073709551615";
        assert_eq!(Stat::parse(line), Some(Stat { cpu_seconds: 2.0, resident_bytes: 102_400 }));
        assert_eq!(Stat::parse("garbage"), None);
    }
}
