//! Lengths of time as Kubernetes' resources have them: the text form of Go's `time.Duration`.

use std::time::Duration;

/// What a length of time looks like, in words.
pub const SYNTAX: &str = "a number with a unit, such as 90s, 1m30s or 500ms";

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a length of time; none if it is none, or negative. The rules are those of Go's
/// [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration).
pub fn parse(text: &str) -> Option<Duration> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = unsigned;
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(count(number, unit)?)?;
        rest = behind;
    }
    // As far as Go's type reaches, which is 292 years.
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|n| i64::try_from(*n).is_ok())?;
    (!unsigned.is_empty()).then(|| Duration::from_nanos(nanoseconds))
}

/// A decimal number of units, in nanoseconds; what is less than one is cut off.
fn count(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    // An hour has 3.6 · 10¹² nanoseconds: what stands further behind is less than one.
    let fraction = &fraction[..fraction.len().min(13)];
    let part = digits(fraction)? * unit / 10_u128.pow(fraction.len() as u32);
    digits(whole)?.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_go_reads_them() {
        let table = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("9m0s", Some(540_000)),
            ("1h1m1.5s", Some(3_661_500)),
            ("500ms", Some(500)),
            (".5s", Some(500)),
            ("1.s", Some(1_000)),
            ("+3s", Some(3_000)),
            ("1s1s", Some(2_000)),
            ("2000µs", Some(2)),
            ("", None),
            ("+", None),
            ("3", None),
            ("-3s", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("3 s", None),
            ("3d", None),
            ("99999999999h", None),
            ("99999999999999999999999999999999999999999s", None),
        ];
        for (text, milliseconds) in table {
            assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }
}
