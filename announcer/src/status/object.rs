//! What is written of one Service that is announced.

use cloud_provider::ServiceKey;
use metallb::crd::{AnnouncementProtocol, NODE_LABEL, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::announced::Announced;
use crate::announcements::Interfaces;

/// By what name our writes go.
pub const FIELD_MANAGER: &str = "cloud-lb-announcer";

/// The label by which objects of ours are told from those of MetalLB's speaker, which nobody but it is to delete.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The longest value of a label.
const MAX_LABEL_BYTES: usize = 63;

/// Who announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncingNode {
    /// The node.
    pub node: String,
    /// Where its objects are: the namespace that it runs in.
    pub namespace: String,
    /// The Pod that it runs in, with which the objects go; none outside of one.
    pub pod: Option<Pod>,
}

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusKey {
    /// Its kind.
    pub protocol: AnnouncementProtocol,
    /// Its name.
    pub name: String,
}

impl StatusKey {
    /// The object that tells that a node announces a Service. Names of both may be long, and one name has to hold them.
    pub fn of(protocol: AnnouncementProtocol, service: &ServiceKey, node: &str) -> Self {
        let prefix = match protocol {
            AnnouncementProtocol::Layer2 => "l2",
            AnnouncementProtocol::Bgp => "bgp",
        };
        StatusKey { protocol, name: format!("{prefix}-{}", digest(&format!("{service}#{node}"), 10)) }
    }
}

/// So many bytes of a hash, in hexadecimal digits.
fn digest(of: &str, bytes: usize) -> String {
    Sha256::digest(of).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The value of a label that says this name, which may be too long for one.
fn label(name: &str) -> String {
    if name.len() <= MAX_LABEL_BYTES {
        return name.to_owned();
    }
    // A name of a node is of ASCII letters, digits, dots and hyphens; a hyphen may follow each of them.
    let kept = name.get(..MAX_LABEL_BYTES - 9).unwrap_or_default();
    format!("{kept}-{}", digest(name, 4))
}

/// One object as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredObject {
    /// Of which Service it tells.
    pub service: ServiceKey,
    /// What is applied to the object itself.
    pub object: Value,
    /// What is applied to its status.
    pub status: Value,
}

impl AnnouncingNode {
    /// The labels by which objects of this announcer are found, as a selector.
    pub fn selector(&self) -> String {
        format!("{NODE_LABEL}={},{MANAGED_BY_LABEL}={FIELD_MANAGER}", label(&self.node))
    }

    /// The objects that tell what is announced.
    pub fn objects(&self, announced: &Announced) -> Vec<(StatusKey, DesiredObject)> {
        let layer2 = announced.layer2.iter().map(|(service, interfaces)| {
            let interfaces = match interfaces {
                // None is all.
                Interfaces::All => json!({}),
                Interfaces::Named(names) => {
                    let names: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
                    json!({ "interfaces": names })
                }
            };
            self.object(AnnouncementProtocol::Layer2, service, interfaces)
        });
        let bgp = announced.bgp.iter().map(|(service, peers)| {
            self.object(AnnouncementProtocol::Bgp, service, json!({ "peers": peers }))
        });
        layer2.chain(bgp).collect()
    }

    fn object(
        &self,
        protocol: AnnouncementProtocol,
        service: &ServiceKey,
        said: Value,
    ) -> (StatusKey, DesiredObject) {
        let key = StatusKey::of(protocol, service, &self.node);
        let kind = protocol.kind();
        let owners: Vec<Value> = self
            .pod
            .iter()
            .map(|pod| json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid }))
            .collect();
        let object = json!({
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": key.name,
                "labels": {
                    NODE_LABEL: label(&self.node),
                    SERVICE_NAME_LABEL: &*service.name,
                    SERVICE_NAMESPACE_LABEL: &*service.namespace,
                    MANAGED_BY_LABEL: FIELD_MANAGER,
                },
                "ownerReferences": owners,
            },
            "spec": {},
        });
        let mut status = json!({
            "node": self.node,
            "serviceName": &*service.name,
            "serviceNamespace": &*service.namespace,
        });
        if let (Some(status), Value::Object(said)) = (status.as_object_mut(), said) {
            status.extend(said);
        }
        (key, DesiredObject { service: service.clone(), object, status })
    }
}
