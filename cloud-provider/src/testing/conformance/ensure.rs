//! Clauses about `ensure`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;

use super::Harness;
use super::stage::{MAX_SETTLES, POLLS, Stage, give_up_after};
use crate::provider::Outcome;

/// How long a wake-up may take once the platform has moved on. Providers pass them through a task of their own.
const WAKEUP_TIMEOUT: Duration = Duration::from_secs(1);

/// `ensure` twice is `ensure` once: the same is published, nothing is left to do, and nothing is doubled.
pub async fn ensure_is_idempotent(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "ensure_is_idempotent").await;
    let web = stage.add("web");
    let first = stage.ready(web).await;
    stage.nothing_to_do(web, "after ensure").await;
    let made = stage.count(web).await;
    for _ in 0..2 {
        let again = stage.ready(web).await;
        stage.expect_same(&again, &first, "a repeated ensure to publish the same");
        let now = stage.count(web).await;
        stage.expect_eq(&now, &made, "a repeated ensure to make nothing more");
    }
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// `Pending` becomes `Ready` when the platform moves on. Until then it says why, in a word and in a sentence, and
/// when to look again; if it does not say when, a wake-up names the Service.
pub async fn pending_becomes_ready(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "pending_becomes_ready").await;
    let web = stage.add("web");
    for _ in 0..MAX_SETTLES {
        let Outcome::Pending(pending) = stage.ensure(web).await else {
            stage.close().await;
            return;
        };
        let word = &pending.reason;
        let is_word = word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric());
        stage.expect(is_word, "the reason of Pending to be one CamelCase word", format!("{word:?}"));
        stage.expect(!pending.why.is_empty(), "Pending to say why in a sentence", format!("{pending:?}"));

        harness.settle().await;
        if pending.after.is_none() {
            let key = stage.id(web).key;
            let woken =
                async { stage.wakeups().by_ref().any(|woken| std::future::ready(woken == key)).await };
            let woken = tokio::time::timeout(WAKEUP_TIMEOUT, woken).await.unwrap_or(false);
            stage.expect(
                woken,
                "a wake-up for a Service that is pending with no time for another look",
                "none came",
            );
        }
    }
    stage.fail(&format!("Ready after at most {MAX_SETTLES} passes"), "still Pending");
}

/// `ensure` of a Service that was edited makes it so and keeps its address; then nothing is left to do.
pub async fn an_edit_converges(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "an_edit_converges").await;
    let web = stage.add("web");
    let before = stage.ready(web).await;
    stage.edit(web);
    let after = stage.ready(web).await;
    stage.expect_same(&after, &before, "an edit that does not concern the address to keep it");
    stage.nothing_to_do(web, "after the edit was ensured").await;
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// An `ensure` that was dropped at any await can be repeated, by the same process and by a new one: it becomes
/// ready, with nothing doubled and nothing left after deletion.
pub async fn a_dropped_ensure_can_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_dropped_ensure_can_be_repeated").await;
    let whole = stage.add("whole");
    stage.ready(whole).await;
    let made = stage.count(whole).await;
    for polls in POLLS {
        let mut done = false;
        for new_process in [false, true] {
            let web = stage.add("web");
            done |= give_up_after(polls, stage.provider.ensure(&stage.request(web))).await.is_some();
            if new_process {
                stage.restart().await;
            }
            stage.ready(web).await;
            stage.nothing_to_do(web, "after a dropped ensure was repeated").await;
            let now = stage.count(web).await;
            stage.expect_eq(&now, &made, "a dropped and repeated ensure to make as much as a whole one");
            stage.delete(web).await;
            stage.exactly(&[whole], "and not deleted since").await;
        }
        if done {
            break;
        }
    }
    stage.close().await;
}

/// Different Services are ensured at the same time and do not disturb each other: each is ready, is listed, and
/// no two answer at the same address and port.
pub async fn services_do_not_disturb_each_other(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "services_do_not_disturb_each_other").await;
    let services: Vec<_> = (0..4).map(|_| stage.add("web")).collect();
    let requests: Vec<_> = services.iter().map(|service| stage.request(*service)).collect();
    for outcome in join_all(requests.iter().map(|request| stage.provider.ensure(request))).await {
        stage.success(outcome, "one of several ensures at the same time");
    }
    let mut taken = BTreeSet::new();
    for service in &services {
        for entry in stage.ready(*service).await.ingress {
            for port in &stage.view(*service).ports {
                let place = format!("{entry} {} {}", port.protocol, port.port);
                stage.expect(taken.insert(place.clone()), "no two Services in the same place", place);
            }
        }
    }
    for service in &services {
        stage.nothing_to_do(*service, "after the others were ensured").await;
    }
    stage.exactly(&services, "").await;
    stage.close().await;
}
