//! Warnings on pools with mistakes.

use std::collections::BTreeMap;

use apiserver_client::event;
use cloud_provider::Ordered;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::PostParams;
use kube::runtime::events::EventType;
use kube::{Api, Client, Resource};
use metallb::crd::IPAddressPool;
use metallb::pools::{PoolKey, PoolMistakes};
use tokio::sync::watch as latest;
use tracing::warn;

/// What is wrong with the pools as they are, each with the UID of the object that it stands in.
pub(crate) type MistakenPools = Vec<(PoolMistakes, Option<String>)>;

/// Warns of pools with mistakes, in the log and on the pool itself, each mistake once. Runs until dropped.
pub(crate) async fn keep_warning(client: Client, mut mistaken: latest::Receiver<MistakenPools>) {
    let mut warnings = PoolWarnings::default();
    mistaken.mark_changed();
    while mistaken.changed().await.is_ok() {
        let now = mistaken.borrow_and_update().clone();
        for (new, uid) in warnings.new_ones(now) {
            warn!(pool = %new.pool, mistakes = %new.mistakes, "address pool with mistakes");
            let client = client.clone();
            // Off the way of what comes next: the API server may be slow.
            tokio::spawn(async move { warn_on_pool(&client, uid, &new).await });
        }
    }
}

/// What was told of.
#[derive(Debug, Default)]
struct PoolWarnings {
    emitted: BTreeMap<PoolKey, String>,
}

impl PoolWarnings {
    /// The mistakes that nobody was warned of yet.
    fn new_ones(&mut self, mistaken: MistakenPools) -> MistakenPools {
        let now: BTreeMap<PoolKey, String> =
            mistaken.iter().map(|(m, _)| (m.pool.clone(), m.mistakes.to_string())).ordered();
        let before = std::mem::replace(&mut self.emitted, now);
        let news = |m: &PoolMistakes| before.get(&m.pool) != self.emitted.get(&m.pool);
        mistaken.into_iter().filter(|(m, _)| news(m)).collect()
    }
}

/// Writes a Warning on a pool, once; if that fails, the log has it.
async fn warn_on_pool(client: &Client, uid: Option<String>, mistakes: &PoolMistakes) {
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
