//! Pools from a file of manifests, as one would give them to `kubectl apply`.

use std::fs;
use std::path::{Path, PathBuf};

use metallb::manifest::{Manifests, parse};
use parking_lot::Mutex;

use crate::error::SourceError;

/// Reads a file of manifests.
///
/// # Errors
/// If the file cannot be read. What is wrong in it is found in the definitions.
pub fn read(path: &Path) -> Result<Manifests, SourceError> {
    text_of(path).map(|text| parse(&text))
}

fn text_of(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::File { path: path.to_owned(), source })
}

/// A file of manifests, and what was last read in it.
#[derive(Debug)]
pub(crate) struct PoolFile {
    path: PathBuf,
    last: Mutex<Option<String>>,
}

impl PoolFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        PoolFile { path, last: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self) -> Result<Manifests, SourceError> {
        let text = text_of(&self.path)?;
        let manifests = parse(&text);
        self.note(text);
        Ok(manifests)
    }

    /// What is in it, if that is not what was last read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read_if_changed(&self) -> Result<Option<Manifests>, SourceError> {
        let text = text_of(&self.path)?;
        let changed = self.note(text.clone());
        Ok(changed.then(|| parse(&text)))
    }

    fn note(&self, text: String) -> bool {
        let mut last = self.last.lock();
        let changed = last.as_ref() != Some(&text);
        *last = Some(text);
        changed
    }
}
