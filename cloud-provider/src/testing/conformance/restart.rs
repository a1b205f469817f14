//! Clauses about processes that come after another.

use futures::{FutureExt, StreamExt};

use super::Harness;
use super::stage::{POLLS, Stage, give_up_after};
use crate::provider::Outcome;

/// A new process that has resumed knows what the old one made: `get` shows it, nothing is to do, and `ensure`
/// publishes the same addresses and makes nothing more.
pub async fn a_restart_keeps_addresses(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_restart_keeps_addresses").await;
    let services = [stage.add("a"), stage.add("b")];
    let mut before = Vec::new();
    for service in services {
        before.push((stage.ready(service).await, stage.count(service).await));
    }
    stage.restart().await;
    // In the other order, so that nobody passes by handing out addresses as they come.
    for (service, (published, made)) in services.into_iter().zip(before).rev() {
        let found = stage.get(service).await.unwrap_or_default();
        stage.expect_same(&found, &published, "get to show after a restart what was published before");
        stage.nothing_to_do(service, "after a restart").await;
        let again = stage.ready(service).await;
        stage.expect_same(&again, &published, "ensure to publish after a restart what it published before");
        let now = stage.count(service).await;
        stage.expect_eq(&now, &made, "ensure after a restart to make nothing more");
    }
    stage.exactly(&services, "").await;
    stage.close().await;
}

/// A process that dies between `ensure` and the write of the status, or while the Service is pending, doubles
/// nothing: the new one goes on where the old one was. Where something is held outside, it is found again.
pub async fn a_restart_finds_what_was_not_published(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_restart_finds_what_was_not_published").await;
    let (pending, ready) = (stage.add("pending"), stage.add("ready"));
    stage.ensure(pending).await;
    let published = stage.ready(ready).await;
    stage.view_mut(pending).published.clear();
    stage.view_mut(ready).published.clear();
    stage.restart().await;
    stage.ready(pending).await;
    let again = stage.ready(ready).await;
    if stage.provider.holds_resources() {
        stage.expect_same(&again, &published, "the address made before the restart to be found again");
    }
    let (one, other) = (stage.count(pending).await, stage.count(ready).await);
    stage.expect_eq(&one, &other, "as much for a Service whose process died early as for the other");
    stage.exactly(&[pending, ready], "").await;
    stage.close().await;
}

/// Two leaders overlap for a moment: an old process is anywhere inside `ensure` while a new one does all of it,
/// and then goes on. The old one makes nothing more and publishes nothing else. Only where something is held
/// outside, for there the two meet; elsewhere the Service's status decides between them.
pub async fn overlapping_leaders_make_one(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "overlapping_leaders_make_one").await;
    let whole = stage.add("whole");
    stage.ready(whole).await;
    let made = stage.count(whole).await;
    for polls in POLLS {
        if !stage.provider.holds_resources() {
            break;
        }
        let web = stage.add("web");
        let (old, request) = (stage.provider.clone(), stage.request(web));
        let mut ensure = old.ensure(&request);
        let early = give_up_after(polls, &mut ensure).await;
        stage.restart().await;
        let published = stage.ready(web).await;
        let done = early.is_some();
        let late = match early {
            Some(early) => early,
            None => ensure.await,
        };
        if let Ok(Outcome::Ready(late)) = late {
            stage.expect_same(&late.published, &published, "the old leader to publish what the new one does");
        }
        let again = stage.ready(web).await;
        stage.expect_same(&again, &published, "the address to stay when the old leader is done");
        let now = stage.count(web).await;
        stage.expect_eq(&now, &made, "two leaders to make as much as one");
        stage.nothing_to_do(web, "after the old leader was done").await;
        if done {
            break;
        }
    }
    stage.close().await;
}

/// `resume` again, as after a failure the provider did not notice, changes nothing.
pub async fn resume_may_be_repeated(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "resume_may_be_repeated").await;
    let (old, new) = (stage.add("old"), stage.add("new"));
    let published = stage.ready(old).await;
    stage.restart().await;
    stage.resume().await;
    let again = stage.ready(old).await;
    stage.expect_same(&again, &published, "the address to stay when resume is repeated");
    stage.nothing_to_do(old, "after resume was repeated").await;
    stage.ready(new).await;
    stage.exactly(&[old, new], "").await;
    stage.close().await;
}

/// An address that somebody else published on a Service, known from `resume`, is not given to another one.
pub async fn a_taken_address_is_not_given(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "a_taken_address_is_not_given").await;
    let Some(foreign) = harness.foreign("a-taken-address-is-not-given-foreign") else {
        stage.close().await;
        return;
    };
    let first = stage.add("first");
    stage.ready(first).await;
    let taken = stage.view(first).published.clone();
    stage.delete(first).await;
    stage.vanish(first);
    let foreign = stage.add_view(foreign);
    stage.view_mut(foreign).published = taken.clone();
    stage.restart().await;
    let second = stage.add("second");
    stage.ensure(second).await;
    for entry in stage.view(second).published.iter().filter(|entry| entry.ip.is_some()) {
        let free = taken.iter().all(|taken| taken.ip != entry.ip);
        stage.expect(free, "an address that nobody else has published", entry);
    }
    stage.close().await;
}

/// Wake-ups are taken before `resume`, while other calls run too, and name only Services that exist.
pub async fn wakeups_can_be_taken(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "wakeups_can_be_taken").await;
    let web = stage.add("web");
    stage.ready(web).await;
    stage.restart().await;
    stage.ready(web).await;
    let key = stage.id(web).key;
    while let Some(Some(woken)) = stage.wakeups().next().now_or_never() {
        stage.expect(woken == key, "wake-ups only for Services that exist", woken);
    }
    stage.close().await;
}
