//! The two text formats in which Prometheus reads metrics.
//!
//! They differ in the names of counters: OpenMetrics describes `requests` and shows `requests_total`, the older format knows
//! only the latter ([exposition formats](https://prometheus.io/docs/instrumenting/exposition_formats/)).

use std::collections::HashSet;

/// OpenMetrics, which Prometheus asks for by name.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older format, for everybody else.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether whoever accepts this asks for OpenMetrics.
pub(super) fn is_asked_for(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains("application/openmetrics-text"))
}

/// The same in the older format.
pub(super) fn as_text(openmetrics: &str) -> String {
    let described = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: HashSet<String> = openmetrics.lines().filter_map(described).collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let head = ["# HELP ", "# TYPE "].into_iter().find_map(|head| Some((head, line.strip_prefix(head)?)));
        match head.and_then(|(head, rest)| Some((head, rest.split_once(' ')?))) {
            Some((head, (name, rest))) if counters.contains(name) => {
                text.extend([head, name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_by_the_name_under_which_it_is_shown() {
        let openmetrics = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"b\"} 1\n# HELP wait_seconds Wait.\n\
                           # TYPE wait_seconds gauge\n# UNIT wait_seconds seconds\nwait_seconds 0.5\n# EOF\n";
        let text = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"b\"} 1\n\
                    # HELP wait_seconds Wait.\n# TYPE wait_seconds gauge\nwait_seconds 0.5\n";
        assert_eq!(as_text(openmetrics), text);
    }

    #[test]
    fn prometheus_asks_for_openmetrics_and_a_person_does_not() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert!(is_asked_for(Some(prometheus)));
        assert!(!is_asked_for(Some("*/*")) && !is_asked_for(None));
    }
}
