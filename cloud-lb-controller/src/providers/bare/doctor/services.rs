//! Do the statuses of Services fit the pools, each other, and what we say of them?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use apiserver_client::Lean;
use cloud_provider::kubernetes::service_view;
use cloud_provider::{Ordered, ServiceView, some_of};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use metallb::manifest;
use metallb::pools::Pools;
use provider_bare::desired::Options;
use provider_bare::plan::AnnouncerKind;
use service_controller::status::{Readiness, records};

use super::super::flags::BareFlags;
use crate::finding::Finding;

const SUBJECT: &str = "addresses";

/// The provider's name in its conditions.
const PROVIDER: &str = "bare";

/// The namespace of a pool that is to be made, where there is no pool to take it from: MetalLB's own.
const USUAL_POOL_NAMESPACE: &str = "metallb-system";

/// How many of a kind are named; the others are counted.
const MAX_NAMED: usize = 5;

/// What does not fit.
pub(super) async fn look(client: &kube::Client, flags: &BareFlags, pools: &Pools) -> Vec<Finding> {
    match Api::<Lean<Service>>::all(client.clone()).list(&ListParams::default()).await {
        Ok(services) => judge(&services.items.into_iter().map(|it| it.0).collect::<Vec<_>>(), flags, pools),
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

fn judge(services: &[Service], flags: &BareFlags, pools: &Pools) -> Vec<Finding> {
    let views: Vec<ServiceView> = services.iter().map(service_view).collect();
    let is_ours =
        |view: &&ServiceView| view.wants_load_balancer && flags.bare_class.matches(view.class.as_deref());
    let ours: Vec<&ServiceView> = views.iter().filter(is_ours).collect();
    let mut findings = Vec::new();
    if flags.bare_announcer == AnnouncerKind::MetalLb {
        findings.extend(in_no_pool(&ours, pools));
        findings.extend(of_two_pools(&ours, pools));
    }
    if !flags.bare_share_across_namespaces {
        findings.extend(shared_across_namespaces(&ours));
    }
    findings.extend(outdated_conditions(services, &views));
    findings
}

fn in_no_pool(services: &[&ServiceView], pools: &Pools) -> Option<Finding> {
    let outside = |ip: &IpAddr| pools.owner(*ip).is_none();
    let shown =
        services.iter().flat_map(|service| service.published_ips().map(move |ip| (ip, &service.id.key)));
    let shown: BTreeMap<IpAddr, _> = shown.filter(|(ip, _)| outside(ip)).ordered();
    if shown.is_empty() {
        return None;
    }
    let named = some_of(shown.iter().map(|(ip, service)| format!("{ip} of {service}")), MAX_NAMED, ", ");
    let addresses: Vec<IpAddr> = shown.keys().copied().collect();
    let namespace = pools.iter().next().map_or(USUAL_POOL_NAMESPACE, |pool| &pool.namespace);
    Some(Finding::warn(
        SUBJECT,
        format!(
            "in no pool: {named}; MetalLB's speaker refuses new configuration until one holds them again"
        ),
        format!("the smallest that does: {}", manifest::holding("kept-addresses", namespace, &addresses)),
    ))
}

fn of_two_pools(services: &[&ServiceView], pools: &Pools) -> Option<Finding> {
    let named = services.iter().filter_map(|service| {
        let names: BTreeSet<&str> =
            service.published_ips().filter_map(|ip| Some(pools.owner(ip)?.name.as_str())).ordered();
        (names.len() > 1)
            .then(|| format!("{} of {}", service.id.key, names.into_iter().collect::<Vec<_>>().join(" and ")))
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| {
        Finding::warn(
            SUBJECT,
            format!(
                "of two pools: {}; MetalLB's speaker announces no such Service",
                some_of(named, MAX_NAMED, ", ")
            ),
            "let one pool have both families, or start with --bare-announcer=own if another announces",
        )
    })
}

/// Services of several namespaces on one address, by a key that they share. Which key, is printed for nobody.
fn shared_across_namespaces(services: &[&ServiceView]) -> Option<Finding> {
    let mut sharing: BTreeMap<(IpAddr, String), BTreeMap<&str, String>> = BTreeMap::new();
    for service in services {
        let Some(key) = Options::sharing_key(service) else { continue };
        for ip in service.published_ips() {
            let of_key = sharing.entry((ip, key.clone())).or_default();
            of_key.entry(&service.id.key.namespace).or_insert_with(|| service.id.key.to_string());
        }
    }
    let across = sharing.into_iter().filter(|(_, services)| services.len() > 1);
    let named: Vec<String> = across
        .map(|((ip, _), services)| {
            format!("{ip} of {}", services.into_values().collect::<Vec<_>>().join(" and "))
        })
        .collect();
    (!named.is_empty()).then(|| {
        Finding::warn(
            SUBJECT,
            format!(
                "shared across namespaces by one key: {}; all but the oldest would move",
                some_of(named, MAX_NAMED, ", ")
            ),
            "start with --bare-share-across-namespaces, which lets whoever knows a key join from any namespace",
        )
    })
}

/// Conditions of ours that say "ready" with addresses that the status does not show (any more).
fn outdated_conditions(services: &[Service], views: &[ServiceView]) -> Option<Finding> {
    let outdated = services.iter().zip(views).filter_map(|(service, view)| {
        let record = records(service).into_iter().find(|record| record.provider == PROVIDER)?;
        let shown: Vec<IpAddr> = view.published_ips().collect();
        let mut named = record.message.split([',', ' ']).filter_map(|word| word.parse::<IpAddr>().ok());
        let lacking = named.find(|ip| !shown.contains(ip)).filter(|_| record.ready == Readiness::True)?;
        Some(format!("{lacking} of {}", view.id.key))
    });
    let outdated: Vec<String> = outdated.collect();
    (!outdated.is_empty()).then(|| {
        Finding::warn(
            SUBJECT,
            format!("named by our conditions and shown by no status: {}", some_of(outdated, MAX_NAMED, ", ")),
            "if MetalLB's controller is back, run: cloud-lb-controller remove-conditions --cloud-provider bare",
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};
    use serde_json::{Value, json};

    use super::*;

    fn flags(arguments: &[&str]) -> BareFlags {
        let arguments = std::iter::once(&"program").chain(arguments);
        let matches = BareFlags::augment_args(Command::new("program")).get_matches_from(arguments);
        BareFlags::from_arg_matches(&matches).unwrap()
    }

    fn pools() -> Pools {
        let pool = |name: &str, addresses: &str| {
            format!(
                "---\n{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}, namespace: m}}, spec: \
                 {{addresses: [\"{addresses}\"]}}}}\n"
            )
        };
        Pools::parse(&manifest::parse(&(pool("four", "192.0.2.0/24") + &pool("six", "2001:db8::/64"))).pools)
            .0
    }

    fn service(namespace: &str, name: &str, ips: &[&str], more: Value) -> Service {
        let ingress: Vec<Value> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
        let mut service = json!({
            "metadata": { "namespace": namespace, "name": name, "uid": format!("{namespace}-{name}") },
            "spec": { "type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{ "port": 80 }] },
            "status": { "loadBalancer": { "ingress": ingress } },
        });
        if let Some(annotations) = more.get("annotations") {
            service["metadata"]["annotations"] = annotations.clone();
        }
        if let Some(conditions) = more.get("conditions") {
            service["status"]["conditions"] = conditions.clone();
        }
        serde_json::from_value(service).unwrap()
    }

    fn said(services: &[Service], arguments: &[&str]) -> Vec<String> {
        judge(services, &flags(arguments), &pools()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_that_fit_are_no_finding() {
        let key = json!({ "annotations": { "metallb.io/allow-shared-ip": "secret" } });
        let fitting = [
            service("a", "one", &["192.0.2.1"], key.clone()),
            service("a", "two", &["192.0.2.1"], key),
            service("a", "none", &[], json!({})),
        ];
        assert_eq!(said(&fitting, &[]), [""; 0]);
    }

    #[test]
    fn an_address_in_no_pool_is_named_with_the_smallest_pool_that_holds_it() {
        let found = said(&[service("a", "web", &["198.51.100.7"], json!({}))], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("in no pool: 198.51.100.7 of a/web"), "{found:?}");
        let (start, end) = (found[0].find('{').unwrap(), found[0].rfind('}').unwrap());
        let mending = manifest::parse(&found[0][start..=end]).pools;
        let (pools, mistakes) = Pools::parse(&mending);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let pool = pools.owner("198.51.100.7".parse().unwrap()).unwrap();
        assert_eq!((pool.namespace.as_str(), pool.auto_assign), ("m", false));
        assert_eq!(
            said(&[service("a", "web", &["198.51.100.7"], json!({}))], &["--bare-announcer=own"]),
            [""; 0]
        );
    }

    #[test]
    fn a_service_of_two_pools_is_named() {
        let found = said(&[service("a", "web", &["192.0.2.1", "2001:db8::1"], json!({}))], &[]);
        assert!(found[0].contains("of two pools: a/web of four and six"), "{found:?}");
    }

    #[test]
    fn a_key_that_is_shared_across_namespaces_is_found_and_not_printed() {
        let key = json!({ "annotations": { "metallb.io/allow-shared-ip": "secret" } });
        let sharing =
            [service("a", "one", &["192.0.2.1"], key.clone()), service("b", "two", &["192.0.2.1"], key)];
        let found = said(&sharing, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("192.0.2.1 of a/one and b/two"), "{found:?}");
        assert!(
            found[0].contains("--bare-share-across-namespaces") && !found[0].contains("secret"),
            "{found:?}"
        );
        assert_eq!(said(&sharing, &["--bare-share-across-namespaces"]), [""; 0]);
    }

    #[test]
    fn a_condition_that_names_what_the_status_lacks_is_found() {
        let ready = |message: &str, status: &str| {
            let condition = json!({
                "type": "bare.cloud-lb-controller/Ready", "status": status, "reason": "Ensured", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            json!({ "conditions": [condition] })
        };
        let found = said(&[service("a", "web", &["192.0.2.9"], ready("192.0.2.1, 192.0.2.9", "True"))], &[]);
        assert!(found[0].contains("shown by no status: 192.0.2.1 of a/web"), "{found:?}");
        for (shown, status) in [("192.0.2.1", "True"), ("192.0.2.9", "False")] {
            assert_eq!(said(&[service("a", "web", &[shown], ready("192.0.2.1", status))], &[]), [""; 0]);
        }
    }
}
