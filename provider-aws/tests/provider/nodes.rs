//! Nodes that come, go, come back, or cannot be let in.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cloud_provider::testing::{a_node, request};
use cloud_provider::{
    CloudLoadBalancer, ErrorClass, Mistake, NodeSet, Note, NoteKind, Outcome, Request, ServiceView,
};
use provider_aws::client::fake::{Fault, InstanceSeed, Quotas};
use provider_aws::client::{
    Call, Ec2, Elbv2, IngressRule, InstanceState, RuleSource, Select, Tags, Target, Traffic,
};

use crate::fixture::{Cluster, a_cluster, group, nodes_of, web};

/// A node whose security group is another one than the others'.
fn a_node_of_another_group(cluster: &Cluster, name: &str) -> (String, String) {
    let group = cluster.aws.seed_security_group(&cluster.vpc.id, name, Tags::new(), Vec::new());
    let instance = cluster.aws.seed_instance(InstanceSeed {
        subnet_id: cluster.vpc.private[0].clone(),
        security_groups: vec![group.clone()],
        instance_type: "m7g.large".to_owned(),
        tags: Tags::new(),
    });
    (instance, group)
}

/// What was logged meanwhile.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn about(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|message| message.contains(what)).count()
    }
}

impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            fields.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().unwrap().push(fields);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

async fn is_open(cluster: &Cluster, id: &str) -> bool {
    let from_a_group = |rule: &IngressRule| matches!(rule.source, RuleSource::Group(_));
    group(&cluster.aws, id).await.ingress.iter().any(from_a_group)
}

fn notes(outcome: &Outcome) -> &[Note] {
    match outcome {
        Outcome::Ready(ready) => &ready.notes,
        Outcome::Pending(pending) => &pending.notes,
    }
}

#[tokio::test(start_paused = true)]
async fn new_nodes_that_could_not_be_opened_are_opened_at_the_next_try_and_old_ones_stay_until_then() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let (instance, node_group) = a_node_of_another_group(&cluster, "new-nodes");
    let replaced = request(&service, &nodes_of([&instance]));
    cluster.aws.fail_nth(Call::AuthorizeSecurityGroupIngress, 1, Fault::before("UnauthorizedOperation"));
    let error = cluster.provider.update_backends(&replaced).await.expect_err("the new group is not opened");
    assert_eq!(error.class(), ErrorClass::Denied, "{error}");
    assert!(!is_open(&cluster, &node_group).await);
    let serving: BTreeSet<String> = cluster.targets().await.into_iter().map(|target| target.id).collect();
    assert!(cluster.instances.iter().all(|id| serving.contains(id)), "nodes that serve stay: {serving:?}");

    cluster.provider.update_backends(&replaced).await.unwrap();
    assert!(is_open(&cluster, &node_group).await, "it is remembered only after success");
    assert_eq!(cluster.targets().await, [Target::new(&instance, 30080)]);
}

