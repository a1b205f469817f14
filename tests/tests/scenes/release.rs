//! Releases and namespaces that come and go, and what stays.

use std::time::Instant;

use tests::rights::INSTALLED_AS;

use super::client::{Asking, send_through};
use super::install::{chart, helm, holder, pods, service, values, with_a_pool};
use super::report::say;
use super::stage::{IMAGE, SCENE_TIMEOUT, SECOND, Stage, until};
use super::traffic::served;

pub(crate) async fn a_namespace_goes_with_its_services_and_their_addresses_are_free_again(stage: &Stage) {
    with_a_pool(stage);
    stage.namespace("leaving");
    let mut held = Vec::new();
    for name in ["one", "two", "three"] {
        stage.apply(&service("leaving", name, "ipFamilyPolicy: RequireDualStack"));
        held.push(stage.published("leaving", name, 2).await);
    }
    stage.kubectl(&["delete", "namespace", "leaving", "--timeout=60s"]);

    stage.namespace("coming");
    for (number, addresses) in held.iter().enumerate() {
        let name = format!("new-{number}");
        let asked =
            format!("name: {name}, annotations: {{metallb.io/loadBalancerIPs: \"{}\"}}", addresses.join(","));
        let service = service("coming", &name, "ipFamilyPolicy: RequireDualStack");
        stage.apply(&service.replacen(&format!("name: {name}"), &asked, 1));
        assert_eq!(&stage.published("coming", &name, 2).await, addresses);
    }
}

pub(crate) async fn an_upgrade_moves_no_address_and_costs_no_request(stage: &Stage) {
    with_a_pool(stage);
    let published = served(stage, "upgrade", "").await;
    send_through(stage, &stage.cluster.nodes()[0], &published);
    let asking = Asking::start(stage, &published[0]).await;

    chart(stage, &[values(SECOND), vec!["config.log-level=debug".to_owned()]].concat());
    let image = format!("{IMAGE}:{SECOND}");
    for pod in pods(stage).await {
        assert_eq!(pod.spec.expect("a spec").containers[0].image.as_deref(), Some(&*image));
    }
    stage.apply(&service("upgrade", "new", ""));
    stage.published("upgrade", "new", 1).await;
    assert_eq!(stage.published("upgrade", "web", 2).await, published);
    asking.lost_nothing().await;
}

pub(crate) async fn what_is_published_outlives_the_release_and_the_next_one_takes_it_over(stage: &Stage) {
    with_a_pool(stage);
    let published = served(stage, "outlives", "").await;
    send_through(stage, &stage.cluster.nodes()[1], &published);
    let asking = Asking::start(stage, &published[0]).await;

    helm(stage, &["uninstall", INSTALLED_AS]);
    until("its Pods are gone", SCENE_TIMEOUT, async || {
        let left = pods(stage).await.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
    assert_eq!(stage.published("outlives", "web", 2).await, published);
    stage.apply(&service("outlives", "new", ""));
    // The leader gives it up though the release is gone already, or the next one would wait for its end.
    until("nobody holds the Lease", SCENE_TIMEOUT, async || {
        let holder = holder(stage).await?;
        holder.map_or(Ok(()), |pod| Err(format!("{pod} does")))
    })
    .await;

    let again = Instant::now();
    with_a_pool(stage);
    stage.published("outlives", "new", 1).await;
    say(&format!(
        "the next release served a Service {:.1} s after Helm began",
        again.elapsed().as_secs_f64()
    ));
    assert_eq!(stage.published("outlives", "web", 2).await, published);
    asking.lost_nothing().await;
}
