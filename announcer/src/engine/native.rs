//! MetalLB's peers for our own speaker.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cloud_provider::Mistake;
use ipnet::IpNet;
use metallb::bfd_profile::BfdProfile;
use metallb::peer::{Password, Peer, Reach, RemoteAsn};

use crate::bfd::path::PathKey;
use crate::bfd::session::Profile;
use crate::bgp::dial::Dial;
use crate::bgp::family::Family;
use crate::bgp::peer::{BgpPeer, HoldTime, RemoteAs};
use crate::bgp::update::NextHops;
use crate::distance::Distance;

/// A peer as our own speaker is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePeer {
    /// Where it is.
    pub dial: Dial,
    /// What the session is made of.
    pub peer: BgpPeer,
    /// How its path is watched, if it is to be.
    pub path: Option<(PathKey, Profile)>,
}

/// A peer for our own speaker, on a node with these addresses, which have the lengths of their subnets, the first of each
/// family being the one that others reach the node by.
///
/// # Errors
/// All that the peer asks for and our own speaker lacks, by field.
pub fn native(peer: &Peer, node: &[IpNet]) -> Result<NativePeer, Vec<Mistake>> {
    let mut lacks = lacks(peer);
    let first = |family| node.iter().map(IpNet::addr).find(|ip| Family::of(*ip) == family);
    let first_v4 = match first(Family::V4) {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    };
    let router_id = peer.router_id.or(first_v4);
    if router_id.is_none() {
        let problem = "is not set, and the node has no address of IPv4 that it could be taken from";
        lacks.push(left_out(Mistake::new("spec.routerID", "", problem).allowing("an address of IPv4")));
    }
    let (Reach::Address(to), Some(router_id), true) = (&peer.reach, router_id, lacks.is_empty()) else {
        return Err(lacks);
    };
    Ok(translated(peer, node, *to, router_id))
}

fn translated(peer: &Peer, node: &[IpNet], to: IpAddr, router_id: Ipv4Addr) -> NativePeer {
    let asn = peer.local_asn.unwrap_or(peer.my_asn);
    let remote_as = match peer.remote_asn {
        RemoteAsn::Exactly(number) => RemoteAs::Number(number),
        RemoteAsn::Internal => RemoteAs::Internal,
        RemoteAsn::External => RemoteAs::External,
    };
    let is_internal = matches!(remote_as, RemoteAs::Internal) || remote_as == RemoteAs::Number(asn);
    let is_near = node.iter().any(|net| net.contains(&to));
    let dial_distance = if is_internal || peer.multi_hop { Distance::Hops } else { Distance::Link };
    // A peer of our own system may be anywhere, and is watched as one on the link where it is on one, as routers do.
    let watch_distance = match is_near && (is_internal || !peer.multi_hop) {
        true => Distance::Link,
        false => dial_distance,
    };
    let next_hop = |family| {
        let from = peer.source_address.filter(|ip| Family::of(*ip) == family);
        from.or_else(|| node.iter().map(IpNet::addr).find(|ip| Family::of(*ip) == family))
    };
    let families: BTreeSet<Family> = match peer.dual_stack {
        true => Family::ALL.into(),
        false => [Family::of(to)].into(),
    };
    NativePeer {
        dial: Dial { to: SocketAddr::new(to, peer.port), from: peer.source_address, distance: dial_distance },
        path: peer.bfd.as_ref().map(|bfd| {
            let key = PathKey { from: peer.source_address, to, distance: watch_distance };
            (key, profile(bfd))
        }),
        peer: BgpPeer {
            asn,
            remote_as,
            router_id,
            // Whole seconds, as they were validated: 0, or 3 to 65,535.
            hold_time: HoldTime::new(peer.hold_time.as_secs() as u16).unwrap_or(HoldTime::DEFAULT),
            // What is never sent would end the session at the other end: a third of the hold time then.
            keepalive: Some(peer.keepalive_time).filter(|time| !time.is_zero()),
            connect_time: peer.connect_time.unwrap_or(BgpPeer::CONNECT_TIME),
            families: families.clone(),
            graceful_restart: peer.graceful_restart.then_some(BgpPeer::RESTART_SECONDS),
            next_hops: NextHops::default().with(families.into_iter().filter_map(next_hop)),
        },
    }
}

fn profile(bfd: &BfdProfile) -> Profile {
    Profile {
        receive: bfd.receive_interval,
        transmit: bfd.transmit_interval,
        multiplier: bfd.detect_multiplier,
        is_passive: bfd.passive_mode,
        minimum_ttl: bfd.minimum_ttl,
    }
}

/// What the peer asks for and our own speaker lacks.
fn lacks(peer: &Peer) -> Vec<Mistake> {
    let mut lacks = Vec::new();
    let mut lack = |field: &str, value: &str, allowed: &str| {
        let mistake = Mistake::new(field, value, "is not had by the native BGP engine");
        lacks.push(left_out(mistake.allowing(format!("{allowed}, or --bgp=frr-k8s"))));
    };
    if let Reach::Interface(interface) = &peer.reach {
        lack("spec.interface", interface, "peerAddress");
    }
    if let Some(vrf) = &peer.vrf {
        lack("spec.vrf", vrf, "none");
    }
    match &peer.password {
        // Nobody who reads an event is to read it there.
        Some(Password::Written(_)) => lack("spec.password", "…", "none"),
        Some(Password::Secret(name)) => lack("spec.passwordSecret.name", name, "none"),
        None => {}
    }
    if let Some(bfd) = peer.bfd.as_ref().filter(|bfd| bfd.echo_mode) {
        lack("spec.bfdProfile", &bfd.key.name, "a profile without echoMode");
    }
    lacks
}

/// What happens to a peer that cannot be had.
fn left_out(mistake: Mistake) -> Mistake {
    mistake.meanwhile("this peer has no session from here, and the others have theirs")
}
