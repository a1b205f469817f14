//! What is written besides the Services, which the controller writes: counters in the status of pools, and events
//! on pools with mistakes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, warn};

use metallb::crd::{IPAddressPool, IPAddressPoolStatus};
use metallb::pools::{PoolKey, PoolMistakes};

/// How long changes of counters are collected before they are written.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// How long after a failed write the next is tried.
const RETRY: Duration = Duration::from_secs(10);

/// The statuses that the cluster's pools show, as last seen or written.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShownStatuses(Arc<Mutex<BTreeMap<PoolKey, IPAddressPoolStatus>>>);

impl ShownStatuses {
    pub(crate) fn set(&self, pool: PoolKey, status: Option<IPAddressPoolStatus>) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => shown.insert(pool, status),
            None => shown.remove(&pool),
        };
    }

    fn differing(
        &self,
        counted: BTreeMap<PoolKey, IPAddressPoolStatus>,
    ) -> Vec<(PoolKey, IPAddressPoolStatus)> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.into_iter().filter(|(pool, status)| shown.get(pool) != Some(status)).collect()
    }
}

/// Keeps the counters in the statuses of pools. Runs until dropped.
pub(crate) async fn keep_statuses(
    client: Client,
    shown: ShownStatuses,
    changed: Arc<Notify>,
    count: impl Fn() -> BTreeMap<PoolKey, IPAddressPoolStatus> + Send,
) {
    loop {
        changed.notified().await;
        sleep(DEBOUNCE).await;
        for (pool, status) in shown.differing(count()) {
            let api: Api<IPAddressPool> = Api::namespaced(client.clone(), &pool.namespace);
            let patch = Patch::Merge(json!({ "status": status }));
            match api.patch_status(&pool.name, &PatchParams::default(), &patch).await {
                Ok(_) => shown.set(pool, Some(status)),
                Err(kube::Error::Api(error)) if error.code == 404 => debug!(%pool, "the pool is gone"),
                Err(error) => {
                    warn!(%pool, %error, "cannot write the pool's counters");
                    // Others may have changed meanwhile; one more round sees to all.
                    changed.notify_one();
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// Tells of pools with mistakes: in the log, and on the pool itself where there is a cluster. Each mistake once.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    told: BTreeMap<PoolKey, String>,
}

impl Reporter {
    /// The mistakes that were not told yet.
    pub(crate) fn news(&mut self, mistakes: Vec<PoolMistakes>) -> Vec<PoolMistakes> {
        let now: BTreeMap<PoolKey, String> =
            mistakes.iter().map(|m| (m.pool.clone(), m.mistakes.to_string())).collect();
        let before = std::mem::replace(&mut self.told, now);
        let news = |m: &PoolMistakes| before.get(&m.pool) != self.told.get(&m.pool);
        let news: Vec<PoolMistakes> = mistakes.into_iter().filter(news).collect();
        for mistakes in &news {
            warn!(pool = %mistakes.pool, mistakes = %mistakes.mistakes, "address pool with mistakes");
        }
        news
    }
}

/// Writes a Warning on a pool, once; if that fails, the log has it.
pub(crate) async fn warn_on_pool(client: &Client, uid: Option<String>, mistakes: &PoolMistakes) {
    let PoolKey { namespace, name } = &mistakes.pool;
    let now = Time(Timestamp::now());
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}.")),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(IPAddressPool::api_version(&()).into_owned()),
            kind: Some(IPAddressPool::kind(&()).into_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid,
            ..ObjectReference::default()
        },
        type_: Some("Warning".into()),
        reason: Some("InvalidPool".into()),
        message: Some(cut(&mistakes.mistakes.to_string())),
        source: Some(EventSource { component: Some("provider-bare".into()), host: None }),
        reporting_component: Some("provider-bare".into()),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        count: Some(1),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        warn!(pool = %mistakes.pool, %error, "cannot write an event on the pool");
    }
}

/// The API server refuses messages longer than this.
const LONGEST_MESSAGE: usize = 1024;

fn cut(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let mut end = LONGEST_MESSAGE - "…".len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}
