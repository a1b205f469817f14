//! Do pools hand out addresses that the cluster uses for something else?

use std::net::IpAddr;

use apiserver_client::Lean;
use cloud_provider::and_more;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use metallb::pools::Pools;
use metallb::range::AddressRange;

use crate::finding::Finding;

const SUBJECT: &str = "overlap";
const MEND: &str = "two machines would answer for one address; change the pool, or exclude what is not free by its \
                    annotation bare.cloud-lb-controller/exclude";

/// What the cluster uses, and for what.
struct Used {
    by: String,
    what: AddressOrRange,
}

enum AddressOrRange {
    One(IpAddr),
    Many(AddressRange),
}

/// Pools that overlap the addresses of nodes, Pods or Services.
pub(super) async fn look(client: &kube::Client, pools: &Pools) -> Vec<Finding> {
    let all = ListParams::default();
    let nodes = Api::<Lean<Node>>::all(client.clone()).list(&all).await;
    let services = Api::<Lean<Service>>::all(client.clone()).list(&all).await;
    match (nodes, services) {
        (Ok(nodes), Ok(services)) => {
            let used = nodes.iter().flat_map(|node| of_node(&node.0));
            let used = used.chain(services.iter().flat_map(|service| of_service(&service.0)));
            judge(pools, &used.collect::<Vec<_>>())
        }
        (Err(error), _) | (_, Err(error)) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

fn of_node(node: &Node) -> Vec<Used> {
    let by = |what: &str| format!("the {what} of node {}", node.name_any());
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let own = addresses.iter().filter_map(|address| {
        let ip = address.address.parse().ok()?;
        Some(Used { by: by(&address.type_), what: AddressOrRange::One(ip) })
    });
    let ranges = node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
    let pods = ranges.iter().filter_map(|range| {
        Some(Used { by: by("range of Pods"), what: AddressOrRange::Many(range.parse().ok()?) })
    });
    own.chain(pods).collect()
}

fn of_service(service: &Service) -> Vec<Used> {
    let ips = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    let name = format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
    let used = |ip: &String| {
        let what = AddressOrRange::One(ip.parse().ok()?);
        Some(Used { by: format!("the cluster IP of Service {name}"), what })
    };
    ips.iter().filter_map(used).collect()
}

fn judge(pools: &Pools, used: &[Used]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pool in pools.iter() {
        let collides = |used: &&Used| match used.what {
            AddressOrRange::One(ip) => {
                pool.hands_out(ip) && pool.ranges.iter().any(|range| range.contains(ip))
            }
            AddressOrRange::Many(many) => pool.ranges.iter().any(|range| range.overlaps(&many)),
        };
        let mut colliding = used.iter().filter(collides);
        if let Some(first) = colliding.next() {
            let what = match first.what {
                AddressOrRange::One(ip) => ip.to_string(),
                AddressOrRange::Many(range) => range.to_string(),
            };
            let more = and_more(colliding.count());
            findings.push(Finding::warn(
                SUBJECT,
                format!("IPAddressPool {} contains {what}, {}{more}", pool.name, first.by),
                MEND,
            ));
        }
    }
    if findings.is_empty() && !pools.is_empty() {
        findings.push(Finding::ok(SUBJECT, "no pool contains addresses of nodes, Pods or cluster IPs"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use metallb::manifest;
    use serde_json::json;

    use super::*;

    fn pools(annotations: &str) -> Pools {
        Pools::parse(
            &manifest::parse(&format!(
                "{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: lan, annotations: \
                 {{{annotations}}}}}, spec: {{addresses: [192.0.2.0/24]}}}}"
            ))
            .pools,
        )
        .0
    }

    fn node(address: &str, pods: &str) -> Vec<Used> {
        let node = json!({
            "metadata": { "name": "n" },
            "spec": { "podCIDRs": [pods] },
            "status": { "addresses": [{ "type": "InternalIP", "address": address }] }
        });
        of_node(&serde_json::from_value(node).unwrap())
    }

    fn service(ip: &str) -> Vec<Used> {
        let service =
            json!({ "metadata": { "name": "s", "namespace": "d" }, "spec": { "clusterIPs": [ip] } });
        of_service(&serde_json::from_value(service).unwrap())
    }

    #[test]
    fn what_is_said_of_addresses_in_use() {
        let exclude = "bare.cloud-lb-controller/exclude: 192.0.2.7";
        for (annotations, used, said) in [
            ("", node("10.0.0.1", "10.1.0.0/24"), "ok    overlap        no pool contains addresses of nodes"),
            ("", node("192.0.2.7", "10.1.0.0/24"), "lan contains 192.0.2.7, the InternalIP of node n;"),
            (exclude, node("192.0.2.7", "10.1.0.0/24"), "no pool contains"),
            ("", node("10.0.0.1", "192.0.0.0/16"), "the range of Pods of node n;"),
            ("", node("192.0.2.7", "192.0.0.0/16"), "the InternalIP of node n and 1 more;"),
            ("", service("192.0.2.9"), "lan contains 192.0.2.9, the cluster IP of Service d/s;"),
            ("", service("None"), "no pool contains"),
        ] {
            let found: Vec<String> =
                judge(&pools(annotations), &used).iter().map(ToString::to_string).collect();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(said), "{said:?}: {found:?}");
        }
        assert_eq!(judge(&Pools::default(), &node("10.0.0.1", "10.1.0.0/24")), []);
    }
}
