//! What keeps the requests of a process that leads no more from leaving it.

use std::sync::Arc;

use apiserver_client::{Transport, connect};
use http::{Method, Request, Response};
use kube::client::{Body, DynBody};
use kube::{Client, Config};
use parking_lot::Mutex;
use tower::filter::FilterLayer;
use tower::layer::util::Stack;
use tower::{BoxError, Layer, Service};

use super::fence::Fence;

/// Stands between a client's retries and the network: a request that was made in time and is repeated by the client
/// later is looked at again.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderGate(Arc<Mutex<Option<Fence>>>);

impl LeaderGate {
    /// From now on it is this term that counts.
    pub(super) fn begin_term(&self, fence: Fence) {
        *self.0.lock() = Some(fence);
    }

    fn term(&self) -> Option<Fence> {
        self.0.lock().clone()
    }

    /// Whether this process leads.
    pub(crate) fn is_leader(&self) -> bool {
        self.term().is_some_and(|term| term.is_leader())
    }

    /// Whether a request may leave. A candidate reads, so that its caches are full when it is elected, and writes
    /// nothing; a leader does both; who was one does neither: what it began is not to go on beside whoever leads next.
    fn lets_out(&self, method: &Method) -> bool {
        self.term().map_or_else(|| method.is_safe(), |term| term.is_leader())
    }

    /// A client whose requests pass through here, and then through `layer`.
    pub(super) fn client<L>(&self, config: Config, layer: L) -> Result<Client, kube::Error>
    where
        L: Layer<Transport>,
        L::Service:
            Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError> + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        let gate = self.clone();
        let filter = FilterLayer::new(move |request: Request<Body>| {
            if gate.lets_out(request.method()) {
                return Ok(request);
            }
            Err(BoxError::from("not sent: this process does not lead"))
        });
        connect(config, &Stack::new(layer, filter))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::super::clock::Moment;
    use super::*;

    #[test]
    fn a_candidate_reads_a_leader_writes_and_who_was_one_does_neither() {
        let gate = LeaderGate::default();
        assert!(gate.lets_out(&Method::GET) && !gate.lets_out(&Method::PATCH) && !gate.is_leader());

        let (_renewed, receiver) = watch::channel(Some(Moment::now()));
        let lost = CancellationToken::new();
        gate.begin_term(Fence::new(receiver, lost.clone(), Duration::from_secs(10)));
        assert!(gate.lets_out(&Method::GET) && gate.lets_out(&Method::PATCH) && gate.is_leader());

        lost.cancel();
        assert!(!gate.lets_out(&Method::GET) && !gate.lets_out(&Method::PATCH) && !gate.is_leader());
    }
}
