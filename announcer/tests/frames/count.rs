//! How much is tried.

/// How many frames, from `ANNOUNCER_FRAMES`.
pub(crate) fn count() -> u64 {
    std::env::var("ANNOUNCER_FRAMES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}
