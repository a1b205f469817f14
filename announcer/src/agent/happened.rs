//! What happens on links, said: in the log, and by an event what somebody should know.

use std::collections::BTreeMap;

use cloud_provider::{ServiceId, ServiceKey};

use super::events::Said;
use super::telemetry::Telemetry;
use crate::beat::Refused;
use crate::segment::SegmentChange;

/// One line in the log for each change.
pub(super) fn log(shown: &Telemetry, link: &str, change: &SegmentChange) {
    let services = |ip| {
        let services = shown.services_of(ip);
        services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    match change {
        SegmentChange::Taken { ip, why } => {
            tracing::info!(link, service = services(*ip), "{ip} is announced from here: {why}");
        }
        SegmentChange::GivenUp { ip, why } => {
            tracing::info!(link, service = services(*ip), "{ip} is not announced from here any more: {why}");
        }
        SegmentChange::Defended { ip, against } => {
            tracing::warn!(
                link,
                service = services(*ip),
                "{ip} was claimed by node {against} too, and is no more"
            );
        }
        SegmentChange::Foreign { ip, by, defended } => tracing::warn!(
            link,
            service = services(*ip),
            defended,
            "{by} answers for {ip} too, and is no announcer of this cluster"
        ),
        SegmentChange::Refused { why } => match is_usual(why) {
            true => tracing::info!(link, "{why}"),
            false => tracing::warn!(link, "{why}"),
        },
        SegmentChange::Heard { node, link: theirs } => {
            tracing::info!(link, "the announcer of node {node} is heard, from its link {theirs}");
        }
        SegmentChange::Silent { node, link: theirs } => {
            tracing::warn!(
                link,
                "the announcer of node {node} is not heard any more, from its link {theirs}"
            );
        }
    }
}

/// The events of a change: of who else has an address, and of heartbeats that are not listened to.
pub(super) fn events(
    shown: &Telemetry,
    services: &BTreeMap<ServiceKey, ServiceId>,
    link: &str,
    change: &SegmentChange,
) -> Vec<Said> {
    match change {
        SegmentChange::Foreign { ip, by, .. } => {
            let message = format!(
                "{by} answers for {ip} too, on link {link}, and is no announcer of this cluster: clients that believe it do \
                 not reach the Service"
            );
            let ids = shown.services_of(*ip).into_iter().filter_map(|key| services.get(&key).cloned());
            ids.map(|id| Said::of_service(id, "AddressConflict", message.clone()).warning()).collect()
        }
        SegmentChange::Refused { why } if !is_usual(why) => {
            vec![Said::of_node("HeartbeatRefused", format!("on link {link}: {why}"))]
        }
        _ => Vec::new(),
    }
}

/// Several clusters may be on one network.
fn is_usual(why: &Refused) -> bool {
    matches!(why, Refused::OtherCluster { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ethernet::Mac;

    const FOREIGN: Mac = Mac::new([2, 0, 0, 0, 0, 9]);

    fn told(change: &SegmentChange) -> Vec<String> {
        let (shown, key) = (Telemetry::default(), ServiceKey::new("shop", "web"));
        let ip = "192.0.2.7".parse().expect("an address");
        shown.services([(ip, [key.clone()].into())].into());
        let id = ServiceId { key: key.clone(), uid: "u1".into() };
        let said = events(&shown, &[(key, id)].into(), "eth0", change);
        said.iter().map(|said| format!("{said:?}")).collect()
    }

    #[test]
    fn who_answers_for_an_address_too_is_told_to_each_service_that_has_it() {
        let ip = "192.0.2.7".parse().expect("an address");
        let told_of = told(&SegmentChange::Foreign { ip, by: FOREIGN, defended: true });
        assert_eq!(told_of.len(), 1);
        assert!(
            told_of[0].contains("AddressConflict") && told_of[0].contains("02:00:00:00:00:09"),
            "{told_of:?}"
        );
    }

    #[test]
    fn a_heartbeat_under_another_key_is_told_of_the_node_and_one_of_another_cluster_is_not() {
        let other_key = Refused::OtherKey { from: FOREIGN, node: Some("n2".to_owned()) };
        let told_of = told(&SegmentChange::Refused { why: other_key });
        assert_eq!(told_of.len(), 1);
        assert!(
            told_of[0].contains("HeartbeatRefused") && told_of[0].contains("node n2 is signed"),
            "{told_of:?}"
        );
        assert_eq!(
            told(&SegmentChange::Refused { why: Refused::OtherCluster { from: FOREIGN } }),
            Vec::<String>::new()
        );
    }
}
