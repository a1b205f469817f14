//! Warnings on pools with mistakes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
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
const LONGEST_MESSAGE_BYTES: usize = 1024;

fn cut(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE_BYTES {
        return message.to_owned();
    }
    let mut end = LONGEST_MESSAGE_BYTES - "…".len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}
