//! Events: on Services that are announced, and on peers that have no session.

use std::collections::BTreeMap;

use cloud_provider::{Mistake, ServiceId};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use metallb::written::ObjectKey;
use tokio::sync::mpsc;

/// The component that events come from.
const COMPONENT: &str = "cloud-lb-announcer";

/// The API server refuses messages longer than this.
const LONGEST_MESSAGE_BYTES: usize = 1024;

/// So many events wait, at most; of more the log has them all.
const WAITING_AT_MOST: usize = 1_000;

/// An event to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    about: About,
    is_warning: bool,
    reason: &'static str,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Service(ServiceId),
    Peer(ObjectKey),
}

impl Said {
    /// Something to know about a Service.
    pub(super) fn of_service(service: ServiceId, reason: &'static str, message: String) -> Self {
        Said { about: About::Service(service), is_warning: false, reason, message }
    }

    /// Why there is no session with a peer.
    pub(super) fn of_peer(peer: ObjectKey, reason: &'static str, message: String) -> Self {
        Said { about: About::Peer(peer), is_warning: true, reason, message }
    }

    fn event(&self, node: &str) -> Event {
        let reference =
            |api: &str, kind: &str, namespace: &str, name: &str, uid: Option<String>| ObjectReference {
                api_version: Some(api.to_owned()),
                kind: Some(kind.to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                uid,
                ..ObjectReference::default()
            };
        let involved_object = match &self.about {
            About::Service(id) => {
                reference("v1", "Service", &id.key.namespace, &id.key.name, Some(id.uid.clone()))
            }
            About::Peer(peer) => {
                reference("metallb.io/v1beta2", "BGPPeer", &peer.namespace, &peer.name, None)
            }
        };
        let now = Time(Timestamp::now());
        Event {
            metadata: ObjectMeta {
                generate_name: involved_object.name.as_ref().map(|name| format!("{name}.")),
                namespace: involved_object.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object,
            type_: Some(if self.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(self.reason.to_owned()),
            message: Some(cut(&self.message)),
            source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(node.to_owned()) }),
            reporting_component: Some(COMPONENT.to_owned()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        }
    }
}

fn cut(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LONGEST_MESSAGE_BYTES - "…".len());
    format!("{}…", &message[..end])
}

/// Where events are handed over; a task writes them, one after the other.
pub(super) struct Events(mpsc::Sender<Said>);

impl Events {
    pub(super) fn start(client: Client, node: String) -> Self {
        let (events, mut waiting) = mpsc::channel::<Said>(WAITING_AT_MOST);
        tokio::spawn(async move {
            while let Some(said) = waiting.recv().await {
                let event = said.event(&node);
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
                if let Err(error) = api.create(&PostParams::default(), &event).await {
                    tracing::debug!(reason = said.reason, %error, "an event cannot be written");
                }
            }
        });
        Events(events)
    }

    /// Hands an event over, and never waits. The log has it in any case.
    pub(super) fn say(&self, said: Said) {
        match said.is_warning {
            true => tracing::warn!(reason = said.reason, "{}", said.message),
            false => tracing::info!(reason = said.reason, "{}", said.message),
        }
        let _dropped = self.0.try_send(said);
    }
}

/// Why peers have no session, each said once.
#[derive(Default)]
pub(super) struct PeerTroubles(BTreeMap<ObjectKey, String>);

impl PeerTroubles {
    /// These peers are asked for and cannot be served; returns what is new.
    pub(super) fn left_out(&mut self, left_out: &BTreeMap<ObjectKey, Vec<Mistake>>) -> Vec<Said> {
        let now: BTreeMap<ObjectKey, String> = left_out
            .iter()
            .map(|(peer, mistakes)| {
                let each: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
                (peer.clone(), each.join("; "))
            })
            .collect();
        let before = std::mem::replace(&mut self.0, now);
        let news = self.0.iter().filter(|(peer, why)| before.get(*peer) != Some(*why));
        news.map(|(peer, why)| Said::of_peer(peer.clone(), "PeerNotServed", why.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::ServiceKey;

    use super::*;

    #[test]
    fn an_event_on_a_service_or_a_peer_names_it_and_the_node_and_fits() {
        let id = ServiceId { key: ServiceKey::new("shop", "web"), uid: "u1".to_owned() };
        let event = Said::of_service(id, "nodeAssigned", "é".repeat(2_000)).event("n1");
        assert_eq!(event.involved_object.uid.as_deref(), Some("u1"));
        assert_eq!(event.source.and_then(|source| source.host).as_deref(), Some("n1"));
        assert!(event.message.is_some_and(|message| message.len() <= 1_024 && message.ends_with('…')));
        let peer = ObjectKey { namespace: "metallb-system".to_owned(), name: "tor-1".to_owned() };
        let event = Said::of_peer(peer, "PeerNotServed", "why".to_owned()).event("n1");
        let of = event.involved_object;
        assert_eq!((of.kind.as_deref(), of.name.as_deref()), (Some("BGPPeer"), Some("tor-1")));
        assert_eq!((event.type_.as_deref(), event.message.as_deref()), (Some("Warning"), Some("why")));
    }

    #[test]
    fn what_a_peer_lacks_is_said_once_and_again_when_it_is_something_else() {
        let peer = ObjectKey { namespace: "metallb-system".to_owned(), name: "tor-1".to_owned() };
        let lacks = |field: &str| [(peer.clone(), vec![Mistake::new(field, "x", "is not had")])].into();
        let mut troubles = PeerTroubles::default();
        assert_eq!(troubles.left_out(&lacks("spec.vrf")).len(), 1);
        assert_eq!(troubles.left_out(&lacks("spec.vrf")), []);
        assert_eq!(troubles.left_out(&lacks("spec.interface")).len(), 1);
        assert_eq!(troubles.left_out(&BTreeMap::new()), []);
        assert_eq!(troubles.left_out(&lacks("spec.interface")).len(), 1);
    }
}
