//! The key of the heartbeat, which comes as a file and may be changed there.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::beat::rotation::{ADOPTION, Rotation, WrittenKeys};
use crate::beat::{Key, KeyTooShort, Keyring};

/// Between two looks at the file. A mounted Secret is changed by a link that leads elsewhere, of which nobody tells.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why there is no key.
#[derive(Debug, Error)]
pub(super) enum NoKey {
    #[error("the key of the heartbeat cannot be read from {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{source}: {}", path.display())]
    TooShort { path: PathBuf, source: KeyTooShort },
}

/// Reads the key, and the one before it from the file beside it whose name ends in `.previous`, if there is one. White space at
/// its ends is not part of a key: editors and `echo` leave some there.
///
/// # Errors
/// Why there is none. A key before that is too short is none either: it would be believed.
pub(super) fn read(path: &Path) -> Result<WrittenKeys, NoKey> {
    let key = read_one(path)?;
    let mut beside: OsString = path.as_os_str().to_owned();
    beside.push(".previous");
    let previous = match read_one(Path::new(&beside)) {
        Ok(previous) => Some(previous),
        Err(NoKey::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(WrittenKeys { key, previous })
}

fn read_one(path: &Path) -> Result<Key, NoKey> {
    let bytes = std::fs::read(path).map_err(|source| NoKey::Unreadable { path: path.to_owned(), source })?;
    Key::new(bytes.trim_ascii()).map_err(|source| NoKey::TooShort { path: path.to_owned(), source })
}

/// What has become of the key.
#[derive(Debug)]
pub(super) enum KeyNews {
    /// These are in force from now on.
    InForce(Keyring),
    /// What is written is no key; those before stay in force.
    Wrong(String),
}

/// The file, followed.
pub(super) struct KeyFile {
    path: PathBuf,
    looks: Interval,
    began: Instant,
    rotation: Rotation,
    in_force: Keyring,
    wrong: Option<String>,
}

impl KeyFile {
    /// The file that this was read from just now.
    pub(super) fn new(path: &Path, written: WrittenKeys) -> Self {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rotation = Rotation::new(Duration::ZERO, written);
        let in_force = rotation.keyring(Duration::ZERO);
        KeyFile { path: path.to_owned(), looks, began: Instant::now(), rotation, in_force, wrong: None }
    }

    /// The keys that are in force.
    pub(super) fn in_force(&self) -> &Keyring {
        &self.in_force
    }

    /// What is new of it, as soon as there is anything. May be dropped at any time; nothing is lost by it.
    pub(super) async fn news(&mut self) -> KeyNews {
        loop {
            self.looks.tick().await;
            if let Some(news) = self.look(self.began.elapsed()) {
                return news;
            }
        }
    }

    fn look(&mut self, now: Duration) -> Option<KeyNews> {
        let (switch, mut wrong) = (self.rotation.switch(), None);
        match read(&self.path) {
            Ok(written) => self.rotation.read(now, written),
            Err(error) => wrong = Some(error.to_string()),
        }
        let in_force = self.rotation.keyring(now);
        if in_force != self.in_force {
            match self.rotation.switch() {
                Some(at) if switch != Some(at) => tracing::info!(
                    "another key of the heartbeat is believed from now on, and signed with in {} s, when every node has read it",
                    ADOPTION.as_secs()
                ),
                None if switch.is_some() => {
                    tracing::info!("heartbeats are signed with the other key from now on");
                }
                _ => tracing::info!("other keys of the heartbeat are believed from now on"),
            }
            self.in_force = in_force.clone();
            return Some(KeyNews::InForce(in_force));
        }
        let before = std::mem::replace(&mut self.wrong, wrong);
        let new = self.wrong.clone().filter(|wrong| before.as_ref() != Some(wrong));
        new.map(|wrong| KeyNews::Wrong(format!("{wrong}; the key that was read before stays in force")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_key_is_what_stands_in_the_file_without_what_editors_add() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let said = read(&path).expect_err("no file").to_string();
        assert!(said.contains(&path.display().to_string()), "{said}");
        std::fs::write(&path, "short\n").expect("a file");
        let said = read(&path).expect_err("no key").to_string();
        assert!(said.contains("16"), "{said}");
        std::fs::write(&path, "sixteen bytes at\n").expect("a file");
        let alone = read(&path).expect("a key");
        assert_eq!(alone, WrittenKeys { key: Key::new(b"sixteen bytes at").unwrap(), previous: None });
        std::fs::write(folder.path().join("key.previous"), "sixteen bytes as well\n").expect("a file");
        let previous = Key::new(b"sixteen bytes as well").ok();
        assert_eq!(read(&path).expect("two keys"), WrittenKeys { previous, ..alone });
        std::fs::write(&path, "fifteen bytes a\n").expect("a file");
        assert!(read(&path).is_err());
    }

    async fn news(file: &mut KeyFile) -> KeyNews {
        timeout(LOOK_INTERVAL * 2, file.news()).await.expect("it is noticed by the next look")
    }

    /// As the kubelet changes a mounted Secret: by a link that leads to another folder.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_changed_where_it_comes_from_is_in_force_without_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        for (version, key) in
            [("1", "sixteen bytes at first"), ("2", "sixteen bytes in the end"), ("3", "short")]
        {
            std::fs::create_dir(place(version)).expect("a folder");
            std::fs::write(place(version).join("key"), key).expect("a file");
        }
        let lead_to = |version: &str| {
            std::os::unix::fs::symlink(version, place("..data_tmp")).expect("a link");
            std::fs::rename(place("..data_tmp"), place("..data")).expect("it takes the other's place");
        };
        lead_to("1");
        let path = place("..data").join("key");
        let mut file = KeyFile::new(&path, read(&path).expect("a key"));
        let first = Key::new(b"sixteen bytes at first").expect("a key");
        let second = Key::new(b"sixteen bytes in the end").expect("a key");
        assert_eq!(*file.in_force(), first.clone().into());

        lead_to("2");
        let KeyNews::InForce(keys) = news(&mut file).await else { panic!("they are keys") };
        assert_eq!(keys, Keyring::new(first, [second]), "it is believed before anything is signed with it");
        lead_to("3");
        let KeyNews::Wrong(said) = news(&mut file).await else { panic!("it is too short") };
        assert!(said.contains("has 5 bytes") && said.ends_with("stays in force"), "{said}");
        assert_eq!(*file.in_force(), keys);
    }
}
