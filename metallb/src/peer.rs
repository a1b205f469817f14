//! A BGP peer, validated once: after that nothing in it can be wrong.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{IpFamily, Mistake};

use crate::bfd_profile::BfdProfile;
use crate::crd::BGPPeerSpec;
use crate::duration;
use crate::number::Numbers;
use crate::selector::AnyOf;
use crate::written::{ObjectKey, Written};

/// The port of BGP (RFC 4271).
const BGP_PORT: i64 = 179;

/// What RFC 4271 (section 10) suggests for the hold time; the keepalive time is a third of it.
const HOLD_TIME: Duration = Duration::from_secs(90);

/// The hold time goes over the wire as 16 bits of seconds, and is 0 or at least 3 s (RFC 4271, section 4.2).
const MIN_HOLD_TIME: Duration = Duration::from_secs(3);
const MAX_HOLD_TIME: Duration = Duration::from_secs(u16::MAX as u64);

/// What is accepted as the peer's AS number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAsn {
    /// This one.
    Exactly(u32),
    /// The same as ours.
    Internal,
    /// Any other than ours.
    External,
}

/// Where the peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At this address.
    Address(IpAddr),
    /// Behind this interface, whatever its address (unnumbered).
    Interface(String),
}

/// Where the session's password stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// In the peer itself.
    Written(String),
    /// In the Secret of this name, in the peer's namespace, under the key `password`.
    Secret(String),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Password::Written(_) => f.write_str("Written(…)"),
            Password::Secret(name) => f.debug_tuple("Secret").field(name).finish(),
        }
    }
}

/// A BGP peer without mistakes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// Which object it is.
    pub key: ObjectKey,
    /// Our AS number, never 0.
    pub my_asn: u32,
    /// What is accepted as the peer's.
    pub remote_asn: RemoteAsn,
    /// What is told this peer in place of our AS number, if it was asked for.
    pub local_asn: Option<u32>,
    /// Where the peer is.
    pub reach: Reach,
    /// From which address the session is opened, of the peer's family; none: what the node's routes choose.
    pub source_address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// How long a silent peer counts as alive, a whole number of seconds: 0 (for ever), or 3 to 65,535.
    pub hold_time: Duration,
    /// How often we show that we are alive; 0: never. At most the hold time.
    pub keepalive_time: Duration,
    /// How long is waited between attempts to connect, a whole number of seconds; none: as the engine has it.
    pub connect_time: Option<Duration>,
    /// Our router ID, never 0.0.0.0; none: an address of the node.
    pub router_id: Option<Ipv4Addr>,
    /// Nodes that have a session with it.
    pub nodes: AnyOf,
    /// The session's password.
    pub password: Option<Password>,
    /// By what it is watched.
    pub bfd: Option<Arc<BfdProfile>>,
    /// Whether it is asked to keep our routes while we restart.
    pub graceful_restart: bool,
    /// Whether it may be more than one hop away; always so for a peer of our own AS.
    pub multi_hop: bool,
    /// The VRF in which it is.
    pub vrf: Option<String>,
    /// Whether addresses of both families are advertised.
    pub dual_stack: bool,
}

impl Peer {
    /// Checks a definition. `profile` finds a BFD profile by name.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(
        definition: &Written<BGPPeerSpec>,
        profile: impl Fn(&str) -> Option<Arc<BfdProfile>>,
    ) -> Result<Self, Vec<Mistake>> {
        let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
        let mut numbers = Numbers::default();
        let my_asn = numbers.within("spec.myASN", spec.my_asn, 1, u32::MAX);
        let local_asn = spec.local_asn.map(|asn| numbers.within("spec.localASN", asn, 1, u32::MAX));
        let remote_asn = remote_asn(spec, &mut numbers);
        let reach = reach(spec, &mut numbers.mistakes);
        let (hold_time, keepalive_time) = times(spec, &mut numbers.mistakes);
        let peer = Peer {
            key: definition.key(),
            my_asn,
            remote_asn,
            local_asn,
            source_address: source_address(spec, &reach, &mut numbers.mistakes),
            reach,
            port: numbers.within("spec.peerPort", spec.peer_port.unwrap_or(BGP_PORT), 1, 16_384),
            hold_time,
            keepalive_time,
            connect_time: connect_time(spec, &mut numbers.mistakes),
            router_id: router_id(spec, &mut numbers.mistakes),
            nodes: AnyOf::parse("spec.nodeSelectors", &spec.node_selectors, &mut numbers.mistakes),
            password: password(spec, &definition.namespace, &mut numbers.mistakes),
            bfd: bfd(spec, profile, &mut numbers.mistakes),
            graceful_restart: spec.enable_graceful_restart.unwrap_or(false),
            multi_hop: spec.ebgp_multi_hop.unwrap_or(false),
            vrf: set(spec.vrf.as_ref()).cloned(),
            dual_stack: spec.dual_stack_address_family,
        };
        let internal = match peer.remote_asn {
            RemoteAsn::Exactly(asn) => asn == peer.my_asn,
            RemoteAsn::Internal => true,
            RemoteAsn::External => false,
        };
        if peer.multi_hop && internal {
            let mistake = Mistake::new("spec.ebgpMultiHop", "true", "is for peers of another AS");
            numbers.mistakes.push(
                mistake.allowing("false for a peer of our own AS, which may be any number of hops away"),
            );
        }
        numbers.unless_wrong(Peer { multi_hop: peer.multi_hop || internal, ..peer })
    }
}

