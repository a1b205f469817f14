//! Clauses about what a provider says and does not do: `claims`, `get`, `plan`, `list`.

use super::Harness;
use super::stage::Stage;
use crate::address::Published;

/// `claims` is a pure function of the Service: asked again, after its Service is served, or by another process,
/// it answers the same. A Service that is somebody else's is never claimed.
pub async fn claims_are_stable(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "claims_are_stable").await;
    let ours = stage.add("ours");
    let foreign = harness.foreign("claims-are-stable-foreign").map(|service| stage.add_view(service));
    for when in ["first", "when asked again", "once served", "after a restart"] {
        match when {
            "once served" => drop(stage.ready(ours).await),
            "after a restart" => stage.restart().await,
            _ => {}
        }
        let claimed = stage.provider.claims(stage.view(ours));
        stage.expect(claimed, &format!("the harness's Service to be claimed {when}"), "it is not");
        if let Some(foreign) = foreign {
            let claimed = stage.provider.claims(stage.view(foreign));
            stage.expect(!claimed, &format!("somebody else's Service not to be claimed {when}"), "it is");
        }
    }
    stage.close().await;
}

/// Every annotation that is published beside an address is among those the provider declares, or the controller
/// would not remove it again and would take it for a user's.
pub async fn published_annotations_are_declared(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "published_annotations_are_declared").await;
    let web = stage.add("web");
    for key in stage.ready(web).await.annotations.keys() {
        let declared = stage.provider.published_annotations();
        stage.expect(
            declared.contains(&key.as_str()),
            &format!("{key} to be declared"),
            format!("{declared:?} are"),
        );
    }
    stage.close().await;
}

/// `get` shows what `ensure` published, and nothing for a Service that was never ensured.
pub async fn get_agrees_with_ensure(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "get_agrees_with_ensure").await;
    let (served, absent) = (stage.add("served"), stage.add("absent"));
    let before = stage.get(served).await;
    stage.expect_eq(&before, &None, "get of what was never ensured to be none");
    let published = stage.ready(served).await;
    // Existing without an address and not existing publish the same.
    let found = stage.get(served).await.unwrap_or_default();
    stage.expect_same(&found, &published, "get to show what ensure published");
    let other = stage.get(absent).await;
    stage.expect_eq(&other, &None, "get of another Service to be none");
    stage.close().await;
}

/// `plan` says what `ensure` would change, and changes nothing: it is not empty for a new Service, however often
/// it is asked, and empty for one that was just ensured.
pub async fn plan_changes_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "plan_changes_nothing").await;
    let web = stage.add("web");
    let first = stage.plan(web).await;
    stage.expect(!first.is_empty(), "a plan with steps for a new Service", "it is empty");
    stage.nothing_exists("after a plan").await;
    let found = stage.get(web).await;
    stage.expect_eq(&found, &None, "get to be none after a plan");
    let again = stage.plan(web).await;
    stage.expect_eq(&again, &first, "the same plan when asked again");

    let published = stage.ready(web).await;
    stage.nothing_to_do(web, "after ensure").await;
    stage.edit(web);
    let edited = stage.plan(web).await;
    let again = stage.plan(web).await;
    stage.expect_eq(&again, &edited, "the same plan of an edit when asked again");
    let found = stage.get(web).await.unwrap_or_default();
    stage.expect_same(&found, &published, "the plan of an edit to leave what serves as it is");
    stage.close().await;
}

/// `list` shows what was ensured, each thing with the Service it was made for, and nothing else: for several
/// Services, after one of them was deleted, and in another process.
pub async fn list_shows_what_was_ensured(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "list_shows_what_was_ensured").await;
    let (a, b, c) = (stage.add("a"), stage.add("b"), stage.add("c"));
    for service in [a, b, c] {
        let published = stage.ready(service).await;
        stage.expect(published != Published::default(), "a ready Service to have an address", "it has none");
    }
    stage.exactly(&[a, b, c], "").await;
    stage.delete(b).await;
    stage.exactly(&[a, c], "and not deleted since").await;
    stage.restart().await;
    stage.exactly(&[a, c], "before a restart").await;
    stage.close().await;
}
