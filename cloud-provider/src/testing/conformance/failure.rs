//! Clauses about outside calls that fail, each in turn: before they took effect, and with only the reply lost.
//! A provider that makes no calls keeps them by having none.

use super::stage::Stage;
use super::{Failure, Harness};
use crate::error::Error;
use crate::provider::Outcome;

/// More outside calls than any one method makes.
const MAX_CALLS: usize = 100;

/// Every outside call in turn; none if the provider makes none that can fail.
fn failures(harness: &dyn Harness) -> impl Iterator<Item = Failure> + use<> {
    let can_fail = harness.fail(Failure { call: 1, reply_lost: false });
    harness.heal();
    let calls = if can_fail { MAX_CALLS } else { 0 };
    (1..=calls).flat_map(|call| [false, true].map(|reply_lost| Failure { call, reply_lost }))
}

impl Stage<'_> {
    /// Whether the failure happened; a method that met none has no reason to fail.
    fn heal<T>(&self, result: Result<T, Error>, method: &str) -> bool {
        let happened = self.harness.heal();
        if !happened {
            self.success(result, method);
        }
        happened
    }
}

/// An `ensure` in which any one outside call fails can be repeated, by the same process and by a new one: it
/// becomes ready, with nothing doubled and nothing left after deletion.
pub async fn a_failed_ensure_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_ensure_can_be_repeated").await;
    let whole = stage.add("whole");
    stage.ready(whole).await;
    let made = stage.count(whole).await;
    for failure in failures(harness) {
        let mut happened = false;
        for new_process in [false, true] {
            let web = stage.add("web");
            harness.fail(failure);
            let first = stage.try_ensure(web).await;
            let ready = matches!(first, Ok(Outcome::Ready(_)));
            happened |= stage.heal(first, "ensure");
            if ready {
                stage.nothing_to_do(web, &format!("after ensure was ready in spite of {failure:?}")).await;
            }
            if new_process {
                stage.restart().await;
            }
            stage.ready(web).await;
            stage.nothing_to_do(web, &format!("after ensure was repeated ({failure:?})")).await;
            let now = stage.count(web).await;
            stage.expect_eq(&now, &made, &format!("as much after {failure:?} and a repetition as without"));
            stage.delete(web).await;
            stage.exactly(&[whole], &format!("and not deleted since ({failure:?})")).await;
        }
        // Or all these clauses would be kept by checking nothing.
        let first = failure.call == 1 && !failure.reply_lost;
        stage.expect(
            happened || !first,
            "the harness to fail the first call of an ensure",
            "no failure happened",
        );
        if !happened {
            break;
        }
    }
    stage.close().await;
}

/// An `ensure` in which any one outside call fails leaves nothing once it is followed by `delete`, whatever
/// `get` says, by the same process or by a new one.
pub async fn a_failed_ensure_can_be_deleted(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_ensure_can_be_deleted").await;
    for failure in failures(harness) {
        let mut happened = false;
        for new_process in [false, true] {
            let web = stage.add("web");
            harness.fail(failure);
            let ensured = stage.try_ensure(web).await;
            happened |= stage.heal(ensured, "ensure");
            if new_process {
                stage.restart().await;
            }
            stage.delete(web).await;
            stage.nothing_exists(&format!("after a failed ensure and delete ({failure:?})")).await;
        }
        if !happened {
            break;
        }
    }
    stage.close().await;
}

/// An `ensure` that fails leaves what serves serving, at the same address; repeated, it converges.
pub async fn a_failed_edit_keeps_serving(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_edit_keeps_serving").await;
    let web = stage.add("web");
    let before = stage.ready(web).await;
    for failure in failures(harness) {
        stage.edit(web);
        harness.fail(failure);
        let ensured = stage.try_ensure(web).await;
        let happened = stage.heal(ensured, "ensure of an edit");
        let found = stage.get(web).await.unwrap_or_default();
        stage.expect_same(&found, &before, &format!("what serves to serve on after {failure:?}"));
        let after = stage.ready(web).await;
        stage.expect_same(&after, &before, &format!("the address to stay after {failure:?}"));
        stage.nothing_to_do(web, &format!("after ensure was repeated ({failure:?})")).await;
        if !happened {
            break;
        }
    }
    stage.close().await;
}

