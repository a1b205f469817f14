//! Several keys at once, so that one can take the place of another while the heart goes on beating.

use super::{Beat, Cluster, Key, Refused};

/// The key that a node signs with, and those that it believes besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    signs: Key,
    believes: Vec<Key>,
}

/// One key for everything.
impl From<Key> for Keyring {
    fn from(key: Key) -> Self {
        Keyring::new(key, [])
    }
}

impl Keyring {
    /// Signs with one key, and believes it and the others.
    pub fn new(signs: Key, others: impl IntoIterator<Item = Key>) -> Self {
        let mut believes = Vec::new();
        for key in others {
            if key != signs && !believes.contains(&key) {
                believes.push(key);
            }
        }
        Keyring { signs, believes }
    }

    /// As [`Key::seal`].
    pub fn seal(&self, beat: &Beat, cluster: Cluster) -> Vec<u8> {
        self.signs.seal(beat, cluster)
    }

    /// As [`Key::open`], by any of the keys.
    ///
    /// # Errors
    /// The reason for which it is not listened to.
    pub fn open(&self, frame: &[u8], cluster: Cluster) -> Result<Beat, Refused> {
        let mut opened = self.signs.open(frame, cluster);
        for key in &self.believes {
            if !matches!(opened, Err(Refused::OtherKey { .. })) {
                break;
            }
            opened = key.open(frame, cluster);
        }
        opened
    }
}
