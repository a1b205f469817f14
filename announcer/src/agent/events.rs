//! Events: on Services, on what somebody wrote about announcing, and on this node.

use std::collections::BTreeMap;
use std::fmt;

use apiserver_client::event_name;
use cloud_provider::{Mistake, ServiceId};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use kube::api::PostParams;
use kube::runtime::events::EventType;
use kube::{Api, Client};
use metallb::crd::BGPPeerSpec;
use metallb::written::{ObjectKey, ObjectMistakes, ResourceSpec};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// The component that events come from.
const COMPONENT: &str = "cloud-lb-announcer";

/// So many events wait, at most; of more the log has them all.
const MAX_QUEUED_EVENTS: usize = 1_000;

/// An event to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    about: About,
    is_warning: bool,
    reason: &'static str,
    message: String,
    /// What every node says alike, by this: one event for all of them. None: it is this node's own.
    common: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Service(ServiceId),
    /// One of MetalLB's kinds, with its version.
    Written {
        version: &'static str,
        kind: &'static str,
        object: ObjectKey,
    },
    /// The node itself.
    Node,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            About::Service(id) => write!(f, "Service {}", id.key),
            About::Written { kind, object, .. } => write!(f, "{kind} {object}"),
            About::Node => f.write_str("this node"),
        }
    }
}

impl Said {
    /// Something to know about a Service.
    pub(super) fn of_service(service: ServiceId, reason: &'static str, message: String) -> Self {
        Said { about: About::Service(service), is_warning: false, reason, message, common: None }
    }

    /// Why there is no session with a peer.
    pub(super) fn of_peer(peer: ObjectKey, reason: &'static str, message: String) -> Self {
        Said { is_warning: true, ..Said::of_written::<BGPPeerSpec>(peer, reason, message) }
    }

    /// Something to know about what somebody wrote.
    pub(super) fn of_written<S: ResourceSpec>(
        object: ObjectKey,
        reason: &'static str,
        message: String,
    ) -> Self {
        let about = About::Written { version: S::VERSION, kind: S::KIND, object };
        Said { about, is_warning: false, reason, message, common: None }
    }

    /// What is wrong with what somebody wrote.
    pub(super) fn of_mistakes(wrong: &ObjectMistakes, reason: &'static str) -> Self {
        let ObjectMistakes { version, kind, object, .. } = wrong;
        let about = About::Written { version, kind, object: object.clone() };
        Said { about, is_warning: true, reason, message: wrong.mistakes.to_string(), common: None }.common()
    }

    /// What is wrong on this node.
    pub(super) fn of_node(reason: &'static str, message: String) -> Self {
        Said { about: About::Node, is_warning: true, reason, message, common: None }
    }

    /// It is not well.
    pub(super) fn warning(self) -> Self {
        Said { is_warning: true, ..self }
    }

    /// Every node says the same: whoever comes first writes the event.
    pub(super) fn common(self) -> Self {
        let message = self.message.clone();
        self.common_by(message)
    }

    /// Every node says this of it, in its own words: whoever comes first writes the event.
    pub(super) fn common_by(self, what: String) -> Self {
        Said { common: Some(what), ..self }
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
        let about = match &self.about {
            About::Service(id) => {
                reference("v1", "Service", &id.key.namespace, &id.key.name, Some(id.uid.to_string()))
            }
            About::Written { version, kind, object } => {
                reference(version, kind, &object.namespace, &object.name, None)
            }
            // As kubelets have it: with the name for the UID, and no namespace.
            About::Node => {
                let of = reference("v1", "Node", "", node, Some(node.to_owned()));
                ObjectReference { namespace: None, ..of }
            }
        };
        let kind = if self.is_warning { EventType::Warning } else { EventType::Normal };
        let mut event = apiserver_client::event(about, kind, self.reason, &self.message, COMPONENT);
        event.source =
            Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(node.to_owned()) });
        let of = event.involved_object.name.as_deref().unwrap_or_default();
        let metadata = &mut event.metadata;
        match &self.common {
            Some(what) => metadata.name = Some(self.common_name(of, what)),
            // Many nodes tell of one object in one moment: the server finds a name for each.
            None => (metadata.name, metadata.generate_name) = (None, Some(format!("{of}."))),
        }
        event
    }

    /// The name of an event that is the same from every node.
    fn common_name(&self, of: &str, what: &str) -> String {
        let kind = match &self.about {
            About::Service(_) => "Service",
            About::Written { kind, .. } => kind,
            About::Node => "Node",
        };
        let hash = Sha256::digest(format!("{kind}\n{}\n{what}", self.reason));
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        event_name(of, &hash)
    }
}

/// Where events are handed over; a task writes them, one after the other.
pub(super) struct Events(mpsc::Sender<Said>);

impl Events {
    pub(super) fn start(client: Client, node: String) -> Self {
        let (events, mut waiting) = mpsc::channel::<Said>(MAX_QUEUED_EVENTS);
        tokio::spawn(async move {
            while let Some(said) = waiting.recv().await {
                let event = said.event(&node);
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
                match api.create(&PostParams::default(), &event).await {
                    Ok(_) => {}
                    // Another node said it, or this one in a former life.
                    Err(kube::Error::Api(status)) if status.code == 409 && said.common.is_some() => {}
                    Err(error) => tracing::debug!(reason = said.reason, %error, "an event cannot be written"),
                }
            }
        });
        Events(events)
    }

    /// Each of them.
    pub(super) fn say_all(&self, all: Vec<Said>) {
        all.into_iter().for_each(|said| self.say(said));
    }

    /// Hands an event over, and never waits. The log has it in any case.
    pub(super) fn say(&self, said: Said) {
        let Said { about, reason, message, .. } = &said;
        match said.is_warning {
            true => tracing::warn!(reason, of = %about, "{message}"),
            false => tracing::info!(reason, of = %about, "{message}"),
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
        let id = ServiceId { key: ServiceKey::new("shop", "web"), uid: "u1".into() };
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
    fn an_event_on_a_node_is_where_those_of_kubelets_are() {
        let event = Said::of_node("HeartbeatRefused", "why".to_owned()).event("n1");
        let of = event.involved_object;
        assert_eq!((of.kind.as_deref(), of.name.as_deref(), of.namespace), (Some("Node"), Some("n1"), None));
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    }

    #[test]
    fn what_every_node_says_has_one_name_and_what_is_a_nodes_own_has_none() {
        let object = ObjectKey { namespace: "metallb-system".to_owned(), name: "a".repeat(253) };
        let said =
            |message: &str| Said::of_written::<BGPPeerSpec>(object.clone(), "LooseEnd", message.to_owned());
        let name = |said: Said, node: &str| said.event(node).metadata.name;
        let common = name(said("why").common(), "n1");
        assert!(common.as_ref().is_some_and(|name| name.len() <= 253), "{common:?}");
        assert_eq!(common, name(said("why").common(), "n2"));
        assert_ne!(common, name(said("why else").common(), "n1"));
        assert_eq!(name(said("why"), "n1"), None);
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
