//! A key that takes the place of another, while nodes read it at different times.
//!
//! Nobody can change a key on all nodes in one moment: the kubelet of each brings a changed Secret when its turn comes. Whoever
//! signed with the new key at once would be dead for those who do not have it yet, and they would take what it answers for.
//! So a node believes a new key as soon as it reads it, and goes on to sign with the one before for [`ADOPTION`]; after so long
//! everybody believes the new one. The one before is believed for as long again, since others began as much later.
//!
//! A process that starts meanwhile has read the new key alone, and would not believe those who still sign with the one before.
//! So that one can stand beside the new one ([`WrittenKeys::previous`]) until the rotation is over.

use std::time::Duration;

use super::{Key, Keyring};

/// After how long every node has read a key that was changed: five minutes. A kubelet looks at each Pod once a minute or so,
/// and may see a Secret as it was a minute before (`syncFrequency`, and the time that a cached Secret lives, of
/// KubeletConfiguration).
pub const ADOPTION: Duration = Duration::from_secs(300);

/// How many keys of the past are believed at once, at most.
const MAX_PAST_KEYS: usize = 4;

/// What is written where the key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenKeys {
    /// The key to sign with, in the end.
    pub key: Key,
    /// The one before, which is believed for as long as it stands there.
    pub previous: Option<Key>,
}

/// Which keys are in force. Times are from any clock that only grows.
#[derive(Clone, Debug)]
pub struct Rotation {
    signs: Key,
    /// What is signed with next, and from when on.
    next: Option<(Key, Duration)>,
    /// What was signed with, or was to be, and until when it is believed.
    past: Vec<(Key, Duration)>,
    previous: Option<Key>,
}

impl Rotation {
    /// Begins with what is written. Where a key before stands beside it, a rotation is going on, of which it is not known how
    /// far it has come: everybody believes that one.
    pub fn new(now: Duration, written: WrittenKeys) -> Self {
        let WrittenKeys { key, previous } = written;
        match previous.clone().filter(|previous| *previous != key) {
            Some(signs) => Rotation { signs, next: Some((key, now + ADOPTION)), past: Vec::new(), previous },
            None => Rotation { signs: key, next: None, past: Vec::new(), previous },
        }
    }

    /// This is written now. To say again what is known changes nothing.
    pub fn read(&mut self, now: Duration, written: WrittenKeys) {
        self.settle(now);
        self.previous = written.previous;
        let is_next = self.next.as_ref().is_some_and(|(next, _)| *next == written.key);
        if is_next {
            return;
        }
        // Others may have read what was to come before, and sign with it for a while.
        let given_up = self.next.take();
        self.past.extend(given_up.map(|(key, _)| (key, now + ADOPTION * 2)));
        if written.key != self.signs {
            self.next = Some((written.key, now + ADOPTION));
        }
        self.settle(now);
    }

    /// What is to be signed with and believed now.
    pub fn keyring(&mut self, now: Duration) -> Keyring {
        self.settle(now);
        let next = self.next.iter().map(|(key, _)| key);
        let past = self.past.iter().map(|(key, _)| key);
        Keyring::new(self.signs.clone(), next.chain(past).chain(&self.previous).cloned())
    }

    /// From when on another key is signed with; none if that is not to come.
    pub fn switch(&self) -> Option<Duration> {
        self.next.as_ref().map(|(_, from)| *from)
    }

    fn settle(&mut self, now: Duration) {
        if let Some((key, from)) = self.next.take_if(|(_, from)| *from <= now) {
            let before = std::mem::replace(&mut self.signs, key);
            self.past.push((before, from + ADOPTION));
        }
        self.past.retain(|(_, until)| *until > now);
        let too_many = self.past.len().saturating_sub(MAX_PAST_KEYS);
        self.past.drain(..too_many);
    }
}
