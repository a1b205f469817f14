//! What the chart renders for which values.

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::render::{AWS, BARE, EVERYTHING, chart, configuration, helm, objects, only, template, title};

/// Kinds and names; without the hash of the configuration's content.
fn titles(values: &[&str]) -> Vec<String> {
    let plain = |title: String| match title.rsplit_once("-config-") {
        Some((before, hash)) if hash.len() == 10 => format!("{before}-config"),
        _ => title,
    };
    let mut titles: Vec<String> = chart(values).iter().map(title).map(plain).collect();
    titles.sort();
    titles
}

#[test]
fn helm_finds_nothing_wrong_with_it() {
    for values in [&[][..], BARE, AWS, EVERYTHING] {
        let mut arguments = vec!["lint", "--strict", "deploy/helm/cloud-lb-controller"];
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        let said = helm(&arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[test]
fn each_provider_brings_what_it_needs() {
    let every = [
        "ClusterRole cloud-lb-controller",
        "ClusterRoleBinding cloud-lb-controller",
        "ConfigMap cloud-lb-controller-config",
        "Deployment cloud-lb-controller",
        "PodDisruptionBudget cloud-lb-controller",
        "Role cloud-lb-controller-leader",
        "RoleBinding cloud-lb-controller-leader",
        "ServiceAccount cloud-lb-controller",
    ];
    assert_eq!(titles(AWS), every);
    let pools = [
        "ClusterRole cloud-lb-controller-pools",
        "ClusterRoleBinding cloud-lb-controller-pools",
        "CustomResourceDefinition bfdprofiles.metallb.io",
        "CustomResourceDefinition bgpadvertisements.metallb.io",
        "CustomResourceDefinition bgppeers.metallb.io",
        "CustomResourceDefinition communities.metallb.io",
        "CustomResourceDefinition configurationstates.metallb.io",
        "CustomResourceDefinition ipaddresspools.metallb.io",
        "CustomResourceDefinition l2advertisements.metallb.io",
        "CustomResourceDefinition servicebgpstatuses.metallb.io",
        "CustomResourceDefinition servicel2statuses.metallb.io",
    ];
    let mut expected = [&every[..], &pools].concat();
    expected.sort_unstable();
    assert_eq!(titles(BARE), expected);
}

#[test]
fn what_is_optional_comes_when_it_is_asked_for() {
    let changes = [
        ("bare.installDefinitions=false", "CustomResourceDefinition ipaddresspools.metallb.io", false),
        ("config.bare-pools-file=/pools.yaml", "ClusterRole cloud-lb-controller-pools", false),
        ("config.leader-elect=false,replicas=1", "Role cloud-lb-controller-leader", false),
        ("replicas=1", "PodDisruptionBudget cloud-lb-controller", false),
        ("podDisruptionBudget.enabled=false", "PodDisruptionBudget cloud-lb-controller", false),
        ("serviceAccount.create=false", "ServiceAccount cloud-lb-controller", false),
        ("rbac.create=false", "ClusterRole cloud-lb-controller", false),
        ("rbac.doctor=true", "ClusterRole cloud-lb-controller-doctor", true),
        ("config.bare-pools-namespace=metallb-system", "Role cloud-lb-controller-pools", true),
        ("metrics.serviceMonitor.enabled=true", "ServiceMonitor cloud-lb-controller", true),
        ("metrics.prometheusRule.enabled=true", "PrometheusRule cloud-lb-controller", true),
        ("metrics.dashboard.enabled=true", "ConfigMap cloud-lb-controller-dashboard", true),
        ("metrics.podMonitor.enabled=true", "PodMonitor cloud-lb-controller", true),
        ("networkPolicy.enabled=true", "NetworkPolicy cloud-lb-controller", true),
    ];
    let before = titles(BARE);
    for (change, object, comes) in changes {
        assert_eq!(before.iter().any(|title| title == object), !comes, "{object}");
        let after = titles(&[BARE, &[change]].concat());
        assert_eq!(after.iter().any(|title| title == object), comes, "{change}: {after:?}");
    }
}

#[test]
fn what_cannot_be_guessed_is_asked_for_in_plain_words() {
    let table = [
        (&[][..], "provider is not set: who is to make load balancers?"),
        (&["provider=aws"], "aws.clusterName is not set: provider aws recognises its load balancers by it"),
        (&["provider=bare"], "image.repository is not set: no image is published"),
        (
            &["provider=bare", "image.repository=x", "config.leader-elect=false"],
            "config.leader-elect is false and replicas is more than 1: all of them would act",
        ),
    ];
    for (values, plain) in table {
        let said = template(values, &[]);
        assert_eq!(said.code, Some(1), "{values:?}: {}", said.output);
        assert!(said.errors.contains(plain), "{values:?}: {}", said.errors);
    }
}

#[test]
fn the_pods_are_locked_down_and_there_are_two() {
    let deployment = only(&chart(BARE), "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({ "type": "RuntimeDefault" }));
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    let locked = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(pod["containers"][0]["securityContext"], locked);
    let probed = |probe: &str| pod["containers"][0][probe]["httpGet"]["path"].clone();
    assert_eq!([probed("livenessProbe"), probed("readinessProbe")], ["/healthz", "/readyz"]);
    assert_eq!(pod["containers"][0]["ports"][0], json!({ "name": "http", "containerPort": 10258 }));
}

/// The scheduler does not spread over nodes that lack a label of any constraint, and on bare metal nodes have no zones.
#[test]
fn replicas_spread_over_nodes_whether_these_have_zones_or_not() {
    let pod = only(&chart(BARE), "Deployment")["spec"]["template"]["spec"].clone();
    let keys = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array().expect("a list").iter().map(|one| one.pointer(key).expect("a key").clone()).collect()
    };
    assert_eq!(keys(&pod["topologySpreadConstraints"], "/topologyKey"), ["kubernetes.io/hostname"]);
    let apart = &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(keys(apart, "/podAffinityTerm/topologyKey"), ["topology.kubernetes.io/zone"]);
}

#[test]
fn a_pod_has_the_drain_timeout_and_fifteen_seconds_to_end() {
    for (timeout, seconds) in [("30s", 45), ("1h2m3s", 3_738), ("2m500ms", 135), ("90s", 105)] {
        let set = format!("config.drain-timeout={timeout}");
        let deployment = only(&chart(&[BARE, &[&set]].concat()), "Deployment");
        let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert_eq!(grace, seconds, "{timeout}");
    }
    let by_default = only(&chart(BARE), "Deployment");
    assert_eq!(by_default["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 45);
}

#[test]
fn a_change_of_the_configuration_makes_new_pods() {
    let pods = |values: &[&str]| only(&chart(values), "Deployment")["spec"]["template"].clone();
    assert_eq!(pods(BARE), pods(BARE));
    assert_ne!(pods(BARE), pods(&[BARE, &["config.log-level=debug"]].concat()));
}

#[test]
fn where_nobody_is_elected_the_old_replica_ends_before_the_new_one_begins() {
    let strategy = |values: &[&str]| only(&chart(values), "Deployment")["spec"]["strategy"]["type"].clone();
    assert_eq!(strategy(BARE), "RollingUpdate");
    assert_eq!(strategy(&[BARE, &["config.leader-elect=false", "replicas=1"]].concat()), "Recreate");
}

#[test]
fn what_ends_a_pod_is_shown_by_kubectl_describe() {
    let container = only(&chart(BARE), "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
}

#[test]
fn both_providers_are_a_list_or_a_word_with_a_comma() {
    let words = |provider: &str| configuration(&chart(&[AWS, &[provider]].concat()));
    let list = words("provider={bare,aws}");
    assert!(list.starts_with("cloud-provider: bare,aws\n"), "{list}");
    assert_eq!(list, words("provider=bare\\,aws"));
}

#[test]
fn releases_of_one_name_have_roles_of_their_own_in_each_namespace() {
    let roles = |namespace: &str| {
        let said = template(BARE, &["--namespace", namespace]);
        let objects = objects(&said.output);
        let of_the_cluster =
            |it: &&DynamicObject| it.types.as_ref().is_some_and(|it| it.kind.starts_with("ClusterRole"));
        objects.iter().filter(of_the_cluster).map(title).collect::<BTreeSet<_>>()
    };
    let (here, there) = (roles("one"), roles("another"));
    assert!(!here.is_empty() && here.is_disjoint(&there), "{here:?} {there:?}");
}

#[test]
fn what_openshift_gives_itself_can_be_left_to_it() {
    let without =
        ["runAsUser", "runAsGroup", "fsGroup"].map(|field| format!("podSecurityContext.{field}=null"));
    let values: Vec<&str> = BARE.iter().copied().chain(without.iter().map(String::as_str)).collect();
    let pod = only(&chart(&values), "Deployment")["spec"]["template"]["spec"].clone();
    assert_eq!(
        pod["securityContext"],
        json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } })
    );
}

#[test]
fn on_the_nodes_network_names_of_the_cluster_are_resolved_all_the_same() {
    let pod = only(&chart(&[BARE, &["hostNetwork=true"]].concat()), "Deployment")["spec"]["template"]["spec"]
        .clone();
    assert_eq!((&pod["hostNetwork"], &pod["dnsPolicy"]), (&json!(true), &json!("ClusterFirstWithHostNet")));
}

#[test]
fn the_port_is_the_one_the_program_serves_on() {
    let values = [BARE, &["config.http-address=[::]:9000", "metrics.serviceMonitor.enabled=true"]].concat();
    let objects = chart(&values);
    let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 9000);
    assert_eq!(only(&objects, "Service")["spec"]["ports"][0]["port"], 9000);
}

#[test]
fn the_role_of_eks_is_on_the_service_account() {
    let arn = "arn:aws:iam::111122223333:role/nlb";
    let account = only(&chart(&[AWS, &[&format!("aws.roleArn={arn}")]].concat()), "ServiceAccount");
    assert_eq!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], arn);
    let without = only(&chart(AWS), "ServiceAccount")["metadata"]["annotations"].clone();
    assert_eq!(without.get("eks.amazonaws.com/role-arn"), None);
}

