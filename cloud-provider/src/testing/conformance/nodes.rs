//! Clauses about nodes.

use super::Harness;
use super::stage::Stage;

/// `update_nodes` follows nodes that come and go, all of them too, and leaves nothing for `ensure` to do; the
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
        stage.update_nodes(web).await;
        stage.nothing_to_do(web, when).await;
        let after = stage.ready(web).await;
        stage.expect_same(&after, &before, &format!("the address to stay {when}"));
    }
    stage.update_nodes(web).await;
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
    stage.update_nodes(web).await;
    stage.ready(web).await;
    stage.nothing_to_do(web, "after nodes came").await;
    stage.close().await;
}

/// `update_nodes` of a Service that has nothing outside, never ensured or deleted since, is success and makes
/// nothing.
pub async fn update_nodes_creates_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "update_nodes_creates_nothing").await;
    let web = stage.add("web");
    stage.update_nodes(web).await;
    stage.nothing_exists("after update_nodes of what was never ensured").await;
    stage.ready(web).await;
    stage.delete(web).await;
    stage.update_nodes(web).await;
    stage.nothing_exists("after update_nodes of what was deleted").await;
    let found = stage.get(web).await;
    stage.expect_eq(&found, &None, "get to be none after update_nodes");
    stage.close().await;
}
