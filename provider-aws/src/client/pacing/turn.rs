//! Whose turn it is: a number that grows with time, drawn once for all requests that belong together.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

/// A place in line. Who drew earlier goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    /// The next one of this process.
    pub fn draw() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ticket(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

tokio::task_local! {
    static TICKET: Ticket;
}

/// Gives every request that `work` makes the place of this ticket: what was begun first is finished first. Requests on
/// tasks of their own, which serve everybody, draw one each.
pub async fn in_turn<T>(ticket: Ticket, work: impl Future<Output = T>) -> T {
    TICKET.scope(ticket, work).await
}

/// The ticket of the work that this request belongs to, or one of its own.
pub(super) fn current() -> Ticket {
    TICKET.try_with(|ticket| *ticket).unwrap_or_else(|_| Ticket::draw())
}