/// A Service that serves on the cluster's nodes, as the next process finds it with a mistake in it.
async fn a_service_with_a_mistake_in_the_next_process(cluster: &mut Cluster) -> ServiceView {
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    service.mistakes.push(Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network"));
    cluster.restart(&[service.clone().into()]).await;
    service
}

#[tokio::test(start_paused = true)]
async fn new_nodes_of_another_group_are_opened_also_for_a_service_with_a_mistake_after_a_restart() {
    let mut cluster = a_cluster(2).await;
    let wrong = a_service_with_a_mistake_in_the_next_process(&mut cluster).await;
    let (instance, node_group) = a_node_of_another_group(&cluster, "new-nodes");

    let nodes = nodes_of(cluster.instances.iter().chain([&instance]));
    cluster.provider.update_backends(&Request::with_mistakes(wrong.into(), nodes)).await.unwrap();

    assert!(is_open(&cluster, &node_group).await);
    assert_eq!(cluster.targets().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nodes_are_not_opened_for_a_service_with_a_mistake_whose_load_balancer_has_no_groups() {
    let mut cluster = a_cluster(2).await;
    let no_group = format!("{}disable-nlb-sg", crate::fixture::PREFIX);
    let mut service = web("web").annotation(&no_group, "true").build();
    cluster.ready(&mut service).await;
    service.mistakes.push(Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network"));
    // Another Service of the cluster has the group that nodes are opened to.
    cluster.ready(&mut web("other").build()).await;
    cluster.restart(&[service.clone().into()]).await;
    let (instance, node_group) = a_node_of_another_group(&cluster, "new-nodes");

    let nodes = nodes_of(cluster.instances.iter().chain([&instance]));
    cluster.provider.update_backends(&Request::with_mistakes(service.into(), nodes)).await.unwrap();

    assert!(!is_open(&cluster, &node_group).await, "somebody else sees to it");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_takes_away_from_nodes_comes_back_though_the_service_has_a_mistake_since_before_a_restart()
 {
    let mut cluster = a_cluster(2).await;
    let wrong = a_service_with_a_mistake_in_the_next_process(&mut cluster).await;
    let request = Request::with_mistakes(wrong.into(), cluster.nodes());
    cluster.provider.update_backends(&request).await.unwrap();
    let targets = cluster.targets().await;
    let mut node_group = String::new();
    cluster.aws.change_instance(&cluster.instances[0], |it| {
        node_group = it.security_groups.first().unwrap().clone();
    });

    let target_group = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items.remove(0);
    cluster.aws.deregister_targets(&target_group.arn, &targets[..1]).await.unwrap();
    let rules = group(&cluster.aws, &node_group).await.ingress;
    cluster.aws.revoke_security_group_ingress(&node_group, &rules).await.unwrap();
    assert!(!is_open(&cluster, &node_group).await);
    tokio::time::advance(cluster.config.deep_verification).await;
    cluster.provider.update_backends(&request).await.unwrap();

    assert_eq!(cluster.targets().await, targets);
    assert!(is_open(&cluster, &node_group).await);
}

#[tokio::test(start_paused = true)]
async fn a_group_of_nodes_that_cannot_be_opened_is_told_for_as_long_as_it_is_shut() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let (instance, node_group) = a_node_of_another_group(&cluster, "full");
    let nodes = nodes_of(cluster.instances.iter().chain([&instance]));
    cluster.aws.set_quotas(Quotas::with(|quotas| quotas.rules_per_group = 0));
    for _ in 0..3 {
        let error = cluster.provider.update_backends(&request(&service, &nodes)).await.expect_err("a quota");
        assert_eq!(error.class(), ErrorClass::Quota, "{error}");
    }
    let outcome = cluster.provider.ensure(&request(&service, &nodes)).await.unwrap();
    let Outcome::Pending(pending) = outcome else { panic!("nodes are shut: {outcome:?}") };
    assert!(pending.why.contains("RulesPerSecurityGroupLimitExceeded"), "{}", pending.why);
    let after_it = cluster.provider.update_backends(&request(&service, &nodes)).await;
    assert_eq!(after_it.expect_err("it is as shut as before").class(), ErrorClass::Quota);
    assert!(!is_open(&cluster, &node_group).await);
}

#[tokio::test(start_paused = true)]
async fn one_group_of_nodes_that_cannot_be_opened_keeps_no_other_one_shut() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let added: Vec<(String, String)> =
        ["one", "two"].iter().map(|name| a_node_of_another_group(&cluster, name)).collect();
    let nodes = nodes_of(cluster.instances.iter().chain(added.iter().map(|(instance, _)| instance)));
    cluster.aws.fail_nth(Call::AuthorizeSecurityGroupIngress, 1, Fault::before("UnauthorizedOperation"));
    cluster.provider.update_backends(&request(&service, &nodes)).await.expect_err("one is refused");
    let mut open = 0;
    for (_, group) in &added {
        open += usize::from(is_open(&cluster, group).await);
    }
    assert_eq!(open, 1);
    assert_eq!(cluster.targets().await.len(), 4, "all are targets all the same");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_instance_was_stopped_and_is_started_is_a_target_at_once() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let stopped = &cluster.instances[1];
    let restarted = cluster.aws.clone();
    let one = nodes_of(&cluster.instances[..1]);
    cluster.provider.update_backends(&request(&service, &one)).await.unwrap();
    tokio::time::advance(std::time::Duration::from_secs(700)).await;
    restarted.change_instance(stopped, |instance| instance.state = InstanceState::Stopped);
    cluster.provider.update_backends(&cluster.request(&service)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 1, "it is stopped");
    restarted.change_instance(stopped, |instance| instance.state = InstanceState::Running);
    cluster.provider.update_backends(&cluster.request(&service)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_in_a_zone_without_a_subnet_of_the_load_balancer_are_named_with_the_zone() {
    let cluster = a_cluster(3).await;
    let subnets = format!("{}subnets", crate::fixture::PREFIX);
    let two_zones = cluster.vpc.private[..2].join(",");
    let service = web("web").annotation(&subnets, &two_zones).build();
    let outcome = cluster.ensure(&service).await.unwrap();
    let note = notes(&outcome).iter().find(|note| note.reason == "ZoneWithoutSubnet").expect("a warning");
    assert_eq!(note.kind, NoteKind::Warning);
    assert!(note.message.contains("us-east-1c: n0002"), "{}", note.message);
    let all = cluster.ensure(&web("all").build()).await.unwrap();
    assert!(notes(&all).is_empty(), "{:?}", notes(&all));
}

#[tokio::test(start_paused = true)]
async fn fargate_nodes_are_no_warning_on_any_service_and_are_said_once_in_the_log() {
    let cluster = a_cluster(1).await;
    let fargate = "aws:///us-east-1a/0123abcd-4567/fargate-ip-10-0-0-1.ec2.internal";
    let nodes = NodeSet::of([
        a_node("n1").provider_id(&format!("aws:///us-east-1a/{}", cluster.instances[0])).build(),
        a_node("fargate").provider_id(fargate).build(),
    ]);
    let told = Told::default();
    let _telling = tracing::subscriber::set_default(told.clone());
    for name in ["web", "shop", "mail"] {
        let outcome = cluster.provider.ensure(&request(&web(name).build(), &nodes)).await.unwrap();
        assert!(notes(&outcome).is_empty(), "{:?}", notes(&outcome));
    }
    assert_eq!(told.about("nodes of Fargate are no instances"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_deleted_is_told_with_the_rule_that_names_it() {
    let cluster = a_cluster(1).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let named = cluster.load_balancer().await.security_groups;
    let mut frontend = String::new();
    for id in named {
        if group(&cluster.aws, &id).await.name.starts_with("k8s-default-web-") {
            frontend = id;
        }
    }
    let rule = IngressRule {
        traffic: Traffic::Tcp { from: 5432, to: 5432 },
        source: RuleSource::Group(frontend.clone()),
        description: None,
    };
    let holder = cluster.aws.seed_security_group(&cluster.vpc.id, "database", Tags::new(), vec![rule]);
    let error = cluster.provider.delete(&service.id).await.expect_err("a rule names it").to_string();
    for expected in [&frontend, &holder, "database", "tcp 5432-5432"] {
        assert!(error.contains(expected), "{expected:?} is not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_mistake_whose_node_port_has_changed_before_follows_its_nodes_on_the_one_of_now() {
    let mut cluster = a_cluster(3).await;
    let mut service = web("web").build();
    let two = nodes_of(&cluster.instances[..2]);
    cluster.ready_on(&mut service, &two).await;
    service.ports[0].node_port = Some(31_234);
    cluster.ready_on(&mut service, &two).await;
    cluster.aws.settle();
    service.mistakes.push(Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network"));
    for is_new_process in [false, true] {
        if is_new_process {
            cluster.restart(&[service.clone().into()]).await;
        }
        for nodes in [cluster.nodes(), nodes_of(&cluster.instances[..2])] {
            let request = Request::with_mistakes(service.clone().into(), nodes.clone());
            cluster.provider.update_backends(&request).await.unwrap();
            cluster.aws.settle();
            let targets = cluster.targets().await;
            assert_eq!(targets.len(), nodes.len(), "{targets:?}");
            assert!(targets.iter().all(|target| target.port == 31_234), "{targets:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_went_and_came_back_while_its_labels_were_a_mistake_serves_once_it_is_mended() {
    let cluster = a_cluster(2).await;
    let labels = format!("{}target-node-labels", crate::fixture::PREFIX);
    let mended = web("web").annotation(&labels, "pool=one");
    let nodes = NodeSet::of(
        cluster
            .nodes()
            .iter()
            .map(|node| a_node(&node.name).provider_id(&node.provider_id).label("pool", "one").build()),
    );
    let one = NodeSet::of(nodes.iter().take(1).cloned());
    let mut service = mended.build();
    cluster.ready_on(&mut service, &nodes).await;
    let mut mistaken = service.clone();
    mistaken.annotations.insert(labels, "oops".to_owned());
    for nodes in [&one, &nodes] {
        cluster.provider.update_backends(&request(&mistaken, nodes)).await.unwrap();
        assert_eq!(cluster.targets().await.len(), 1, "who is meant cannot be told");
    }
    cluster.ready_on(&mut service, &nodes).await;
    assert_eq!(cluster.targets().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn groups_of_nodes_whose_turn_did_not_come_are_opened_at_the_next_try() {
    for (call, code) in [
        (Call::AuthorizeSecurityGroupIngress, "InternalFailure"),
        (Call::AddTags, "InternalFailure"),
        (Call::AddTags, "AccessDenied"),
    ] {
        let cluster = a_cluster(2).await;
        let mut service = web("web").build();
        cluster.ready(&mut service).await;
        let new = ["first", "second"].map(|name| a_node_of_another_group(&cluster, name));
        let more = request(&service, &nodes_of(cluster.instances.iter().chain(new.iter().map(|(id, _)| id))));
        cluster.aws.fail_always(call, Fault::before(code));
        cluster.provider.update_backends(&more).await.expect_err("it fails");
        cluster.aws.heal();
        cluster.provider.update_backends(&more).await.unwrap();
        for (_, node_group) in &new {
            assert!(is_open(&cluster, node_group).await, "{call:?} {code}");
        }
    }
}
