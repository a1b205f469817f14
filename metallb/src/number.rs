//! Numbers that must lie within bounds.

use std::time::Duration;

use cloud_provider::Mistake;

/// Reads numbers, and remembers what was wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// What was wrong so far, with numbers and otherwise.
    pub(crate) mistakes: Vec<Mistake>,
}

impl Numbers {
    /// A number within bounds, or the mistake and the lower bound in its place: what is read on is not used then.
    pub(crate) fn within<N>(&mut self, field: &str, written: i64, least: N, most: N) -> N
    where
        N: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display,
    {
        match N::try_from(written) {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                let mistake = Mistake::new(field, written.to_string(), "is out of range");
                self.mistakes.push(mistake.allowing(format!("a whole number from {least} to {most}")));
                least
            }
        }
    }

    /// What was read, if nothing was wrong.
    pub(crate) fn unless_wrong<T>(self, read: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(read) } else { Err(self.mistakes) }
    }
}

pub(crate) fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}
