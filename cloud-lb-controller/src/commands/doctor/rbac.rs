//! May we do what we have to do?

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use crate::finding::Finding;
use crate::flags::{ElectionFlags, RunFlags};
use crate::providers::Provider;
use crate::rights::Right;

const SUBJECT: &str = "rbac";

/// All that these flags make the program ask of the API server.
pub(super) fn rights(flags: &RunFlags, providers: &[Arc<dyn Provider>]) -> Vec<Right> {
    let mut rights = vec![
        Right::on(("", "services", ""), &["get", "list", "watch"]),
        Right::on(("", "services", "status"), &["patch"]),
        Right::on(("", "nodes", ""), &["list", "watch"]),
        Right::on(("", "events", ""), &["create", "patch"]),
    ];
    if flags.election.leader_elect {
        rights.extend(election(&flags.election));
    }
    rights.extend(providers.iter().flat_map(|provider| provider.rights()));
    rights
}

fn election(flags: &ElectionFlags) -> [Right; 3] {
    let namespace = || Some(flags.leader_elect_resource_namespace.clone());
    let lease = |verbs| Right::on(("coordination.k8s.io", "leases", ""), verbs).in_namespace(namespace());
    [
        // A role cannot narrow creation by name.
        lease(&["create"]),
        lease(&["get", "update"]).named(&flags.leader_elect_resource_name),
        Right::on(("events.k8s.io", "events", ""), &["create"]).in_namespace(namespace()),
    ]
}

/// One question to the API server for each verb.
fn questions(rights: &[Right]) -> Vec<ResourceAttributes> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let question = |right: &Right, verb: &str| ResourceAttributes {
        group: Some(right.group.into()),
        resource: text(right.resource),
        subresource: text(right.subresource),
        verb: Some(verb.into()),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    };
    rights.iter().flat_map(|right| right.verbs.iter().map(move |verb| question(right, verb))).collect()
}

/// Asks, verb by verb, as the identity of the kubeconfig or the pod.
pub(super) async fn look(client: &kube::Client, rights: &[Right]) -> Vec<Finding> {
    let questions = questions(rights);
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
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        run: RunFlags,
    }

    fn asked(flags: &[&str]) -> Vec<String> {
        let flags = Flags::parse_from([&["program"], flags].concat()).run;
        let providers = flags.chosen_providers().unwrap_or_default();
        let show = |q: &ResourceAttributes| {
            [&q.verb, &q.resource, &q.subresource, &q.namespace, &q.name]
                .map(|part| part.clone().unwrap_or_default())
                .join(":")
        };
        questions(&rights(&flags, &providers)).iter().map(show).collect()
    }

    #[test]
    fn only_what_the_flags_make_necessary_is_asked() {
        let least = asked(&["--leader-elect=false"]);
        assert!(least.contains(&"patch:services:status::".into()), "{least:?}");
        assert!(!least.iter().any(|q| q.contains("leases") || q.contains("ipaddresspools")), "{least:?}");
        assert!(least.contains(&"get:services:::".into()), "{least:?}");

        let elected = asked(&["--leader-elect-resource-name=ours"]);
        assert!(elected.contains(&"update:leases::kube-system:ours".into()), "{elected:?}");
        assert!(elected.contains(&"create:leases::kube-system:".into()), "{elected:?}");
    }

    #[cfg(feature = "bare")]
    #[test]
    fn what_a_provider_asks_is_asked_where_it_is_chosen() {
        let namespace = "--bare-pools-namespace=metallb-system";
        let pools = asked(&["--cloud-provider=bare", namespace]);
        assert!(pools.contains(&"watch:ipaddresspools::metallb-system:".into()), "{pools:?}");
        assert!(pools.contains(&"patch:ipaddresspools:status:metallb-system:".into()), "{pools:?}");
        assert!(pools.contains(&"list:namespaces:::".into()), "{pools:?}");
        assert!(!asked(&[namespace]).iter().any(|q| q.contains("ipaddresspools")));
    }

    #[test]
    fn every_missing_verb_is_a_line_that_says_what_to_add() {
        let answers: Vec<_> = questions(&[
            Right::on(("", "services", ""), &["list"]),
            Right::on(("", "services", "status"), &["patch"]),
            Right::on(("", "events", ""), &["patch"]),
        ])
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