#[test]
fn by_what_the_leader_gives_its_lease_up_stays_when_the_release_goes_and_where_nobody_leads_nothing_does() {
    let kept = |values: &[&str]| {
        let mut objects = chart(&[BARE, &["bare.installDefinitions=false"], values].concat());
        objects.retain(|object| object.annotations().contains_key("helm.sh/resource-policy"));
        let titles = objects.iter().map(title);
        titles.filter(|title| !title.starts_with("ConfigMap ")).collect::<BTreeSet<_>>()
    };
    let leaders = ["Role cloud-lb-controller-leader", "RoleBinding cloud-lb-controller-leader"];
    let wanted = leaders.into_iter().chain(["ServiceAccount cloud-lb-controller"]);
    assert_eq!(kept(&[]), wanted.map(str::to_owned).collect());
    assert_eq!(kept(&["config.leader-elect=false", "replicas=1"]), BTreeSet::new());
}

#[test]
fn a_flag_that_is_given_wins_over_what_the_chart_would_say() {
    let file =
        configuration(&chart(&[BARE, &["config.leader-elect-resource-namespace=kube-system"]].concat()));
    assert_eq!(
        file,
        "cloud-provider: bare\nleader-elect-resource-name: cloud-lb-controller\n\
         leader-elect-resource-namespace: kube-system\n"
    );
}

#[test]
fn a_network_policy_lets_out_to_aws_only_where_it_is_used() {
    let egress = |values: &[&str]| {
        let policy = only(&chart(&[values, &["networkPolicy.enabled=true"]].concat()), "NetworkPolicy");
        policy["spec"]["egress"].to_string()
    };
    assert!(egress(AWS).contains("169.254.169.254/32"));
    assert!(!egress(BARE).contains("169.254.169.254/32"));
}
