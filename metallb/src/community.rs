//! BGP communities, as they are written in advertisements.

use std::fmt;
use std::str::FromStr;

/// What a router may go by when it chooses or passes on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommunityValue {
    /// Two numbers (RFC 1997): `65535:65281`.
    Plain(u16, u16),
    /// Three numbers (RFC 8092): `large:64512:1:2`.
    Large(u32, u32, u32),
}

/// What a community looks like, in words.
pub const SYNTAX: &str =
    "1234:1234 with numbers up to 65535, or large:1234:1234:1234 with numbers up to 4294967295";

/// A text that is no community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no community")]
pub struct NoCommunity;

impl FromStr for CommunityValue {
    type Err = NoCommunity;

    fn from_str(text: &str) -> Result<Self, NoCommunity> {
        let (large, numbers) = text.strip_prefix("large:").map_or((false, text), |rest| (true, rest));
        // Rust reads a sign, MetalLB does not.
        if !numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
            return Err(NoCommunity);
        }
        let numbers: Result<Vec<u32>, _> = numbers.split(':').map(str::parse).collect();
        let plain = |number: u32| u16::try_from(number).map_err(|_| NoCommunity);
        match (large, numbers.map_err(|_| NoCommunity)?.as_slice()) {
            (false, &[a, b]) => Ok(CommunityValue::Plain(plain(a)?, plain(b)?)),
            (true, &[a, b, c]) => Ok(CommunityValue::Large(a, b, c)),
            _ => Err(NoCommunity),
        }
    }
}

impl fmt::Display for CommunityValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommunityValue::Plain(a, b) => write!(f, "{a}:{b}"),
            CommunityValue::Large(a, b, c) => write!(f, "large:{a}:{b}:{c}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_two_small_numbers_or_three_large_ones() {
        for written in ["0:0", "65535:65281", "large:4294967295:0:7"] {
            assert_eq!(written.parse::<CommunityValue>().unwrap().to_string(), written);
        }
        let wrong = [
            "",
            "1",
            "1:",
            ":1",
            "1:2:3",
            "65536:1",
            "1:65536",
            "-1:2",
            "+1:2",
            "1: 2",
            "a:b",
            "large:1:2",
            "large:1:2:3:4",
            "large:4294967296:0:0",
            "large:",
            "LARGE:1:2:3",
            "no-export",
        ];
        for written in wrong {
            assert_eq!(written.parse::<CommunityValue>(), Err(NoCommunity), "{written:?}");
        }
    }
}
