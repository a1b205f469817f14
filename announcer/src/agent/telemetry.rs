//! What kubelets and Prometheus see of an announcer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::ServiceKey;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::bfd::packet::BfdState;
use crate::engine::speaker;
use crate::responder::LinkReport;
use crate::segment::{SegmentChange, Taken};

/// How things stand.
#[derive(Debug, Default)]
pub struct Telemetry(Mutex<TelemetryState>);

#[derive(Debug, Default)]
struct TelemetryState {
    trouble: Option<String>,
    reports: BTreeMap<String, watch::Receiver<LinkReport>>,
    services: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    owner_changes: BTreeMap<OwnerChange, u64>,
    take_overs: TakeOvers,
    routers: Option<watch::Receiver<speaker::PeerSessions>>,
}

/// For how long nodes had not been heard when what they answered for was taken.
#[derive(Debug)]
struct TakeOvers(Family<OnLink, Histogram, fn() -> Histogram>);

impl Default for TakeOvers {
    fn default() -> Self {
        // A dead interval is 0.35 s unless it is said otherwise, and clients are to notice nothing after two seconds.
        let buckets = || Histogram::new([0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0]);
        TakeOvers(Family::new_with_constructor(buckets))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OwnerChange {
    link: String,
    change: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ip(IpAddr);

impl EncodeLabelValue for Ip {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        EncodeLabelValue::encode(&self.0.to_string(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnnouncedLabels {
    service: String,
    ip: Ip,
    protocol: &'static str,
    link: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OnLink {
    link: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAddress {
    link: String,
    ip: Ip,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRouter {
    peer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPeer {
    link: String,
    node: String,
    peer_link: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConflictLabels {
    link: String,
    ip: Ip,
    mac: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unheeded {
    link: String,
    reason: String,
}

impl Telemetry {
    /// Whether this node announces, or why not. It does not say that there is anything to announce, and an API server that
    /// is away takes nothing from it: what was known last is announced.
    ///
    /// # Errors
    /// In one line, what is missing.
    pub fn ready(&self) -> Result<(), String> {
        self.state().trouble.clone().map_or(Ok(()), Err)
    }

    /// All figures, in the text format of OpenMetrics.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = encode(&mut text, &registry);
        text
    }

    pub(super) fn trouble(&self, trouble: Option<String>) {
        self.state().trouble = trouble;
    }

    pub(super) fn reports(&self, reports: BTreeMap<String, watch::Receiver<LinkReport>>) {
        self.state().reports = reports;
    }

    pub(super) fn routers(&self, routers: Option<watch::Receiver<speaker::PeerSessions>>) {
        self.state().routers = routers;
    }

    pub(super) fn services(&self, services: BTreeMap<IpAddr, BTreeSet<ServiceKey>>) {
        self.state().services = services;
    }

    /// The Services that have an address.
    pub(super) fn services_of(&self, ip: IpAddr) -> BTreeSet<ServiceKey> {
        self.state().services.get(&ip).cloned().unwrap_or_default()
    }

    pub(super) fn count(&self, link: &str, change: &SegmentChange) {
        let silence = match change {
            SegmentChange::Taken { why: Taken::Silent { since, .. }, .. } => Some(*since),
            _ => None,
        };
        let (change, reason) = match change {
            SegmentChange::Taken { why, .. } => ("taken", why.word()),
            SegmentChange::GivenUp { why, .. } => ("given_up", why.word()),
            SegmentChange::Defended { .. }
            | SegmentChange::Foreign { .. }
            | SegmentChange::Refused { .. }
            | SegmentChange::Heard { .. }
            | SegmentChange::Silent { .. } => {
                return;
            }
        };
        let link = link.to_owned();
        let mut state = self.state();
        if let Some(silence) = silence {
            state.take_overs.0.get_or_create(&OnLink { link: link.clone() }).observe(silence.as_secs_f64());
        }
        *state.owner_changes.entry(OwnerChange { link, change, reason }).or_default() += 1;
    }

    fn register(&self, registry: &mut Registry) {
        let announced: Family<AnnouncedLabels, Gauge> = Family::default();
        let changes: Family<OwnerChange, Counter> = Family::default();
        let peers: Family<OnLink, Gauge> = Family::default();
        let lost: Family<OfPeer, Counter> = Family::default();
        let answers: Family<OfAddress, Counter> = Family::default();
        let gratuitous: Family<OfAddress, Counter> = Family::default();
        let conflicts: Family<ConflictLabels, Counter> = Family::default();
        let unheeded: Family<Unheeded, Counter> = Family::default();
        let state = self.state();
        for (change, count) in &state.owner_changes {
            changes.get_or_create(change).inc_by(*count);
        }
        for (link, report) in &state.reports {
            let (report, link) = (report.borrow(), || link.clone());
            peers
                .get_or_create(&OnLink { link: link() })
                .set(i64::try_from(report.peers.len()).unwrap_or(i64::MAX));
            for (&ip, service) in
                report.held.iter().filter_map(|ip| state.services.get(ip).map(|all| (ip, all)))
            {
                for service in service {
                    let (service, ip) = (service.to_string(), Ip(ip));
                    let labels = AnnouncedLabels { service, ip, protocol: "layer2", link: link() };
                    announced.get_or_create(&labels).set(1);
                }
            }
            for (ip, counts) in &report.counts {
                let of_address = OfAddress { link: link(), ip: Ip(*ip) };
                answers.get_or_create(&of_address).inc_by(counts.answers);
                gratuitous.get_or_create(&of_address).inc_by(counts.gratuitous);
            }
            for ((node, peer_link), beats) in &report.peers {
                let peer = OfPeer { link: link(), node: node.to_string(), peer_link: peer_link.to_string() };
                lost.get_or_create(&peer).inc_by(*beats);
            }
            for ((ip, mac), count) in &report.foreign {
                let conflict = ConflictLabels { link: link(), ip: Ip(*ip), mac: mac.to_string() };
                conflicts.get_or_create(&conflict).inc_by(*count);
            }
            for (reason, count) in &report.refused {
                unheeded.get_or_create(&Unheeded { link: link(), reason: reason.clone() }).inc_by(*count);
            }
        }
        register_routers(registry, state.routers.as_ref());
        registry.register(
            "cloud_lb_announcer_announced",
            "Addresses that this node answers for, by Service",
            announced,
        );
        registry.register(
            "cloud_lb_announcer_owner_changes",
            "Addresses that this node took and gave up, by reason",
            changes,
        );
        registry.register_with_unit(
            "cloud_lb_announcer_take_over",
            "For how long a node had not been heard when an address of its was taken",
            Unit::Seconds,
            state.take_overs.0.clone(),
        );
        registry.register("cloud_lb_announcer_peers", "Other announcing links that are heard", peers);
        registry.register("cloud_lb_announcer_beats_lost", "Heartbeats that were sent and not heard", lost);
        registry.register(
            "cloud_lb_announcer_answers",
            "Questions for an address that were answered",
            answers,
        );
        registry.register(
            "cloud_lb_announcer_gratuitous",
            "Announcements of an address that nobody asked for",
            gratuitous,
        );
        registry.register(
            "cloud_lb_announcer_conflicts",
            "Claims of an address by a hardware address that is no announcer's",
            conflicts,
        );
        registry.register(
            "cloud_lb_announcer_beats_refused",
            "Heartbeats that are not listened to, by reason",
            unheeded,
        );
    }

    fn state(&self) -> MutexGuard<'_, TelemetryState> {
        self.0.lock()
    }
}

/// The figures of sessions with routers.
fn register_routers(registry: &mut Registry, routers: Option<&watch::Receiver<speaker::PeerSessions>>) {
    let up: Family<OfRouter, Gauge> = Family::default();
    let ups: Family<OfRouter, Counter> = Family::default();
    let prefixes: Family<OfRouter, Gauge> = Family::default();
    let path_up: Family<OfRouter, Gauge> = Family::default();
    let path_losses: Family<OfRouter, Counter> = Family::default();
    for (peer, shown) in routers.iter().flat_map(|routers| routers.borrow().clone()) {
        let of_router = OfRouter { peer };
        let session = shown.session.borrow();
        up.get_or_create(&of_router).set(session.up.is_some().into());
        ups.get_or_create(&of_router).inc_by(session.ups);
        prefixes.get_or_create(&of_router).set(i64::try_from(session.told).unwrap_or(i64::MAX));
        if let Some(path) = &shown.path {
            let path = path.borrow();
            path_up.get_or_create(&of_router).set((path.state == BfdState::Up).into());
            path_losses.get_or_create(&of_router).inc_by(path.losses);
        }
    }
    registry.register("cloud_lb_announcer_bgp_session_up", "Whether the session with a peer is up", up);
    registry.register("cloud_lb_announcer_bgp_session_ups", "How often the session with a peer came up", ups);
    registry.register("cloud_lb_announcer_bgp_prefixes", "Routes that a peer has been told", prefixes);
    registry.register("cloud_lb_announcer_bfd_up", "Whether BFD sees the path to a peer", path_up);
    registry.register("cloud_lb_announcer_bfd_losses", "How often BFD lost the path to a peer", path_losses);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::ethernet::Mac;
    use crate::responder::Counts;
    use crate::segment::{GivenUp, SegmentStatus};

    #[test]
    fn what_happens_on_links_is_counted_by_names_and_labels_that_dashboards_ask_for() {
        let (ip, other) = ([192, 0, 2, 7].into(), [192, 0, 2, 8].into());
        let node: Arc<str> = "n2".into();
        let report = LinkReport {
            status: SegmentStatus::Candidate,
            held: [ip].into(),
            owners: [(other, node.clone())].into(),
            peers: [((node.clone(), "eth1".into()), 3)].into(),
            counts: [(ip, Counts { answers: 5, gratuitous: 7 })].into(),
            foreign: [((ip, Mac::new([2, 0, 0, 0, 0, 9])), 11)].into(),
            refused: [("it is too old".to_owned(), 13)].into(),
            has_left: false,
        };
        let telemetry = Telemetry::default();
        telemetry.services([(ip, [ServiceKey::new("shop", "web")].into())].into());
        telemetry.reports([("eth0".to_owned(), watch::channel(report).1)].into());
        for change in [
            SegmentChange::Taken { ip, why: Taken::Silent { from: node, since: Duration::from_millis(350) } },
            SegmentChange::Taken { ip, why: Taken::Free },
            SegmentChange::GivenUp { ip, why: GivenUp::Paused },
            SegmentChange::GivenUp { ip, why: GivenUp::Paused },
        ] {
            telemetry.count("eth0", &change);
        }
        let text = telemetry.metrics();
        let mut samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        samples.retain(|line| !line.contains("_bucket{"));
        samples.sort_unstable();
        let expected = [
            r#"announced{service="shop/web",ip="192.0.2.7",protocol="layer2",link="eth0"} 1"#,
            r#"answers_total{link="eth0",ip="192.0.2.7"} 5"#,
            r#"beats_lost_total{link="eth0",node="n2",peer_link="eth1"} 3"#,
            r#"beats_refused_total{link="eth0",reason="it is too old"} 13"#,
            r#"conflicts_total{link="eth0",ip="192.0.2.7",mac="02:00:00:00:00:09"} 11"#,
            r#"gratuitous_total{link="eth0",ip="192.0.2.7"} 7"#,
            r#"owner_changes_total{link="eth0",change="given_up",reason="paused"} 2"#,
            r#"owner_changes_total{link="eth0",change="taken",reason="free"} 1"#,
            r#"owner_changes_total{link="eth0",change="taken",reason="silent"} 1"#,
            r#"peers{link="eth0"} 1"#,
            r#"take_over_seconds_count{link="eth0"} 1"#,
            r#"take_over_seconds_sum{link="eth0"} 0.35"#,
        ];
        assert_eq!(samples, expected.map(|sample| format!("cloud_lb_announcer_{sample}")));
    }
}
