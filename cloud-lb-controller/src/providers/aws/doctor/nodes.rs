//! Are the nodes instances that load balancers can send traffic to, and can we open them?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver_client::Lean;
use cloud_provider::kubernetes::node_view;
use cloud_provider::{NodeSet, Ordered, some_of};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use provider_aws::client::{Aws, Instance, SecurityGroupQuery};
use provider_aws::targets;

use super::super::rights::unread;
use crate::finding::Finding;

const SUBJECT: &str = "targets";

/// What is wrong with the nodes as targets, and the security groups that would be opened.
pub(super) async fn look(
    client: &kube::Client,
    aws: &Aws,
    vpc: &str,
    cluster: Option<&str>,
) -> (Vec<Finding>, BTreeSet<String>) {
    let nodes = match Api::<Lean<Node>>::all(client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => NodeSet::of(nodes.items.iter().map(|node| node_view(&node.0))),
        Err(error) => return (vec![Finding::unseen(SUBJECT, &error)], BTreeSet::new()),
    };
    let ids = targets::candidates(&nodes, &BTreeMap::new()).instances.into_keys().ordered();
    let instances = match aws.instances(&ids).await {
        Ok(instances) => instances,
        Err(error) => return (vec![unread(SUBJECT, &error)], BTreeSet::new()),
    };
    let findings = judge(&nodes, &instances, vpc);
    let groups: BTreeSet<String> =
        instances.values().flat_map(|instance| instance.security_groups.iter().cloned()).ordered();
    let query = SecurityGroupQuery { ids: groups.into_iter().collect(), ..SecurityGroupQuery::default() };
    let of_cluster = match (cluster, query.ids.is_empty()) {
        (Some(cluster), false) => aws.security_groups(&query).await.ok().map(|groups| {
            let tag = format!("kubernetes.io/cluster/{cluster}");
            groups.iter().filter(|g| g.tags.contains_key(&tag)).map(|g| g.id.clone()).ordered()
        }),
        _ => None,
    };
    let of_cluster: BTreeSet<String> = of_cluster.unwrap_or_default();
    (findings, targets::node_groups(instances.into_values(), |id| of_cluster.contains(id)))
}

fn judge(nodes: &NodeSet, instances: &BTreeMap<String, Arc<Instance>>, vpc: &str) -> Vec<Finding> {
    let candidates = targets::candidates(nodes, &BTreeMap::new());
    let chosen = targets::choose(candidates, instances, vpc);
    let usable = chosen.instances.as_ref().map_or(0, BTreeMap::len);
    let all = usable + chosen.refused.len();
    let mut findings = vec![match (usable, all) {
        (0, 0) => Finding::warn(SUBJECT, "no node may take traffic yet", "load balancers wait for the first"),
        (0, _) => Finding::fail(
            SUBJECT,
            format!("none of {all} nodes is an instance in {vpc} that can take traffic"),
            "the lines that follow say why",
        ),
        _ => Finding::ok(SUBJECT, format!("{usable} of {all} nodes are instances in {vpc}")),
    }];
    const MAX_SHOWN: usize = 5;
    // Those without a provider ID are named by the check of nodes.
    let is_nameless = |name: &str| nodes.iter().any(|node| node.name == name && node.provider_id.is_empty());
    let refused: Vec<_> = chosen.refused.iter().filter(|(name, _)| !is_nameless(name)).collect();
    let shown = refused.iter().take(MAX_SHOWN).map(|(node, why)| {
        Finding::warn(SUBJECT, format!("node {node} gets no traffic: {why}"), "the others are not affected")
    });
    findings.extend(shown);
    let others = refused.iter().skip(MAX_SHOWN).map(|(node, _)| node);
    if others.len() > 0 {
        let others = some_of(others, MAX_SHOWN, ", ");
        findings.push(Finding::warn(
            SUBJECT,
            format!("no traffic either for {others}"),
            "mend those before first",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes(provider_ids: &[(&str, &str)]) -> NodeSet {
        let node = |(name, id): &(&str, &str)| {
            let node = json!({ "metadata": { "name": name }, "spec": { "providerID": id } });
            node_view(&serde_json::from_value(node).unwrap())
        };
        NodeSet::of(provider_ids.iter().map(node))
    }

    fn instances(known: &[(&str, &str)]) -> BTreeMap<String, Arc<Instance>> {
        let instance = |(id, vpc): &(&str, &str)| {
            let mut instance = Instance::new(*id, "m7g.large", "a");
            instance.vpc_id = Some((*vpc).to_owned());
            ((*id).to_owned(), Arc::new(instance))
        };
        known.iter().map(instance).collect()
    }

    #[test]
    fn what_is_said_of_nodes_as_targets() {
        for (ids, known, said) in [
            (
                &[("a", "aws:///z/i-1")][..],
                &[("i-1", "vpc-1")][..],
                vec!["ok    targets        1 of 1 nodes are instances in vpc-1"],
            ),
            (
                &[("a", "aws:///z/i-1"), ("b", "")],
                &[("i-1", "vpc-1")],
                vec!["ok    targets        1 of 2 nodes are instances in vpc-1"],
            ),
            (
                &[("a", "aws:///z/i-1"), ("b", "elsewhere://b")],
                &[("i-1", "vpc-1")],
                vec![
                    "ok    targets        1 of 2 nodes are instances in vpc-1",
                    "warn  targets        node b gets no traffic: its provider ID \"elsewhere://b\" is no EC2 instance; \
                     the others are not affected",
                ],
            ),
            (
                &[("a", "aws:///z/i-1")],
                &[("i-1", "vpc-2")],
                vec![
                    "fail  targets        none of 1 nodes is an instance in vpc-1 that can take traffic; the lines that \
                     follow say why",
                    "warn  targets        node a gets no traffic: i-1 is in vpc-2, not in vpc-1; the others are not \
                     affected",
                ],
            ),
            (
                &[],
                &[],
                vec!["warn  targets        no node may take traffic yet; load balancers wait for the first"],
            ),
        ] {
            let found = judge(&nodes(ids), &instances(known), "vpc-1");
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), said);
        }
    }

    #[test]
    fn of_many_refused_nodes_five_have_a_line_and_the_others_share_one() {
        let ids: Vec<(String, &str)> = (10..24).map(|n| (format!("n{n}"), "elsewhere://x")).collect();
        let ids: Vec<(&str, &str)> = ids.iter().map(|(name, id)| (name.as_str(), *id)).collect();
        let found = judge(&nodes(&ids), &BTreeMap::new(), "vpc-1");
        assert_eq!(found.len(), 1 + 5 + 1, "{found:?}");
        let others = "no traffic either for n15, n16, n17, n18, n19 and 4 more; ";
        assert!(found[6].says.starts_with(others), "{found:?}");
    }
}
