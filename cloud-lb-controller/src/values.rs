//! How values of flags are written.

use std::net::SocketAddr;
use std::time::Duration;

use cloud_provider::cut_short;
use jiff::SignedDuration;

/// Where to serve, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpAddress(pub Option<SocketAddr>);

/// Reads an address with a port; empty: nowhere.
pub(crate) fn http_address(text: &str) -> Result<HttpAddress, String> {
    if text.is_empty() {
        return Ok(HttpAddress(None));
    }
    text.parse().map(|address| HttpAddress(Some(address))).map_err(|_| {
        format!("{:?} is not an address with a port, such as [::]:10258 or 127.0.0.1:10258", cut_short(text))
    })
}

/// Less than one request in so many seconds is a mistake.
const MAX_SECONDS_A_REQUEST: f64 = 1_000.0;

/// Reads a rate: a number that is not negative, nor so small that nothing would happen.
pub(crate) fn qps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(qps) if qps.is_finite() && (qps == 0.0 || qps >= 1.0 / MAX_SECONDS_A_REQUEST) => Ok(qps),
        _ => Err(format!(
            "{:?} is not a number of requests a second; write it as 20 or 0.5, or 0 for no limit",
            cut_short(text)
        )),
    }
}

/// Reads a duration as Go writes it: `15s`, `1m30s`, `100ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let length = text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
    // Go's own reach 292 years, and no clock overflows by these.
    let is_usable = |length: &Duration| !length.is_zero() && i64::try_from(length.as_nanos()).is_ok();
    length.filter(is_usable).ok_or_else(|| {
        format!("{:?} is not a duration; write it as 300ms, 15s, 5m or 1h30m", cut_short(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2562047h"), Ok(Duration::from_secs(2_562_047 * 3_600)));
        for wrong in ["", "15", "s", "1d", "-1s", "0s", "2562048h", "9223372036854775807s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rate_is_a_number_of_requests_a_second() {
        assert_eq!(qps("20"), Ok(20.0));
        assert_eq!(qps("0.5"), Ok(0.5));
        assert_eq!(qps("0"), Ok(0.0));
        for wrong in ["", "-1", "inf", "NaN", "20/s", "1e-300"] {
            assert!(qps(wrong).is_err(), "{wrong:?}");
        }
    }
}
