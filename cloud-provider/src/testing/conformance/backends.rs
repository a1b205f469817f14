//! Clauses about what a Service's traffic goes to: nodes and endpoints.

use std::sync::Arc;

use super::Harness;
use super::stage::Stage;
use crate::error::Mistake;
use crate::provider::Request;

/// `update_backends` follows nodes that come and go, all of them too, and leaves nothing for `ensure` to do; the
/// address stays.
pub async fn nodes_come_and_go(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "nodes_come_and_go").await;
    let web = stage.add("web");
    let before = stage.ready(web).await;
    for (count, when) in [
        (3, "after a node came"),
        (1, "after nodes went"),
        (0, "after all went"),
        (2, "after some came back"),
    ] {
        stage.nodes = harness.nodes(count);
        stage.update_backends(web).await;
        stage.nothing_to_do(web, when).await;
        let after = stage.ready(web).await;
        stage.expect_same(&after, &before, &format!("the address to stay {when}"));
    }
    stage.update_backends(web).await;
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// A Service is served although there is no node yet; nodes that come later are taken.
pub async fn no_nodes_is_no_error(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "no_nodes_is_no_error").await;
    let web = stage.add("web");
    stage.nodes = harness.nodes(0);
    stage.ensure(web).await;
    stage.exactly(&[web], "without nodes").await;
    stage.nodes = harness.nodes(2);
    stage.update_backends(web).await;
    stage.ready(web).await;
    stage.nothing_to_do(web, "after nodes came").await;
    stage.close().await;
}

/// `update_backends` of a Service that has nothing outside, never ensured or deleted since, is success and makes
/// nothing.
pub async fn update_backends_creates_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "update_backends_creates_nothing").await;
    let web = stage.add("web");
    stage.update_backends(web).await;
    stage.nothing_exists("after update_backends of what was never ensured").await;
    stage.ready(web).await;
    stage.delete(web).await;
    stage.update_backends(web).await;
    stage.nothing_exists("after update_backends of what was deleted").await;
    let found = stage.get(web).await;
    stage.expect_eq(&found, &None, "get to be none after update_backends");
    stage.close().await;
}

/// A Service that serves and has a mistake now follows its nodes, and nothing else of it changes: when the mistake is
/// taken back, nothing is left to do. So it is after a restart, when nobody remembers the Service without the mistake.
pub async fn a_service_with_a_mistake_follows_its_nodes(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_service_with_a_mistake_follows_its_nodes").await;
    let web = stage.add("web");
    let before = stage.ready(web).await;
    for (count, when) in [(3, "while its Service has a mistake"), (1, "after a restart, too")] {
        if count == 1 {
            stage.restart().await;
        }
        stage.nodes = harness.nodes(count);
        let mut view = stage.view(web).clone();
        view.mistakes.push(Mistake::new("spec.ports[0].port", "0", "is not understood"));
        view.ports.clear();
        let request = Request::with_mistakes(Arc::new(view), stage.backends(web));
        let updated = stage.provider.update_backends(&request).await;
        stage.success(updated, &format!("update_backends {when}"));
        stage.nothing_to_do(web, &format!("once the mistake is taken back (nodes changed {when})")).await;
    }
    let after = stage.ready(web).await;
    stage.expect_same(&after, &before, "the address to stay");
    stage.close().await;
}

/// Where endpoints matter: `update_backends` follows them as they come and go, all of them too, and leaves nothing for
/// `ensure` to do; the address stays.
pub async fn endpoints_come_and_go(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "endpoints_come_and_go").await;
    let web = stage.add("web");
    if stage.interest(web).endpoints {
        let before = stage.ready(web).await;
        for (count, when) in [
            (3, "after an endpoint came"),
            (1, "after endpoints went"),
            (0, "after all went"),
            (2, "after some came back"),
        ] {
            stage.endpoints = Some(count);
            stage.update_backends(web).await;
            stage.nothing_to_do(web, when).await;
            let after = stage.ready(web).await;
            stage.expect_same(&after, &before, &format!("the address to stay {when}"));
        }
    }
    stage.close().await;
}

/// Where endpoints matter and are unknown for a while, `update_backends` and `ensure` add none and remove none: when
/// they are known again, and the same, nothing is left to do.
pub async fn unknown_endpoints_change_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "unknown_endpoints_change_nothing").await;
    let web = stage.add("web");
    if stage.interest(web).endpoints {
        stage.ready(web).await;
        let known = stage.endpoints.take();
        stage.update_backends(web).await;
        stage.nothing_to_do(web, "while endpoints are unknown").await;
        stage.ready(web).await;
        stage.endpoints = known;
        stage.nothing_to_do(web, "when the endpoints are known again").await;
    }
    stage.close().await;
}
