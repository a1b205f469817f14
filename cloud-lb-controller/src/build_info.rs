//! What this program was built from.

/// Its version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit; "unknown" where the source was no checkout and nobody said.
pub(crate) const COMMIT: &str = env!("COMMIT");

/// What of it was switched on.
pub(crate) fn features() -> String {
    let all =
        [("aws", cfg!(feature = "aws")), ("bare", cfg!(feature = "bare")), ("otel", cfg!(feature = "otel"))];
    all.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}
