//! What can be made to go wrong in a [`MemoryCloud`](super::MemoryCloud), at which call and at which point of it.

use std::time::Duration;

use tokio::sync::watch;

use super::calls::Method;
use crate::error::{Error, ErrorClass, Mistake};
use crate::service::{ServiceId, ServiceKey};

/// A point inside a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// Nothing has happened yet.
    Before,
    /// Half of it has happened. Only `ensure` (the firewall is there, the load balancer is not yet) and `delete`
    /// (the load balancer is gone, the firewall is not yet) have such a point.
    Midway,
    /// All of it has happened: a failure here is a lost reply.
    After,
}

/// Which calls, counted from now on; every one that fits unless [`nth`](Calls::nth) says otherwise.
#[derive(Clone, Debug)]
#[must_use]
pub struct Calls {
    method: Option<Method>,
    service: Option<ServiceKey>,
    /// Which of those that fit, counted from 1; none for all.
    nth: Option<usize>,
    seen: usize,
}

impl Calls {
    /// Calls of any method.
    pub fn any() -> Self {
        Calls { method: None, service: None, nth: None, seen: 0 }
    }

    /// Calls of this method.
    pub fn of(method: Method) -> Self {
        Calls { method: Some(method), ..Calls::any() }
    }

    /// The next call of this method.
    pub fn next(method: Method) -> Self {
        Calls::of(method).nth(1)
    }

    /// Only those for this Service.
    pub fn about(mut self, service: &ServiceKey) -> Self {
        self.service = Some(service.clone());
        self
    }

    /// Only the nth of those that fit, counted from 1.
    pub fn nth(mut self, n: usize) -> Self {
        self.nth = Some(n);
        self
    }

    fn takes(&mut self, method: Method, service: Option<&ServiceId>) -> bool {
        let fits = self.method.is_none_or(|wanted| wanted == method)
            && self
                .service
                .as_ref()
                .is_none_or(|wanted| service.is_some_and(|service| service.key == *wanted));
        self.seen += usize::from(fits);
        fits && self.nth.is_none_or(|n| n == self.seen)
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    class: ErrorClass,
    retry_after: Option<Duration>,
    panics: bool,
}

impl Fault {
    /// Throttled, with the wait the API asks for.
    pub fn throttled_for(retry_after: Duration) -> Self {
        Fault { retry_after: Some(retry_after), ..ErrorClass::Throttled.into() }
    }

    /// A bug in the provider: the call panics.
    pub fn panic() -> Self {
        Fault { panics: true, ..ErrorClass::Transient.into() }
    }

    fn error(self) -> Error {
        let message = "as the test ordered".to_owned();
        assert!(!self.panics, "{message}");
        match self.class {
            ErrorClass::Invalid => {
                Mistake::new("spec", "", "is refused").allowing("whatever the test allows").into()
            }
            ErrorClass::Throttled => Error::Throttled { message, retry_after: self.retry_after },
            ErrorClass::Quota => Error::Quota { message },
            ErrorClass::Denied => Error::Denied { message },
            ErrorClass::Transient => Error::transient(message),
            ErrorClass::ImplementedElsewhere => Error::ImplementedElsewhere,
        }
    }
}

impl From<ErrorClass> for Fault {
    fn from(class: ErrorClass) -> Self {
        Fault { class, retry_after: None, panics: false }
    }
}

/// Holds calls up until it is released or dropped.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub(super) fn new() -> (Self, Interference) {
        let (gate, opened) = watch::channel(false);
        (Gate(gate), Interference::Hold(opened))
    }

    /// Lets the calls that wait go on, and those that come later pass.
    pub fn release(&self) {
        self.0.send_replace(true);
    }
}

/// What happens to a call at a point of it.
#[derive(Clone, Debug)]
pub(super) enum Interference {
    Fail(Fault),
    Hold(watch::Receiver<bool>),
    Sleep(Duration),
}

/// One order of a test.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) calls: Calls,
    pub(super) point: Point,
    pub(super) interference: Interference,
}

/// What a call that starts now will meet, in the order it was ordered.
pub(super) fn meets(
    orders: &mut [Order],
    method: Method,
    service: Option<&ServiceId>,
) -> Vec<(Point, Interference)> {
    let ours = orders.iter_mut().filter_map(|order| {
        order.calls.takes(method, service).then(|| (order.point, order.interference.clone()))
    });
    ours.collect()
}

impl Interference {
    /// Waits, or fails.
    pub(super) async fn meet(&self) -> Result<(), Error> {
        match self {
            Interference::Fail(fault) => return Err(fault.error()),
            Interference::Sleep(time) => tokio::time::sleep(*time).await,
            Interference::Hold(opened) => {
                // An error means that the gate was dropped: open.
                let _ = opened.clone().wait_for(|open| *open).await;
            }
        }
        Ok(())
    }
}
