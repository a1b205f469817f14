//! Keeps a node's `FRRConfiguration` in the cluster as it is to be.

use std::time::Duration;

use apiserver_client::in_words;
use cloud_provider::DoublingPause;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::until_time;
use crate::jitter::shortened;
use crate::status::object::FIELD_MANAGER;

/// Before a write that failed is tried again.
const RETRY_PAUSE: DoublingPause = DoublingPause::new(Duration::from_secs(1), Duration::from_secs(60));

/// How often it is written though it is as it was, in case somebody has changed or deleted it. It costs the server little:
/// what changes nothing is no new version.
const REWRITE_INTERVAL: Duration = Duration::from_secs(300);

/// The task that writes, until this is dropped. What is written then stays, so that a restart changes no route.
#[derive(Debug)]
pub struct FrrKeeper {
    object: watch::Sender<Option<Value>>,
    trouble: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl FrrKeeper {
    /// Begins, with nothing to write yet.
    ///
    /// To be called in a tokio runtime.
    pub fn start(client: Client) -> Self {
        let (object, objects) = watch::channel(None);
        let (tell, trouble) = watch::channel(None);
        FrrKeeper { object, trouble, task: tokio::spawn(keep(client, objects, tell)) }
    }

    /// From now on the node's [configuration](super::frr_k8s::FrrConfiguration::object) is to be this. Never waits.
    pub fn apply(&self, object: Value) {
        self.want(Some(object));
    }

    /// Nothing is written any more, until the next [`apply`](FrrKeeper::apply); what is written stays. Never waits.
    pub fn rest(&self) {
        self.want(None);
    }

    fn want(&self, object: Option<Value>) {
        self.object.send_if_modified(|before| {
            let is_new = *before != object;
            *before = object;
            is_new
        });
    }

    /// Why it is not written, while it is not.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }
}

impl Drop for FrrKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    client: Client,
    mut objects: watch::Receiver<Option<Value>>,
    tell: watch::Sender<Option<String>>,
) {
    let mut pause = RETRY_PAUSE;
    loop {
        let object = objects.borrow_and_update().clone();
        let due = match object {
            None => {
                tell.send_replace(None);
                None
            }
            Some(object) => match write(&client, &object).await {
                Ok(()) => {
                    pause.reset();
                    tell.send_replace(None);
                    Some(REWRITE_INTERVAL)
                }
                Err(error) => {
                    let why = format!("the FRRConfiguration cannot be written: {}", in_words(&error));
                    if tell.borrow().as_ref() != Some(&why) {
                        tracing::warn!("{why}");
                    }
                    tell.send_replace(Some(why));
                    Some(shortened(pause.advance(), &mut fastrand::Rng::new()))
                }
            },
        };
        let due = due.map(|due| Instant::now() + due);
        tokio::select! {
            changed = objects.changed() => if changed.is_err() { return },
            () = until_time(due) => {}
        }
    }
}

async fn write(client: &Client, object: &Value) -> kube::Result<()> {
    let kind = GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration");
    let kind = ApiResource::from_gvk(&kind);
    let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), of("namespace"), &kind);
    // Nobody else is to say what this node advertises.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(of("name"), &params, &Patch::Apply(object)).await.map(drop)
}
