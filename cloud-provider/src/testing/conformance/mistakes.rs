//! Clauses about Services with a mistake: one that the provider finds, where the harness knows of such a one, and those of the
//! view, where the provider [serves beside them](crate::CloudLoadBalancer::serves_beside_mistakes). Whoever does not is never
//! asked to, but for [its nodes](super::a_service_with_a_mistake_follows_its_nodes).

use std::fmt;

use super::stage::{Actor, MAX_SETTLES, Stage};
use super::{Harness, Serving};
use crate::error::{Error, Mistake, Mistakes};
use crate::plan::Plan;
use crate::service::ServiceView;
use crate::source_range::SourceRanges;

/// For a new Service with a mistake nothing is made, by `plan` and `ensure` alike; once it is mended it is served.
pub async fn nothing_is_made_beside_a_mistake(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "nothing_is_made_beside_a_mistake").await;
    let web = stage.add("web");
    let mended = stage.view(web).clone();
    for (wrong, mistaken) in stage.mistaken(&mended) {
        *stage.view_mut(web) = mistaken;
        let plan = stage.provider.plan(&stage.request(web)).await;
        let is_refused = matches!(plan, Err(Error::Invalid(_)));
        stage.expect(is_refused, &format!("plan to refuse a new Service with {wrong}"), format!("{plan:?}"));
        let ensured = stage.try_ensure(web).await;
        let is_refused = matches!(ensured, Err(Error::Invalid(_)));
        stage.expect(
            is_refused,
            &format!("ensure to refuse a new Service with {wrong}"),
            format!("{ensured:?}"),
        );
        stage.nothing_exists(&format!("of a new Service with {wrong}")).await;
    }
    *stage.view_mut(web) = mended;
    stage.ready(web).await;
    stage.close().await;
}

/// What serves goes on beside a mistake, at the same address and for the same clients, as the Service is and after an edit,
/// by the same process and by a new one. `ensure` ends in `Invalid` or `InvalidInPart`, and tells each mistake of the view
/// once; `plan` says before what `ensure` does, and afterwards has nothing left to do. Once it is mended, the Service
/// converges.
pub async fn what_serves_goes_on_beside_a_mistake(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "what_serves_goes_on_beside_a_mistake").await;
    let web = stage.add("web");
    let published = stage.ready(web).await;
    for (is_edited, is_new_process) in [(false, false), (true, false), (false, true), (true, true)] {
        if is_edited {
            stage.edit(web);
        }
        let mended = stage.view(web).clone();
        for (wrong, mistaken) in stage.mistaken(&mended) {
            let before = harness.serving(&mended.id).await;
            *stage.view_mut(web) = mistaken;
            if is_new_process {
                stage.restart().await;
            }
            let in_part = stage.carry_out_beside(web, wrong).await;
            let found = stage.get(web).await.unwrap_or_default();
            stage.expect_same(&found, &published, &format!("the address to stay beside {wrong}"));
            if let (Some(before), Some(after)) = (before, harness.serving(&mended.id).await) {
                let all_stays = !is_edited || !in_part;
                stage.expect_eq(
                    &wrong.keeps(after, all_stays),
                    &wrong.keeps(before, all_stays),
                    &format!("what serves to stay as it is beside {wrong}"),
                );
            }
        }
        *stage.view_mut(web) = mended;
        let after = stage.ready(web).await;
        stage.expect_same(&after, &published, "the address to stay once the mistake is mended");
        stage.nothing_to_do(web, "once the mistake is mended").await;
    }
    stage.exactly(&[web], "").await;
    stage.close().await;
}

/// What may be wrong with a Service.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// What the provider finds itself.
    Own,
    /// One of the networks that may connect.
    Ranges,
    /// One of its ports.
    Port,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::Own => "a mistake that the provider finds",
            Wrong::Ranges => "source ranges that could not be read",
            Wrong::Port => "a port that could not be read",
        })
    }
}

impl Wrong {
    /// What of it stays as it was; without `all_stays` that alone which the mistake decides for sure.
    fn keeps(self, serving: Serving, all_stays: bool) -> Serving {
        match self {
            _ if all_stays => serving,
            Wrong::Own => Serving::nothing(),
            Wrong::Ranges => Serving { source_ranges: serving.source_ranges, ..Serving::nothing() },
            Wrong::Port => Serving { ports: serving.ports, ..Serving::nothing() },
        }
    }
}

impl Stage<'_> {
    /// This Service with each mistake that may come to the provider.
    fn mistaken(&self, service: &ServiceView) -> Vec<(Wrong, ServiceView)> {
        let mut all: Vec<(Wrong, ServiceView)> =
            self.harness.mistaken(service).into_iter().map(|view| (Wrong::Own, view)).collect();
        if self.provider.serves_beside_mistakes() {
            let mut ranges = service.clone();
            ranges.source_ranges = SourceRanges::Only(Default::default());
            let field = "spec.loadBalancerSourceRanges[0]";
            ranges.mistakes.push(Mistake::new(field, "everybody", "is not a network"));
            all.push((Wrong::Ranges, ranges));
            let mut port = service.clone();
            port.ports.pop();
            let field = format!("spec.ports[{}].protocol", port.ports.len());
            port.mistakes.push(Mistake::new(field, "QUIC", "is not understood"));
            all.push((Wrong::Port, port));
        }
        all
    }

    /// Ensures a Service with a mistake until nothing is left to do that depends on none. Whether that was said to be
    /// done.
    async fn carry_out_beside(&mut self, actor: Actor, wrong: Wrong) -> bool {
        for _ in 0..MAX_SETTLES {
            let planned = self.provider.plan(&self.request(actor)).await;
            let ensured = self.try_ensure(actor).await;
            let (mistakes, in_part) = match (&planned, ensured) {
                (Err(Error::Invalid(_)), Err(Error::Invalid(told))) => (told, false),
                (
                    Ok(Plan { mistakes: Some(_), .. }) | Err(Error::InvalidInPart(_)),
                    Err(Error::InvalidInPart(told)),
                ) => (told, true),
                (_, ensured) => self.fail(
                    &format!("ensure to tell {wrong}, and plan to say so before"),
                    format!("ensure ended in {ensured:?} after plan in {planned:?}"),
                ),
            };
            self.expect_each_once(actor, &mistakes);
            if planned.is_err() {
                return in_part;
            }
            self.harness.settle().await;
        }
        self.fail(&format!("nothing to be left to do beside {wrong} after {MAX_SETTLES} passes"), "there is")
    }

    /// Each mistake of the view is told, and none twice.
    fn expect_each_once(&self, actor: Actor, told: &Mistakes) {
        for Mistake { field, .. } in &self.view(actor).mistakes {
            let times = told.iter().filter(|mistake| mistake.field == *field).count();
            self.expect_eq(&times, &1, &format!("the mistake in {field} to be told once"));
        }
    }
}
