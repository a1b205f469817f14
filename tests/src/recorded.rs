//! What programs print, kept in `docs/output`, so that the documentation shows what users see.

use std::path::Path;

/// Compares with the recorded text; with `UPDATE_DOCS` in the environment, records it first.
///
/// # Panics
/// When the two differ.
#[track_caller]
pub fn matches_the_docs(file: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, shown).expect("the file is written");
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, recorded, "docs/output/{file} is out of date; UPDATE_DOCS=1 records it again");
}