/// An optional text; Go has no difference between one that is empty and none.
fn set(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

/// Two fields of which exactly one is to be set.
fn one_of(first: &str, second: &str, mistakes: &mut Vec<Mistake>, value: &str, both: bool) {
    let problem = if both { "is set, and so is the other" } else { "is not set, nor is the other" };
    let mistake = Mistake::new(format!("spec.{first}, spec.{second}"), value, problem);
    mistakes.push(mistake.allowing("exactly one of the two"));
}

fn remote_asn(spec: &BGPPeerSpec, numbers: &mut Numbers) -> RemoteAsn {
    let written = spec.peer_asn.filter(|asn| *asn != 0);
    match (written, set(spec.dynamic_asn.as_ref()).map(String::as_str)) {
        (Some(asn), None) => RemoteAsn::Exactly(numbers.within("spec.peerASN", asn, 1, u32::MAX)),
        (None, Some("internal")) => RemoteAsn::Internal,
        (None, Some("external")) => RemoteAsn::External,
        (None, Some(other)) => {
            let mistake = Mistake::new("spec.dynamicASN", other, "is not understood");
            numbers.mistakes.push(mistake.allowing("internal or external"));
            RemoteAsn::External
        }
        (Some(asn), Some(dynamic)) => {
            let value = format!("{asn}, {dynamic}");
            one_of("peerASN", "dynamicASN", &mut numbers.mistakes, &value, true);
            RemoteAsn::External
        }
        (None, None) => {
            one_of("peerASN", "dynamicASN", &mut numbers.mistakes, "", false);
            RemoteAsn::External
        }
    }
}

fn reach(spec: &BGPPeerSpec, mistakes: &mut Vec<Mistake>) -> Reach {
    match (set(spec.peer_address.as_ref()), set(spec.interface.as_ref())) {
        (Some(written), None) => {
            let ip = read::<IpAddr>(
                "spec.peerAddress",
                written,
                "is no IP address",
                "an address such as 192.0.2.1",
                mistakes,
            );
            ip.map_or(Reach::Interface(String::new()), |ip| Reach::Address(ip.to_canonical()))
        }
        (None, Some(interface)) => Reach::Interface(interface.clone()),
        (Some(address), Some(interface)) => {
            one_of("peerAddress", "interface", mistakes, &format!("{address}, {interface}"), true);
            Reach::Interface(interface.clone())
        }
        (None, None) => {
            one_of("peerAddress", "interface", mistakes, "", false);
            Reach::Interface(String::new())
        }
    }
}

fn read<T: FromStr>(
    field: &str,
    written: &str,
    problem: &str,
    allowed: impl Display,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let read = written.parse().ok();
    if read.is_none() {
        mistakes.push(Mistake::new(field, written, problem).allowing(allowed.to_string()));
    }
    read
}

fn source_address(spec: &BGPPeerSpec, reach: &Reach, mistakes: &mut Vec<Mistake>) -> Option<IpAddr> {
    let field = "spec.sourceAddress";
    let written = set(spec.source_address.as_ref())?;
    let source: IpAddr = read(field, written, "is no IP address", "an address of the node", mistakes)?;
    let source = source.to_canonical();
    if let Reach::Address(peer) = reach
        && IpFamily::of(*peer) != IpFamily::of(source)
    {
        let mistake = Mistake::new(field, written, format!("is of another family than {peer}, the peer"));
        mistakes.push(mistake.allowing("an address of the peer's family"));
        return None;
    }
    Some(source)
}

fn router_id(spec: &BGPPeerSpec, mistakes: &mut Vec<Mistake>) -> Option<Ipv4Addr> {
    let (field, allowed) = ("spec.routerID", "an IPv4 address other than 0.0.0.0, such as 10.10.10.10");
    let written = set(spec.router_id.as_ref())?;
    let id: Ipv4Addr = read(field, written, "is no router ID", allowed, mistakes)?;
    if id.is_unspecified() {
        mistakes.push(Mistake::new(field, written, "is no router ID").allowing(allowed));
        return None;
    }
    Some(id)
}

fn time(field: &str, written: Option<&String>, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
    let written = written?;
    let time = duration::parse(written);
    if time.is_none() {
        mistakes.push(Mistake::new(field, written, "is no length of time").allowing(duration::SYNTAX));
    }
    time
}

/// Hold and keepalive time; where one is set, the other follows it at three to one.
fn times(spec: &BGPPeerSpec, mistakes: &mut Vec<Mistake>) -> (Duration, Duration) {
    let hold = time("spec.holdTime", spec.hold_time.as_ref(), mistakes);
    let keepalive = time("spec.keepaliveTime", spec.keepalive_time.as_ref(), mistakes);
    let (hold, keepalive) = match (hold, keepalive) {
        (None, None) => (HOLD_TIME, HOLD_TIME / 3),
        (Some(hold), None) => (hold, hold / 3),
        (None, Some(keepalive)) => (keepalive.saturating_mul(3), keepalive),
        (Some(hold), Some(keepalive)) => (hold, keepalive),
    };
    let written = |text: &Option<String>, time: Duration| text.clone().unwrap_or(format!("{time:?}"));
    if !(hold.is_zero() || (MIN_HOLD_TIME..=MAX_HOLD_TIME).contains(&hold)) || hold.subsec_nanos() > 0 {
        let mistake = Mistake::new("spec.holdTime", written(&spec.hold_time, hold), "is out of range");
        mistakes.push(mistake.allowing(
            "0s, or whole seconds from 3s to 65535s; it is three times the keepaliveTime if it is not set",
        ));
    } else if keepalive > hold {
        let mistake = Mistake::new(
            "spec.keepaliveTime",
            written(&spec.keepalive_time, keepalive),
            "is longer than the hold time",
        );
        mistakes.push(mistake.allowing(format!("at most {hold:?}, better a third of it")));
    }
    (hold, keepalive)
}

fn connect_time(spec: &BGPPeerSpec, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
    let field = "spec.connectTime";
    let time = time(field, spec.connect_time.as_ref(), mistakes)?;
    if !(1..=65_535).contains(&time.as_secs()) || time.subsec_nanos() > 0 {
        let written = spec.connect_time.clone().unwrap_or_default();
        let mistake = Mistake::new(field, written, "is out of range");
        mistakes.push(mistake.allowing("whole seconds from 1s to 65535s"));
        return None;
    }
    Some(time)
}

fn password(spec: &BGPPeerSpec, namespace: &str, mistakes: &mut Vec<Mistake>) -> Option<Password> {
    let secret = spec.password_secret.as_ref().and_then(|secret| set(secret.name.as_ref()));
    let elsewhere = spec.password_secret.as_ref().and_then(|secret| set(secret.namespace.as_ref()));
    if let Some(elsewhere) = elsewhere.filter(|elsewhere| *elsewhere != namespace) {
        let mistake =
            Mistake::new("spec.passwordSecret.namespace", elsewhere, "is another namespace than the peer's");
        mistakes.push(mistake.allowing("the peer's namespace, or nothing"));
    }
    match (set(spec.password.as_ref()), secret) {
        // A password is told to nobody: not even cut short.
        (Some(_), Some(name)) => {
            one_of("password", "passwordSecret", mistakes, &format!("…, {name}"), true);
            None
        }
        (Some(written), None) => Some(Password::Written(written.clone())),
        (None, Some(name)) => Some(Password::Secret(name.clone())),
        (None, None) => None,
    }
}

fn bfd(
    spec: &BGPPeerSpec,
    profile: impl Fn(&str) -> Option<Arc<BfdProfile>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Arc<BfdProfile>> {
    let name = set(spec.bfd_profile.as_ref())?;
    let found = profile(name);
    if found.is_none() {
        let mistake = Mistake::new("spec.bfdProfile", name, "is the name of no BFDProfile in force");
        mistakes.push(mistake.allowing("the name of a BFDProfile in the peer's namespace"));
    }
    found
}
