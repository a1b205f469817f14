//! Clauses about `delete`.

use super::Harness;
use super::stage::{POLLS, Stage, give_up_after};

/// `delete` of what was never made is success at once, for this process and for a new one.
pub async fn delete_of_the_absent_is_success(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "delete_of_the_absent_is_success").await;
    let (here, absent) = (stage.add("here"), stage.add("absent"));
    for when in ["when there is nothing", "beside another Service", "after a restart"] {
        match when {
            "beside another Service" => drop(stage.ready(here).await),
            "after a restart" => stage.restart().await,
            _ => {}
        }
        let deleted = stage.provider.delete(&stage.id(absent)).await;
        stage.success(deleted, &format!("delete of the absent {when}"));
    }
    stage.exactly(&[here], "").await;
    stage.close().await;
}

/// After `delete` nothing of the Service is left, and `delete` again is success.
pub async fn delete_leaves_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "delete_leaves_nothing").await;
    let web = stage.add("web");
    stage.ready(web).await;
    for when in ["after delete", "after delete was repeated"] {
        stage.delete(web).await;
        stage.nothing_exists(when).await;
        let found = stage.get(web).await;
        stage.expect_eq(&found, &None, &format!("get to be none {when}"));
    }
    stage.close().await;
}

/// What is pending is deleted like what is ready.
pub async fn delete_of_the_pending_leaves_nothing(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "delete_of_the_pending_leaves_nothing").await;
    let web = stage.add("web");
    stage.ensure(web).await;
    stage.delete(web).await;
    stage.nothing_exists("after delete").await;
    stage.close().await;
}

/// A Service that was deleted and is wanted again is served again.
pub async fn ensure_after_delete_makes_it_anew(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "ensure_after_delete_makes_it_anew").await;
    let web = stage.add("web");
    stage.ready(web).await;
    stage.delete(web).await;
    let published = stage.ready(web).await;
    let found = stage.get(web).await.unwrap_or_default();
    stage.expect_same(&found, &published, "get to show what was ensured after the deletion");
    stage.nothing_to_do(web, "after it was ensured again").await;
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// `delete` goes by owner: it leaves nothing although the Service's spec is by now another, and the process that
/// made it is gone.
pub async fn delete_needs_no_spec(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "delete_needs_no_spec").await;
    let (web, other) = (stage.add("web"), stage.add("other"));
    stage.ready(web).await;
    stage.ready(other).await;
    let service = stage.view_mut(web);
    service.class = Some("conformance.example/somebody-else".to_owned());
    service.annotations.clear();
    service.ports.truncate(1);
    service.ports[0].port = 1;
    stage.restart().await;
    stage.delete(web).await;
    stage.exactly(&[other], "and not deleted since").await;
    stage.close().await;
}

/// A Service that was deleted and made anew under the same name is another Service: deleting what the old one
/// had keeps what the new one has.
pub async fn delete_keeps_a_namesake(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "delete_keeps_a_namesake").await;
    let old = stage.add("web");
    stage.ready(old).await;
    let mut anew = stage.view(old).clone();
    anew.id.uid = anew.id.uid.chars().rev().collect::<String>().into();
    anew.published.clear();
    stage.vanish(old);
    let new = stage.add_view(anew);
    let published = stage.ready(new).await;

    let deleted = stage.provider.delete(&stage.id(old)).await;
    stage.success(deleted, "delete of the old Service");
    stage.exactly(&[new], "under the UID that lives").await;
    let found = stage.get(new).await.unwrap_or_default();
    stage.expect_same(&found, &published, "the new Service's address to stay when the old one is deleted");
    stage.nothing_to_do(new, "after the old one was deleted").await;
    stage.close().await;
}

/// A `delete` that was dropped at any await can be repeated, by the same process and by a new one, and leaves
/// nothing.
pub async fn a_dropped_delete_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_dropped_delete_can_be_repeated").await;
    for polls in POLLS {
        let mut done = false;
        for new_process in [false, true] {
            let web = stage.add("web");
            stage.ready(web).await;
            done |= give_up_after(polls, stage.provider.delete(&stage.id(web))).await.is_some();
            if new_process {
                stage.restart().await;
            }
            stage.delete(web).await;
            stage.nothing_exists("after a dropped delete was repeated").await;
        }
        if done {
            break;
        }
    }
    stage.close().await;
}
