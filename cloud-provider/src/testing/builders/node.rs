//! A node, and several.

use std::net::{IpAddr, Ipv4Addr};

use super::{digest, parse_ip};
use crate::node::{NodeAddress, NodeAddressKind, NodeSet, NodeView};

/// An eligible node in `zone-a`, with a provider ID and an internal address that follow from its name.
pub fn a_node(name: &str) -> NodeBuilder {
    let [.., a, b, c] = digest(name).to_be_bytes();
    NodeBuilder(NodeView {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        provider_id: format!("memory:///zone-a/{name}"),
        zone: Some("zone-a".to_owned()),
        addresses: vec![internal(Ipv4Addr::new(10, a, b, c).into())],
        labels: Vec::new(),
        deleting: false,
        excluded: false,
        going_away: false,
        network_unavailable: false,
    })
}

/// The nodes `n1` to `n<count>`.
pub fn nodes(count: usize) -> NodeSet {
    NodeSet::of((1..=count).map(|i| a_node(&format!("n{i}")).build()))
}

/// Makes a [`NodeView`]; every method says one thing about it.
#[derive(Clone, Debug)]
#[must_use]
pub struct NodeBuilder(NodeView);

impl NodeBuilder {
    /// `spec.providerID`.
    pub fn provider_id(mut self, id: &str) -> Self {
        self.0.provider_id = id.to_owned();
        self
    }

    /// The zone label.
    pub fn zone(mut self, zone: &str) -> Self {
        self.0.zone = Some(zone.to_owned());
        self
    }

    /// Without a zone label.
    pub fn without_zone(mut self) -> Self {
        self.0.zone = None;
        self
    }

    /// These internal addresses and no others.
    ///
    /// # Panics
    /// If one does not parse.
    pub fn internal_ips<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.addresses.retain(|address| address.kind != NodeAddressKind::Internal);
        self.0.addresses.extend(ips.into_iter().map(parse_ip).map(internal));
        self
    }

    /// Adds an external address.
    ///
    /// # Panics
    /// If it does not parse.
    pub fn external_ip(mut self, ip: &str) -> Self {
        self.0.addresses.push(NodeAddress { kind: NodeAddressKind::External, ip: parse_ip(ip) });
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels.retain(|(present, _)| present != key);
        self.0.labels.push((key.to_owned(), value.to_owned()));
        self.0.labels.sort();
        self
    }

    /// Taken out by the user, with the label that does it.
    pub fn excluded(mut self) -> Self {
        self.0.excluded = true;
        self.label(NodeView::EXCLUDE_LABEL, "true")
    }

    /// Being deleted.
    pub fn deleting(mut self) -> Self {
        self.0.deleting = true;
        self
    }

    /// About to be removed by the cluster autoscaler.
    pub fn going_away(mut self) -> Self {
        self.0.going_away = true;
        self
    }

    /// Its network is not set up.
    pub fn network_unavailable(mut self) -> Self {
        self.0.network_unavailable = true;
        self
    }

    /// The view.
    pub fn build(self) -> NodeView {
        self.0
    }
}

fn internal(ip: IpAddr) -> NodeAddress {
    NodeAddress { kind: NodeAddressKind::Internal, ip }
}
