//! A resource as somebody wrote it, not yet looked at, and what is found wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use cloud_provider::{Mistake, Mistakes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::crd::{
    BFDProfileSpec, BGPAdvertisementSpec, BGPPeerSpec, CommunitySpec, IPAddressPoolSpec, L2AdvertisementSpec,
};
use crate::reservations;
use crate::selector::Labels;

/// The spec of one of MetalLB's resources.
pub trait ResourceSpec: Clone + PartialEq + Serialize + DeserializeOwned {
    /// The kind of its resource.
    const KIND: &'static str;
    /// The version in which it is read.
    const VERSION: &'static str;
    /// What a spec that can be read looks like, in words.
    const ALLOWED: &'static str;
}

macro_rules! specs {
    ($($spec:ty: $kind:literal, $version:literal, $allowed:literal;)*) => {$(
        impl ResourceSpec for $spec {
            const KIND: &'static str = $kind;
            const VERSION: &'static str = concat!("metallb.io/", $version);
            const ALLOWED: &'static str = $allowed;
        }
    )*};
}

specs! {
    IPAddressPoolSpec: "IPAddressPool", "v1beta1", "the fields of an IPAddressPool, with addresses as a list of strings";
    L2AdvertisementSpec: "L2Advertisement", "v1beta1", "the fields of an L2Advertisement, or none";
    BGPAdvertisementSpec: "BGPAdvertisement", "v1beta1", "the fields of a BGPAdvertisement, or none";
    BGPPeerSpec: "BGPPeer", "v1beta2", "the fields of a BGPPeer, with myASN as a number";
    BFDProfileSpec: "BFDProfile", "v1beta1", "the fields of a BFDProfile, or none";
    CommunitySpec: "Community", "v1beta1", "the fields of a Community, with communities as a list of names and values";
}

/// An object by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is wrong with one object, and what happens until it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectMistakes {
    /// Its kind.
    pub kind: &'static str,
    /// The version in which it was read.
    pub version: &'static str,
    /// Which object.
    pub object: ObjectKey,
    /// Every mistake found.
    pub mistakes: Mistakes,
}

impl fmt::Display for ObjectMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.object, self.mistakes)
    }
}

/// A resource as somebody wrote it, not yet looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<S> {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.creationTimestamp` in seconds since the Unix epoch; none before everything else.
    pub created: Option<i64>,
    /// Those of `metadata.annotations` that have a [meaning](crate::reservations) here.
    pub annotations: BTreeMap<String, String>,
    /// The spec, or why it could not be read at all.
    pub spec: Result<S, Mistake>,
}

impl<S> Written<S> {
    /// A definition of which nothing but its metadata and spec is known.
    pub fn of(metadata: &ObjectMeta, spec: Result<S, Mistake>) -> Self {
        Written {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default().into(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            annotations: reservations::read(metadata.annotations.as_ref().unwrap_or(&BTreeMap::new())),
            spec,
        }
    }

    /// Which object it is.
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl<S: ResourceSpec> Written<S> {
    /// Reads an object as it came out of a file. Never fails: an object that has the wrong shape is a definition
    /// with a mistake, so that it stops nobody but itself.
    pub fn from_json(object: &Value) -> Self {
        let part = |name: &str| object.get(name).cloned().unwrap_or_default();
        let metadata = serde_json::from_value(part("metadata")).unwrap_or_default();
        Written::read(&metadata, part("spec"))
    }

    /// As [`from_json`](Written::from_json), of metadata that are read already. A spec that is not there is an empty
    /// one, and so is a field that is `null`: the API server has it so.
    pub fn read(metadata: &ObjectMeta, spec: Value) -> Self {
        let mut written = spec.clone();
        let fields = match spec {
            Value::Null => Value::Object(Map::new()),
            Value::Object(mut fields) => {
                fields.retain(|_, value| !value.is_null());
                Value::Object(fields)
            }
            // A list would be read as fields in their order.
            other => {
                let mistake = Mistake::new("spec", other.to_string(), "has no fields");
                return Written::of(metadata, Err(mistake.allowing(S::ALLOWED)));
            }
        };
        // A password is told to nobody, not even by the message of who failed to read it.
        if let Some(password) = written.get_mut("password").filter(|password| !password.is_null()) {
            if !password.is_string() {
                let mistake = Mistake::new("spec.password", "…", "is not a text");
                return Written::of(metadata, Err(mistake.allowing("a text, in quotes")));
            }
            *password = "…".into();
        }
        let spec = serde_json::from_value(fields).map_err(|error| {
            Mistake::new("spec", written.to_string(), format!("cannot be read: {error}")).allowing(S::ALLOWED)
        });
        Written::of(metadata, spec)
    }
}
