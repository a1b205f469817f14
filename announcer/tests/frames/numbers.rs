//! What is drawn.

/// Numbers by xorshift, so that a failure can be run again by its seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// How many frames are tried, from `ANNOUNCER_FRAMES`.
pub(crate) fn count() -> u64 {
    std::env::var("ANNOUNCER_FRAMES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}
