//! What `doctor` asks for is what the roles give.

use tests::cluster::Cluster;
use tests::rights::{Rights, refused};

use super::process::{Access, with_pool};
use super::render::{AWS, BARE, chart, configuration};

/// What `doctor` says in a Pod that was installed with these values, and how it fared.
struct Visit {
    said: String,
    rights: Rights,
    unused: Vec<String>,
    refused: usize,
}

async fn visit(values: &[&str]) -> Visit {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
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
    assert_eq!(extra.len(), 5, "{extra:?}");
    let unused: Vec<_> = extra.iter().filter(|line| with.unused.contains(line)).collect();
    assert_eq!(unused, Vec::<&String>::new());
}
