//! Counters in the statuses of pools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use metallb::crd::{IPAddressPool, IPAddressPoolStatus};
use metallb::pools::PoolKey;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, warn};

/// How long changes of counters are collected before they are written.
const STATUS_DEBOUNCE: Duration = Duration::from_secs(1);
/// How long after a failed write the next is tried.
const STATUS_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The statuses that the cluster's pools show, as last seen or written.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShownStatuses(Arc<Mutex<BTreeMap<PoolKey, IPAddressPoolStatus>>>);

impl ShownStatuses {
    pub(crate) fn set(&self, pool: PoolKey, status: Option<IPAddressPoolStatus>) {
        let mut shown = self.0.lock();
        match status {
            Some(status) => shown.insert(pool, status),
            None => shown.remove(&pool),
        };
    }

    fn differing(
        &self,
        counted: BTreeMap<PoolKey, IPAddressPoolStatus>,
    ) -> Vec<(PoolKey, IPAddressPoolStatus)> {
        let shown = self.0.lock();
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
        sleep(STATUS_DEBOUNCE).await;
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
                    sleep(STATUS_RETRY_AFTER).await;
                }
            }
        }
    }
}
