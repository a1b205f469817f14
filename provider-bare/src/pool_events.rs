//! Warnings on pools with mistakes.

use std::collections::BTreeMap;

use apiserver_client::event;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::PostParams;
use kube::runtime::events::EventType;
use kube::{Api, Client, Resource};
use metallb::crd::IPAddressPool;
use metallb::pools::{PoolKey, PoolMistakes};
use tracing::warn;

/// Tells of pools with mistakes: in the log, and on the pool itself where there is a cluster. Each mistake once.
#[derive(Debug, Default)]
pub(crate) struct PoolWarnings {
    emitted: BTreeMap<PoolKey, String>,
}

impl PoolWarnings {
    /// The mistakes that nobody was warned of yet.
    pub(crate) fn new_ones(&mut self, mistakes: Vec<PoolMistakes>) -> Vec<PoolMistakes> {
        let now: BTreeMap<PoolKey, String> =
            mistakes.iter().map(|m| (m.pool.clone(), m.mistakes.to_string())).collect();
        let before = std::mem::replace(&mut self.emitted, now);
        let news = |m: &PoolMistakes| before.get(&m.pool) != self.emitted.get(&m.pool);
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
    let about = ObjectReference {
        api_version: Some(IPAddressPool::api_version(&()).into_owned()),
        kind: Some(IPAddressPool::kind(&()).into_owned()),
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        uid,
        ..ObjectReference::default()
    };
    let message = mistakes.mistakes.to_string();
    let event = event(about, EventType::Warning, "InvalidPool", &message, "provider-bare");
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        warn!(pool = %mistakes.pool, %error, "cannot write an event on the pool");
    }
}