/// A `delete` in which any one outside call fails can be repeated, by the same process and by a new one, and
/// leaves nothing.
pub async fn a_failed_delete_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_delete_can_be_repeated").await;
    for failure in failures(harness) {
        let mut happened = false;
        for new_process in [false, true] {
            let web = stage.add("web");
            stage.ready(web).await;
            harness.fail(failure);
            let deleted = stage.provider.delete(&stage.id(web)).await;
            let succeeded = deleted.is_ok();
            // An order that the delete did not reach must not hit the look that follows.
            happened |= stage.heal(deleted, "delete");
            if succeeded {
                stage.nothing_exists(&format!("after a delete that succeeded in spite of {failure:?}")).await;
            }
            if new_process {
                stage.restart().await;
            }
            stage.delete(web).await;
            stage.nothing_exists(&format!("after delete was repeated ({failure:?})")).await;
        }
        if !happened {
            break;
        }
    }
    stage.close().await;
}

/// An `update_backends` in which any one outside call fails can be repeated as the same narrow call.
pub async fn a_failed_update_of_backends_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_update_of_backends_can_be_repeated").await;
    let web = stage.add("web");
    stage.ready(web).await;
    for (failure, count) in failures(harness).zip([3, 1].into_iter().cycle()) {
        stage.nodes = harness.nodes(count);
        harness.fail(failure);
        let updated = stage.provider.update_backends(&stage.request(web)).await;
        let happened = stage.heal(updated, "update_backends");
        stage.update_backends(web).await;
        stage.nothing_to_do(web, &format!("after update_backends was repeated ({failure:?})")).await;
        if !happened {
            break;
        }
    }
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// A `resume` in which any one outside call fails can be repeated until it succeeds; then all is as it was.
pub async fn a_failed_resume_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_resume_can_be_repeated").await;
    let web = stage.add("web");
    let before = stage.ready(web).await;
    for failure in failures(harness) {
        stage.start().await;
        harness.fail(failure);
        let resumed = stage.try_resume().await;
        let failed = resumed.is_err();
        let happened = stage.heal(resumed, "resume");
        if failed {
            stage.resume().await;
        }
        let after = stage.ready(web).await;
        stage.expect_same(&after, &before, &format!("the address to stay after {failure:?}"));
        stage.nothing_to_do(web, &format!("after resume was repeated ({failure:?})")).await;
        if !happened {
            break;
        }
    }
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// A `list` in which any one outside call fails is an error, or complete all the same; never a part of it.
pub async fn a_failed_list_is_no_list(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_list_is_no_list").await;
    let services = [stage.add("a"), stage.add("b")];
    stage.ready(services[0]).await;
    stage.ready(services[1]).await;
    let whole = stage.list().await.len();
    for failure in failures(harness) {
        harness.fail(failure);
        let listed = stage.provider.list().await;
        if let Ok(listed) = &listed {
            stage.expect_eq(&listed.len(), &whole, &format!("list to be complete or an error ({failure:?})"));
        }
        if !stage.heal(listed, "list") {
            break;
        }
    }
    stage.close().await;
}

/// A `get` or a `plan` in which any one outside call fails is an error, or right all the same: what cannot be
/// told is not taken for absent.
pub async fn a_failed_look_is_no_absence(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_failed_look_is_no_absence").await;
    let web = stage.add("web");
    let published = stage.ready(web).await;
    for failure in failures(harness) {
        harness.fail(failure);
        let found = stage.provider.get(stage.view(web)).await;
        if let Ok(found) = &found {
            let found = found.clone().unwrap_or_default();
            stage.expect_same(&found, &published, &format!("get to be right or an error ({failure:?})"));
        }
        let got = stage.heal(found, "get");

        harness.fail(failure);
        let plan = stage.provider.plan(&stage.request(web)).await;
        if let Ok(plan) = &plan {
            stage.expect(plan.is_empty(), &format!("plan to be right or an error ({failure:?})"), plan);
        }
        if !stage.heal(plan, "plan") && !got {
            break;
        }
    }
    stage.close().await;
}
