//! Is there somebody to be told of every pool: an advertisement that takes its addresses, and peers for those to routers?

use ::metallb::announcing::{Announcing, Definitions};
use ::metallb::crd::{BFDProfile, BGPAdvertisement, BGPPeer, Community, L2Advertisement};
use ::metallb::pools::Pools;
use ::metallb::written::{ResourceSpec, Written};
use apiserver_client::Lean;
use cloud_provider::NodeView;
use cloud_provider::kubernetes::node_view;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, Resource};

use super::super::flags::BareFlags;
use crate::finding::Finding;

const SUBJECT: &str = "advertisements";

/// What is wrong with what is said about announcing.
pub(super) async fn look(client: &Client, flags: &BareFlags, pools: &Pools) -> Vec<Finding> {
    let definitions = match definitions(client, flags).await {
        Ok(definitions) => definitions,
        Err(error) => return vec![Finding::unseen(SUBJECT, &error)],
    };
    match Api::<Lean<Node>>::all(client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => {
            judge(pools, &definitions, &nodes.iter().map(|node| node_view(&node.0)).collect::<Vec<_>>())
        }
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

async fn definitions(client: &Client, flags: &BareFlags) -> kube::Result<Definitions> {
    let namespace = flags.bare_pools_namespace.as_deref();
    Ok(Definitions {
        layer2: written::<L2Advertisement, _>(client, namespace).await?,
        bgp: written::<BGPAdvertisement, _>(client, namespace).await?,
        peers: written::<BGPPeer, _>(client, namespace).await?,
        bfd_profiles: written::<BFDProfile, _>(client, namespace).await?,
        communities: written::<Community, _>(client, namespace).await?,
    })
}

/// The objects of a kind, as somebody wrote them; none where the cluster does not have the kind.
async fn written<K, S>(client: &Client, namespace: Option<&str>) -> kube::Result<Vec<Written<S>>>
where
    K: Resource<DynamicType = ()>,
    S: ResourceSpec,
{
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let read = |object: DynamicObject| {
        Written::read(&object.metadata, object.data.get("spec").cloned().unwrap_or_default())
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items.into_iter().map(read).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn judge(pools: &Pools, definitions: &Definitions, nodes: &[NodeView]) -> Vec<Finding> {
    let (announcing, mistakes) = Announcing::parse(definitions);
    let mut findings: Vec<Finding> =
        mistakes.iter().map(|mistakes| Finding::fail(SUBJECT, mistakes, "correct it")).collect();
    let loose = announcing.loose_ends(pools, &nodes.iter().collect::<Vec<_>>());
    findings
        .extend(loose.iter().map(|mistakes| Finding::warn(SUBJECT, mistakes, "correct it, or take it out")));
    if !announcing.bgp().is_empty() && announcing.peers().next().is_none() {
        findings.push(Finding::warn(
            SUBJECT,
            "there are BGPAdvertisements and no BGPPeer in force: no router is told",
            "create a BGPPeer",
        ));
    }
    let (with, without): (Vec<_>, Vec<_>) = pools.iter().partition(|pool| {
        announcing.layer2().iter().any(|it| it.pools.includes(pool))
            || announcing.bgp().iter().any(|it| it.pools.includes(pool))
    });
    findings.extend(without.iter().map(|pool| {
        Finding::warn(
            SUBJECT,
            format!("none takes addresses of pool {}: nobody announces them", pool.name),
            "create an L2Advertisement or a BGPAdvertisement; without ipAddressPools it takes every pool",
        )
    }));
    if without.is_empty() && !with.is_empty() {
        findings.push(Finding::ok(SUBJECT, "every pool has one"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use ::metallb::manifest;
    use serde_json::{Value, json};

    use super::*;
    use crate::finding::Severity::{self, Fail, Ok, Warn};

    fn written<S: ResourceSpec>(name: &str, spec: &Value) -> Written<S> {
        Written::from_json(
            &json!({ "metadata": { "name": name, "namespace": "metallb-system" }, "spec": spec }),
        )
    }

    fn layer2(spec: &Value) -> Definitions {
        Definitions { layer2: vec![written("lan", spec)], ..Definitions::default() }
    }

    /// Two pools, `a` and `b`.
    fn pools() -> Pools {
        let pool = |name: &str, range: &str| {
            format!(
                "---\n{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}}}, spec: {{addresses: [{range}]}}}}\n"
            )
        };
        Pools::parse(&manifest::parse(&(pool("a", "192.0.2.0/28") + &pool("b", "192.0.2.16/28"))).pools).0
    }

    #[track_caller]
    fn check(definitions: &Definitions, verdicts: &[Severity], said: &str) {
        let findings = judge(&pools(), definitions, &[NodeView::new("n1")]);
        let shown: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(shown, verdicts, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.says.contains(said)), "{said:?}: {findings:?}");
    }

    #[test]
    fn a_pool_that_no_advertisement_takes_is_named() {
        check(
            &Definitions::default(),
            &[Warn, Warn],
            "none takes addresses of pool b: nobody announces them",
        );
        check(&layer2(&json!({})), &[Ok], "every pool has one");
        check(&layer2(&json!({ "ipAddressPools": ["a"] })), &[Warn], "none takes addresses of pool b");
    }

    #[test]
    fn what_an_advertisement_names_and_is_not_there_is_named() {
        check(
            &layer2(&json!({ "ipAddressPools": ["a", "b", "c"] })),
            &[Warn, Ok],
            "\"c\" is the name of no IPAddressPool",
        );
        let of_no_node = json!({ "nodeSelectors": [{ "matchLabels": { "rack": "r9" } }] });
        check(&layer2(&of_no_node), &[Warn, Ok], "\"rack=r9\" fits no Node");
        let bgp = Definitions { bgp: vec![written("all", &json!({}))], ..Definitions::default() };
        check(&bgp, &[Warn, Ok], "no BGPPeer in force: no router is told");
    }

    #[test]
    fn an_advertisement_with_a_mistake_is_a_failure_and_the_others_count() {
        let definitions = Definitions {
            bgp: vec![written("wrong", &json!({ "aggregationLength": 64 }))],
            ..layer2(&json!({}))
        };
        check(&definitions, &[Fail, Ok], "spec.aggregationLength");
    }
}
