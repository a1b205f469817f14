//! Joins questions about single resources into requests about many.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Call, Result};
use crate::client::error::{ApiError, local_code};

/// Asks AWS about these keys in one request; what does not exist is left out.
pub(super) type Fetch<V> =
    dyn Fn(Vec<String>) -> BoxFuture<'static, Result<BTreeMap<String, V>>> + Send + Sync;

/// Collects the keys that callers ask for within a short time and asks AWS for them together.
///
/// # Guarantees
/// - A key asked for by several callers is in one request only.
/// - A request begins after every question it answers, so an answer is never older than its question.
/// - A caller that gives up does not take the others' answer with it.
pub(super) struct Batch<V> {
    call: Call,
    window: Duration,
    most: usize,
    fetch: Arc<Fetch<V>>,
    waiting: Arc<Mutex<WaitingCallers<V>>>,
}

type WaitingCallers<V> = BTreeMap<String, Vec<oneshot::Sender<Result<Option<V>>>>>;

impl<V: Clone + Send + 'static> Batch<V> {
    /// Joins what is asked within `window` into requests for at most `most` keys.
    pub(super) fn new(call: Call, window: Duration, most: usize, fetch: Arc<Fetch<V>>) -> Self {
        Self { call, window, most, fetch, waiting: Arc::default() }
    }

    /// What AWS knows of these keys.
    pub(super) async fn get(&self, keys: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, V>> {
        let mut replies = Vec::new();
        for key in keys {
            let (reply, answer) = oneshot::channel();
            self.enqueue(key.clone(), reply);
            replies.push((key, answer));
        }
        let mut found = BTreeMap::new();
        for (key, answer) in replies {
            let gone = |_| ApiError::new(self.call, local_code::NO_REPLY, "the request was given up");
            if let Some(value) = answer.await.map_err(gone)?? {
                found.insert(key, value);
            }
        }
        Ok(found)
    }

    fn enqueue(&self, key: String, reply: oneshot::Sender<Result<Option<V>>>) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty();
        waiting.entry(key).or_default().push(reply);
        if first {
            // A task of its own: the caller that happens to be first may give up, the others must not lose.
            tokio::spawn(flush(self.window, self.most, self.fetch.clone(), self.waiting.clone()));
        }
    }
}

async fn flush<V: Clone + Send + 'static>(
    window: Duration,
    most: usize,
    fetch: Arc<Fetch<V>>,
    waiting: Arc<Mutex<WaitingCallers<V>>>,
) {
    tokio::time::sleep(window).await;
    let mut waiting = mem::take(&mut *waiting.lock());
    waiting.retain(|_, replies| {
        replies.retain(|reply| !reply.is_closed());
        !replies.is_empty()
    });
    let mut requests = Vec::new();
    while !waiting.is_empty() {
        let rest = waiting.keys().nth(most).cloned();
        let rest = rest.map(|key| waiting.split_off(&key)).unwrap_or_default();
        requests.push(ask(fetch.as_ref(), mem::replace(&mut waiting, rest)));
    }
    join_all(requests).await;
}

async fn ask<V: Clone>(fetch: &Fetch<V>, waiting: WaitingCallers<V>) {
    let outcome = fetch(waiting.keys().cloned().collect()).await;
    for (key, replies) in waiting {
        let answer = outcome.as_ref().map(|found| found.get(&key).cloned()).map_err(Clone::clone);
        for reply in replies {
            // The asker may have given up meanwhile.
            let _ = reply.send(answer.clone());
        }
    }
}
