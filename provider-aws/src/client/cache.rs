//! Answers that several callers share: one request for equal questions, kept for a while.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Result;

/// Answers by question.
///
/// # Guarantees
/// - Equal questions asked while one of them is under way share its answer, failures included.
/// - A success is kept for `keep`; a failure is not kept.
/// - After [`forget_where`](Self::forget_where) no caller gets an answer that was begun before it.
/// - A caller that gives up does not take the others' answer with it: the next in line asks anew.
pub(super) struct SharedAnswers<Q, A> {
    keep: Duration,
    slots: Mutex<HashMap<Q, Arc<Slot<A>>>>,
}

struct Slot<A> {
    /// Raised by `forget_where`; an answer begun at another epoch is not given out.
    epoch: AtomicU64,
    /// Raised with every answer, so that a caller in line knows one that came while it waited.
    answers: AtomicU64,
    /// Locked while the question is being asked.
    answer: tokio::sync::Mutex<Option<CachedAnswer<A>>>,
}

struct CachedAnswer<A> {
    epoch: u64,
    given: Instant,
    result: Result<A>,
}

/// Above this many questions, those whose answers are too old are dropped.
const QUESTIONS_BEFORE_PRUNING: usize = 1024;

impl<Q: Clone + Eq + Hash, A: Clone> SharedAnswers<Q, A> {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, slots: Mutex::default() }
    }

    /// The answer to `question`: a kept one, the one that is under way, or that of `ask`.
    pub(super) async fn get<F>(&self, question: Q, ask: impl FnOnce() -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let slot = self.slot(question);
        let answers_before = slot.answers.load(Ordering::SeqCst);
        let mut answer = match slot.answer.try_lock() {
            Ok(answer) => {
                if let Some(kept) = answer.as_ref().filter(|a| self.is_fresh(&slot, a)) {
                    return kept.result.clone();
                }
                answer
            }
            Err(_) => {
                let answer = slot.answer.lock().await;
                let came_meanwhile = slot.answers.load(Ordering::SeqCst) > answers_before;
                let epoch = slot.epoch.load(Ordering::SeqCst);
                // Those in line may have been there for an answer that came before this caller, and is still good.
                let is_good =
                    |a: &&CachedAnswer<A>| self.is_fresh(&slot, a) || (came_meanwhile && a.epoch == epoch);
                if let Some(shared) = answer.as_ref().filter(is_good) {
                    return shared.result.clone();
                }
                answer
            }
        };
        let epoch = slot.epoch.load(Ordering::SeqCst);
        let result = ask().await;
        *answer = Some(CachedAnswer { epoch, given: Instant::now(), result: result.clone() });
        slot.answers.fetch_add(1, Ordering::SeqCst);
        result
    }

    /// Forgets the answers `stale` says so of; it is given none while the question is being asked.
    pub(super) fn forget_where(&self, stale: impl Fn(&Q, Option<&A>) -> bool) {
        for (question, slot) in self.slots.lock().iter() {
            let forget = match slot.answer.try_lock() {
                Ok(answer) => match answer.as_ref().map(|a| &a.result) {
                    Some(Ok(value)) => stale(question, Some(value)),
                    Some(Err(_)) | None => false,
                },
                Err(_) => stale(question, None),
            };
            if forget {
                slot.epoch.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Changes kept answers where `shows` says so, as what they show has been changed; those are forgotten that are being asked
    /// for meanwhile, and may be from before.
    pub(super) fn change_where(&self, shows: impl Fn(&Q, Option<&A>) -> bool, change: impl Fn(&mut A)) {
        for (question, slot) in self.slots.lock().iter() {
            match slot.answer.try_lock() {
                Ok(mut answer) => {
                    if let Some(CachedAnswer { result: Ok(value), .. }) = answer.as_mut()
                        && shows(question, Some(value))
                    {
                        change(value);
                    }
                }
                Err(_) if shows(question, None) => {
                    slot.epoch.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => {}
            }
        }
    }

    fn slot(&self, question: Q) -> Arc<Slot<A>> {
        let mut slots = self.slots.lock();
        if slots.len() >= QUESTIONS_BEFORE_PRUNING {
            slots.retain(|_, slot| match slot.answer.try_lock() {
                Ok(answer) => answer.as_ref().is_some_and(|a| self.is_fresh(slot, a)),
                Err(_) => true,
            });
        }
        let unanswered = || Slot {
            epoch: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            answer: tokio::sync::Mutex::new(None),
        };
        slots.entry(question).or_insert_with(|| Arc::new(unanswered())).clone()
    }

    fn is_fresh(&self, slot: &Slot<A>, answer: &CachedAnswer<A>) -> bool {
        answer.result.is_ok()
            && answer.epoch == slot.epoch.load(Ordering::SeqCst)
            && answer.given.elapsed() < self.keep
    }
}
