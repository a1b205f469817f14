//! Counts requests and how long AWS took for them.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Around, Call, Layered, Result};
use crate::client::error::ErrorKind;

/// [`Elbv2`](super::Elbv2) and [`Ec2`](super::Ec2) with every request reported to a [`Meter`].
pub type Counted<I> = Layered<Counting, I>;

/// How a request ended. There is no third way, so this stays exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestOutcome {
    /// AWS did as asked.
    Done,
    /// AWS, or the way to it, failed.
    Failed(ErrorKind),
}

/// Takes note of requests, for metrics. Must not block.
pub trait Meter: Send + Sync {
    /// A request has ended. `took` is the time that AWS took: each repetition is a request of its own, and the
    /// wait for its turn is not in it.
    fn request_ended(&self, call: Call, outcome: RequestOutcome, took: Duration);
}

/// Reports every request that ends to a meter. One that is given up on is not reported.
#[derive(Clone)]
pub struct Counting {
    meter: Arc<dyn Meter>,
}

impl<I> Counted<I> {
    /// Reports the requests of `inner` to `meter`.
    pub fn counted(inner: I, meter: Arc<dyn Meter>) -> Self {
        Self::new(Counting { meter }, inner)
    }
}

impl Around for Counting {
    async fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let began = Instant::now();
        let result = request().await;
        let outcome = match &result {
            Ok(_) => RequestOutcome::Done,
            Err(error) => RequestOutcome::Failed(error.kind),
        };
        self.meter.request_ended(call, outcome, began.elapsed());
        result
    }
}

/// A [`Meter`] that adds up, to be read by whoever exports metrics.
#[derive(Debug, Default)]
pub struct Tally {
    requests: Mutex<BTreeMap<(Call, RequestOutcome), Sum>>,
}

/// What a [`Tally`] knows of one call and outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sum {
    /// Number of requests.
    pub count: u64,
    /// Their durations added up.
    pub took: Duration,
}

impl Tally {
    /// All sums so far.
    pub fn sums(&self) -> BTreeMap<(Call, RequestOutcome), Sum> {
        self.requests.lock().clone()
    }

    /// Number of requests of this call, whatever their outcome.
    pub fn count(&self, call: Call) -> u64 {
        self.sums().iter().filter(|((c, _), _)| *c == call).map(|(_, sum)| sum.count).sum()
    }

    /// Number of requests of all calls.
    pub fn total(&self) -> u64 {
        self.sums().values().map(|sum| sum.count).sum()
    }
}

impl Meter for Tally {
    fn request_ended(&self, call: Call, outcome: RequestOutcome, took: Duration) {
        let mut requests = self.requests.lock();
        let sum = requests.entry((call, outcome)).or_default();
        sum.count += 1;
        sum.took += took;
    }
}
