//! Places in line for the requests of Services that are not served yet.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::client::Ticket;

/// By Service UID.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    services: Mutex<HashMap<String, Ticket>>,
}

impl Tickets {
    /// Since when a Service has been waiting to be served: its requests go before those of Services that came later.
    pub(crate) fn of(&self, uid: &str) -> Ticket {
        *self.services.lock().entry(uid.to_owned()).or_insert_with(Ticket::draw)
    }

    /// The Service is served, or waits for its user: it does not go before others any more.
    pub(crate) fn give_back(&self, uid: &str) {
        self.services.lock().remove(uid);
    }
}
