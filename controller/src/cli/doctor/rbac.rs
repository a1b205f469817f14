//! May we do what we have to do?

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::super::flags::RunFlags;
use super::check::Finding;

const SUBJECT: &str = "rbac";

/// In which namespaces a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// In all of them, or the resource has none.
    Cluster,
    /// Where the Lease is, and only for this Lease if the verb names an object.
    Lease,
    /// Where the pools are: in all namespaces, if none was named.
    Pools,
}

/// When a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Always,
    Election,
    PoolsInTheCluster,
    PoolStatus,
    OrphansDeleted,
}

/// One resource and what has to be done with it.
struct Right {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
    scope: Scope,
    need: Need,
}

const fn right(
    (group, resource, subresource): (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
    scope: Scope,
    need: Need,
) -> Right {
    Right { group, resource, subresource, verbs, scope, need }
}

/// All that the controller asks of the API server.
const RIGHTS: &[Right] = &[
    right(("", "services", ""), &["list", "watch"], Scope::Cluster, Need::Always),
    right(("", "services", ""), &["get"], Scope::Cluster, Need::OrphansDeleted),
    right(("", "services", "status"), &["patch"], Scope::Cluster, Need::Always),
    right(("", "nodes", ""), &["list", "watch"], Scope::Cluster, Need::Always),
    right(("", "events", ""), &["create", "patch"], Scope::Cluster, Need::Always),
    right(("coordination.k8s.io", "leases", ""), &["get", "create", "update"], Scope::Lease, Need::Election),
    right(("events.k8s.io", "events", ""), &["create"], Scope::Lease, Need::Election),
    right(("metallb.io", "ipaddresspools", ""), &["list", "watch"], Scope::Pools, Need::PoolsInTheCluster),
    right(("metallb.io", "ipaddresspools", "status"), &["patch"], Scope::Pools, Need::PoolStatus),
    right(("", "namespaces", ""), &["list", "watch"], Scope::Cluster, Need::PoolsInTheCluster),
];

/// Which rights the flags make necessary, and where.
#[derive(Clone, Debug, Default)]
struct Setting {
    /// The Lease's namespace and name, where there is an election.
    lease: Option<(String, String)>,
    /// Whether pools come from the cluster; from one namespace, if it is named.
    pools: Option<Option<String>>,
    /// Whether the counters in their statuses are kept.
    pool_status: bool,
    /// Whether orphans are deleted.
    orphans_deleted: bool,
}

impl Setting {
    fn of(flags: &RunFlags) -> Self {
        let election = &flags.election;
        let lease =
            (election.leader_elect_resource_namespace.clone(), election.leader_elect_resource_name.clone());
        let pools = pools_of(flags);
        Setting {
            lease: election.leader_elect.then_some(lease),
            pool_status: pools.is_some() && writes_pool_status(flags),
            pools,
            orphans_deleted: flags.service.delete_orphans,
        }
    }
}

#[cfg(feature = "bare")]
fn writes_pool_status(flags: &RunFlags) -> bool {
    flags.bare.bare_write_pool_status
}

#[cfg(not(feature = "bare"))]
fn writes_pool_status(_flags: &RunFlags) -> bool {
    false
}

#[cfg(feature = "bare")]
fn pools_of(flags: &RunFlags) -> Option<Option<String>> {
    let from_cluster = super::chose(flags, "bare") && flags.bare.bare_pools_file.is_none();
    from_cluster.then(|| flags.bare.bare_pools_namespace.clone())
}

#[cfg(not(feature = "bare"))]
fn pools_of(_flags: &RunFlags) -> Option<Option<String>> {
    None
}

/// One question to the API server for each verb.
fn questions(setting: &Setting) -> Vec<ResourceAttributes> {
    let needed = RIGHTS.iter().filter(|right| match right.need {
        Need::Always => true,
        Need::Election => setting.lease.is_some(),
        Need::PoolsInTheCluster => setting.pools.is_some(),
        Need::PoolStatus => setting.pool_status,
        Need::OrphansDeleted => setting.orphans_deleted,
    });
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let question = |right: &Right, verb: &str| ResourceAttributes {
        group: Some(right.group.into()),
        resource: text(right.resource),
        subresource: text(right.subresource),
        verb: Some(verb.into()),
        namespace: match right.scope {
            Scope::Cluster => None,
            Scope::Lease => setting.lease.as_ref().map(|(namespace, _)| namespace.clone()),
            Scope::Pools => setting.pools.clone().flatten(),
        },
        // A role cannot narrow creation by name.
        name: match (right.resource, verb) {
            ("leases", "get" | "update") => setting.lease.as_ref().map(|(_, name)| name.clone()),
            _ => None,
        },
        ..ResourceAttributes::default()
    };
    needed.flat_map(|right| right.verbs.iter().map(move |verb| question(right, verb))).collect()
}

/// Asks, verb by verb, as the identity of the kubeconfig or the pod.
pub async fn look(client: &kube::Client, flags: &RunFlags) -> Vec<Finding> {
    let questions = questions(&Setting::of(flags));
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answers = join_all(questions.into_iter().map(async |question| {
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(question.clone()), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok((question, answer.status.is_some_and(|status| status.allowed)))
    }));
    match answers.await.into_iter().collect::<kube::Result<Vec<_>>>() {
        Ok(answers) => judge(&answers),
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

fn judge(answers: &[(ResourceAttributes, bool)]) -> Vec<Finding> {
    let denied: Vec<Finding> =
        answers.iter().filter(|(_, allowed)| !allowed).map(|(question, _)| missing(question)).collect();
    if denied.is_empty() {
        return vec![Finding::ok(SUBJECT, format!("all {} rights it needs are there", answers.len()))];
    }
    denied
}

fn missing(question: &ResourceAttributes) -> Finding {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut resource = part(&question.resource);
    if let Some(subresource) = &question.subresource {
        resource = format!("{resource}/{subresource}");
    }
    let place = match &question.namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in all namespaces".into(),
    };
    Finding::fail(
        SUBJECT,
        format!("may not {} {resource} {place}", part(&question.verb)),
        format!(
            "add verb {:?} on {resource:?} of apiGroup {:?} to its role",
            part(&question.verb),
            part(&question.group)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(setting: &Setting) -> Vec<String> {
        let show = |q: &ResourceAttributes| {
            [&q.verb, &q.resource, &q.subresource, &q.namespace, &q.name]
                .map(|part| part.clone().unwrap_or_default())
                .join(":")
        };
        questions(setting).iter().map(show).collect()
    }

    #[test]
    fn only_what_the_flags_make_necessary_is_asked() {
        let bare = asked(&Setting::default());
        assert!(bare.contains(&"patch:services:status::".into()), "{bare:?}");
        assert!(!bare.iter().any(|q| q.contains("leases") || q.contains("ipaddresspools")), "{bare:?}");
        assert!(!bare.contains(&"get:services:::".into()), "{bare:?}");

        let all = asked(&Setting {
            lease: Some(("kube-system".into(), "ours".into())),
            pools: Some(Some("metallb-system".into())),
            pool_status: true,
            orphans_deleted: true,
        });
        assert!(all.contains(&"update:leases::kube-system:ours".into()), "{all:?}");
        assert!(all.contains(&"create:leases::kube-system:".into()), "{all:?}");
        assert!(all.contains(&"watch:ipaddresspools::metallb-system:".into()), "{all:?}");
        assert!(all.contains(&"patch:ipaddresspools:status:metallb-system:".into()), "{all:?}");
        assert!(all.contains(&"list:namespaces:::".into()), "{all:?}");
        assert!(all.contains(&"get:services:::".into()), "{all:?}");
    }

    #[test]
    fn every_missing_verb_is_a_line_that_says_what_to_add() {
        let answers: Vec<_> = questions(&Setting::default())
            .into_iter()
            .map(|q| (q.clone(), q.verb.as_deref() != Some("patch")))
            .collect();
        let said: Vec<String> = judge(&answers).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "fail  rbac           may not patch services/status in all namespaces; add verb \"patch\" on \
                 \"services/status\" of apiGroup \"\" to its role",
                "fail  rbac           may not patch events in all namespaces; add verb \"patch\" on \"events\" of \
                 apiGroup \"\" to its role",
            ]
        );
        let granted: Vec<_> = answers.into_iter().map(|(q, _)| (q, true)).collect();
        assert_eq!(judge(&granted).len(), 1);
    }
}
