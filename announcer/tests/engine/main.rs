//! What the engines make of MetalLB's peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use announcer::bgp::route::{PathAttributes, WantedRoutes};
use ipnet::IpNet;
use metallb::bfd_profile::BfdProfile;
use metallb::peer::Peer;
use metallb::written::Written;
use serde_json::{Value, json};

mod frr_k8s;
mod native;
mod speaker;

fn written<S: serde::de::DeserializeOwned>(name: &str, spec: Value) -> Written<S> {
    Written {
        namespace: "metallb-system".to_owned(),
        name: name.to_owned(),
        labels: Default::default(),
        created: None,
        annotations: BTreeMap::new(),
        spec: Ok(serde_json::from_value(spec).expect("a spec")),
    }
}

/// A peer of AS 64600 at 192.0.2.254, with these fields besides or instead; `null` takes one away.
fn peer(name: &str, fields: Value) -> Peer {
    let mut spec = json!({ "myASN": 64512, "peerASN": 64600, "peerAddress": "192.0.2.254" });
    let own = fields.as_object().expect("fields");
    spec.as_object_mut().expect("fields").extend(own.clone());
    spec.as_object_mut().expect("fields").retain(|_, value| !value.is_null());
    let profile = |name: &str| {
        let spec = json!({ "receiveInterval": 100, "echoMode": name == "echo", "detectMultiplier": 5 });
        Some(Arc::new(BfdProfile::parse(&written(name, spec)).expect("a profile")))
    };
    Peer::parse(&written(name, spec), profile).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn routes(of: &[(&str, PathAttributes)]) -> WantedRoutes {
    let mut wanted = WantedRoutes::default();
    for (prefix, said) in of {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        wanted.add(prefix.addr(), prefix.prefix_len(), said.clone()).expect("a route");
    }
    wanted
}
