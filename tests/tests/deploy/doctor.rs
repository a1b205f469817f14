//! What `doctor` asks for is what the roles give.

use kube::api::DynamicObject;
use tests::cluster::Cluster;
use tests::rights::{INSTALLED_AS, Rights, refused};

use super::process::{Access, announcer_pod, apply, with_announcers, with_pool};
use super::render::{ANNOUNCED, AWS, BARE, chart, configuration, title};

/// What `doctor` says in a Pod that was installed with these values, and how it fared.
struct Visit {
    said: String,
    rights: Rights,
    unused: Vec<String>,
    refused: usize,
}

async fn visit(values: &[&str]) -> Visit {
    visit_to(Cluster::start().await, values).await
}

async fn visit_to(cluster: Cluster, values: &[&str]) -> Visit {
    with_pool(&cluster).await;
    with_announcers(&cluster, "default", 1).await;
    cluster.add_node("node-1").await;
    let objects = chart(values);
    let rights = Rights::granted(&objects);
    let access = Access::with(&cluster.kubeconfig_with(rights.clone()));
    let config = access.file("config.yaml", &configuration(&objects));
    let said = access.output(&["doctor", "--config", config.to_str().expect("text")]).await;
    let asked = cluster.asked_by_the_controller();
    Visit { said: said.output, unused: rights.unused(&asked), refused: refused(&asked).len(), rights }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_every_right_that_is_given_and_for_no_other() {
    let more = ["config.delete-orphans=true", "config.bare-write-pool-status=false"];
    let without_election = ["config.leader-elect=false", "replicas=1"];
    for values in [BARE.to_vec(), AWS.to_vec(), [BARE, &more].concat(), [BARE, &without_election].concat()] {
        let visit = visit(&values).await;
        let all = format!("all {} rights it needs are there", visit.rights.count());
        assert!(visit.said.contains(&all), "{values:?}: {all}; {}", visit.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_own_role_it_can_look_at_everything_and_uses_all_of_that_role() {
    let with = visit(&[BARE, &["rbac.doctor=true"]].concat()).await;
    assert_eq!(with.refused, 0, "{}", with.said);
    assert!(with.said.ends_with(" ok, 0 warn, 0 fail\n"), "{}", with.said);

    let without = visit(BARE).await;
    assert_ne!(without.refused, 0);
    let extra: Vec<_> =
        with.rights.lines().into_iter().filter(|line| !without.rights.lines().contains(line)).collect();
    assert_eq!(extra.len(), 10, "{extra:?}");
    let unused: Vec<_> = extra.iter().filter(|line| with.unused.contains(line)).collect();
    assert_eq!(unused, Vec::<&String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_announcers_are_installed_its_role_lets_it_read_what_they_hear() {
    let cluster = Cluster::with_faults().await;
    apply(&cluster, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {INSTALLED_AS}}}\n")).await;
    with_pool(&cluster).await;
    with_announcers(&cluster, INSTALLED_AS, 2).await;
    announcer_pod(&cluster, INSTALLED_AS, "node-1", 1).await;
    announcer_pod(&cluster, INSTALLED_AS, "node-2", 1).await;
    let objects = chart(&[ANNOUNCED, &["rbac.doctor=true"]].concat());
    let rights = Rights::granted(&own(&objects));
    let access = Access::with(&cluster.kubeconfig_with(rights.clone()));
    let config = access.file("config.yaml", &configuration(&objects));

    let said = access.output(&["doctor", "--config", config.to_str().expect("text")]).await;

    assert!(
        said.output.contains("ok    announcers     each hears the heartbeat of others"),
        "{}",
        said.output
    );
    let asked = cluster.asked_by_the_controller();
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
    let about_pods = |line: &String| line.contains(" pods");
    assert_eq!(
        rights.unused(&asked).into_iter().filter(about_pods).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

/// The controller's objects, without those of the announcers, who ask as somebody else.
fn own(objects: &[DynamicObject]) -> Vec<DynamicObject> {
    objects.iter().filter(|object| !title(object).ends_with("-announcer")).cloned().collect()
}
