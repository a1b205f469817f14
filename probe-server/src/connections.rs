//! How many connections there are at once. The port is open to the network, and a kubelet that gets no answer kills the
//! program: so nobody is turned away, and the connection that is open longest makes room.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// The most connections at once: kubelets, Prometheus and people need a handful.
const MAX_CONNECTIONS: usize = 64;

/// The connections that are open, by their age.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<OpenConnections>);

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    slots: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    /// A slot for one more.
    pub(crate) fn admit(self: Arc<Self>) -> ConnectionSlot {
        let given_up = CancellationToken::new();
        let number = {
            let mut open = self.lock();
            if open.slots.len() >= MAX_CONNECTIONS
                && let Some((_, oldest)) = open.slots.pop_first()
            {
                oldest.cancel();
            }
            let number = open.next;
            open.next += 1;
            open.slots.insert(number, given_up.clone());
            number
        };
        ConnectionSlot { number, given_up, connections: self }
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.lock()
    }
}

/// The slot of one connection, for as long as this lives.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    number: u64,
    given_up: CancellationToken,
    connections: Arc<Connections>,
}

impl ConnectionSlot {
    /// Cancelled when the slot is given to a newer connection.
    pub(crate) fn given_up(&self) -> &CancellationToken {
        &self.given_up
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.lock().slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_who_leaves_frees_a_place() {
        let connections = Arc::new(Connections::default());
        let mut slots: Vec<ConnectionSlot> =
            (0..MAX_CONNECTIONS).map(|_| connections.clone().admit()).collect();
        assert!(slots.iter().all(|slot| !slot.given_up().is_cancelled()));
        drop(slots.pop());
        slots.push(connections.clone().admit());
        assert!(!slots[0].given_up().is_cancelled(), "there was a free slot");
        slots.push(connections.clone().admit());
        let given_up: Vec<bool> = slots.iter().map(|slot| slot.given_up().is_cancelled()).collect();
        assert_eq!(given_up.iter().position(|given_up| *given_up), Some(0));
        assert_eq!(given_up.iter().filter(|given_up| **given_up).count(), 1);
        assert_eq!(connections.lock().slots.len(), MAX_CONNECTIONS);
    }
}
