//! The key of the heartbeat, which comes as a file.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::beat::{Key, KeyTooShort};

/// Why there is no key.
#[derive(Debug, Error)]
pub(super) enum NoKey {
    #[error("the key of the heartbeat cannot be read from {}: {source}; until then nothing is announced", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{source}: {}; until then nothing is announced", path.display())]
    TooShort { path: PathBuf, source: KeyTooShort },
}

/// Reads the key. White space at its ends is not part of it: editors and `echo` leave some there.
///
/// # Errors
/// Why there is none.
pub(super) fn read(path: &Path) -> Result<Key, NoKey> {
    let bytes = std::fs::read(path).map_err(|source| NoKey::Unreadable { path: path.to_owned(), source })?;
    Key::new(bytes.trim_ascii()).map_err(|source| NoKey::TooShort { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_stands_in_the_file_without_what_editors_add() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let said = read(&path).expect_err("no file").to_string();
        assert!(
            said.contains(&path.display().to_string()) && said.contains("nothing is announced"),
            "{said}"
        );
        std::fs::write(&path, "short\n").expect("a file");
        let said = read(&path).expect_err("no key").to_string();
        assert!(said.contains("16"), "{said}");
        std::fs::write(&path, "sixteen bytes at\n").expect("a file");
        assert!(read(&path).is_ok());
        std::fs::write(&path, "fifteen bytes a\n").expect("a file");
        assert!(read(&path).is_err());
    }
}
