//! What is to be done about one address: the rules, as a plain function of what is known.
//!
//! Every node of a segment decides by itself, and all decide alike where they know the same. So the order in which nodes
//! come is total, and nothing in it depends on who decides: the higher score, then the lower rank, then, of one node's
//! links, the lower name.

use std::time::Duration;

use super::change::{GivenUp, Taken};
use super::contest::{Contender, Contest, Owner};
use super::peer::SegmentPeer;
use super::peers::Peers;
use super::{Me, PREFERRED_AFTER};
use crate::beat::{Boot, Role};

/// What one node knows, apart from the address in question.
pub(super) struct SegmentView<'a> {
    pub(super) now: Duration,
    pub(super) me: &'a Me,
    pub(super) peers: &'a Peers,
    /// Since when this node is a candidate; none if it leaves.
    pub(super) candidate_since: Option<Duration>,
    /// For how long others wait for this node before they take it for dead.
    pub(super) dead: Duration,
    pub(super) interval: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClaimDecision {
    Take(Taken),
    GiveUp(GivenUp),
    /// Nothing, and if nothing is heard, not before this.
    Stay(Option<Duration>),
}

/// A node's place in the order: who is lower comes first.
type Precedence<'a> = (std::cmp::Reverse<u32>, crate::rank::Rank, &'a str, Boot);

fn place<'a>(entry: &Contender, link: &'a str, boot: Boot) -> Precedence<'a> {
    (std::cmp::Reverse(entry.eligible.score), entry.rank, link, boot)
}

impl SegmentView<'_> {
    /// What to do about one address, which is `held` here, or is not. `claimants` are all peers that are alive and claim it;
    /// `unvouched` is until when somebody claims it under another key.
    pub(super) fn decide(
        &self,
        contest: &mut Contest,
        claimants: &[&SegmentPeer],
        unvouched: Option<Duration>,
        held: bool,
    ) -> ClaimDecision {
        let Some((at, entry)) = contest.entry(&self.me.node, &self.me.link) else {
            return if held { ClaimDecision::GiveUp(GivenUp::NotWanted) } else { ClaimDecision::Stay(None) };
        };
        let (mine, my_score) = (place(entry, &self.me.link, self.me.boot), entry.eligible.score);
        let mut rivals: Vec<(Precedence<'_>, &SegmentPeer)> = Vec::new();
        for peer in claimants.iter().filter(|peer| !self.is_deaf(peer)) {
            if let Some((_, entry)) = contest.entry(peer.node(), peer.link()) {
                rivals.push((place(entry, peer.link(), peer.boot()), peer));
            }
        }
        let owner = rivals.iter().min_by_key(|(place, peer)| (peer.role() == Role::Leaver, *place));
        let owner = owner.map(|(_, peer)| Owner {
            node: peer.node().clone(),
            link: peer.link().clone(),
            leaving: peer.role() == Role::Leaver,
        });
        // Whoever leaves wants to be rid of it.
        rivals.retain(|(_, peer)| peer.role() != Role::Leaver);
        let decision = if held {
            self.keep(contest, mine, &rivals)
        } else if let Some(since) = self.candidate_since {
            if !rivals.is_empty() {
                contest.vacant_since = None;
                self.prefer(contest, mine, my_score, since, &rivals)
            } else if unvouched.is_some() {
                contest.vacant_since = None;
                ClaimDecision::Stay(unvouched)
            } else {
                self.take(contest, at, mine, owner.as_ref())
            }
        } else {
            ClaimDecision::Stay(None)
        };
        let decision = match (decision, claimants.iter().filter_map(|peer| self.deaf_from(peer)).min()) {
            // Whether it is deaf shows only in time.
            (ClaimDecision::Stay(again), Some(deaf)) if deaf > self.now => {
                ClaimDecision::Stay(earlier(again, deaf))
            }
            (decision, _) => decision,
        };
        if matches!(decision, ClaimDecision::Take(_)) {
            let (node, link) = (self.me.node.clone(), self.me.link.clone());
            contest.last_owner = Some(Owner { node, link, leaving: false });
        } else if let Some(owner) = owner {
            contest.last_owner = Some(owner);
        }
        decision
    }

    /// Whether to keep what is held here.
    fn keep(
        &self,
        contest: &mut Contest,
        mine: Precedence<'_>,
        rivals: &[(Precedence<'_>, &SegmentPeer)],
    ) -> ClaimDecision {
        contest.vacant_since = None;
        if self.candidate_since.is_none() {
            let heir = rivals.first().map(|(_, peer)| peer.node().clone());
            return heir
                .map_or(ClaimDecision::Stay(None), |to| ClaimDecision::GiveUp(GivenUp::HandedOver { to }));
        }
        let mut again: Option<Duration> = None;
        for (theirs, peer) in rivals {
            if *theirs < mine {
                return ClaimDecision::GiveUp(GivenUp::Conflict { to: peer.node().clone() });
            }
            // It comes behind us and would give way, if it heard us. After so long a time it does not, so it never would.
            if let Some(until) = peer.unheard_since().map(|since| since + self.dead) {
                if until <= self.now {
                    return ClaimDecision::GiveUp(GivenUp::Unheard { by: peer.node().clone() });
                }
                again = earlier(again, until);
            }
        }
        ClaimDecision::Stay(again)
    }

    /// Whether to take what nobody claims, or nobody who stays.
    fn take(
        &self,
        contest: &mut Contest,
        at: usize,
        mine: Precedence<'_>,
        leaver: Option<&Owner>,
    ) -> ClaimDecision {
        let since = *contest.vacant_since.get_or_insert(self.now);
        let had = leaver.or(contest.last_owner.as_ref());
        // Whoever comes first takes it. If it does not, then what it knows is not what we know: it may not have been told
        // of the address yet, or have no link for it. So the next one takes it in the end.
        let mut turn = since;
        for entry in &contest.order[..=at] {
            for peer in self.peers.alive_on(&entry.eligible.node) {
                let comes_first = entry.eligible.links.contains(peer.link())
                    && place(entry, peer.link(), peer.boot()) < mine
                    && !self.is_deaf(peer);
                // For what is given for the first time, those who have just begun are waited for: else whoever is up a
                // moment earlier would have everything. What somebody had is missed already.
                let will_take =
                    peer.role() == Role::Candidate || (had.is_none() && peer.role() == Role::Listener);
                if comes_first && will_take {
                    turn += peer.dead_after().max(self.dead) + self.interval;
                }
            }
        }
        if self.now < turn {
            return ClaimDecision::Stay(Some(turn));
        }
        ClaimDecision::Take(had.map_or(Taken::Free, |owner| self.after(owner)))
    }

    /// Whether to take what somebody has who is preferred less.
    fn prefer(
        &self,
        contest: &Contest,
        mine: Precedence<'_>,
        my_score: u32,
        candidate_since: Duration,
        rivals: &[(Precedence<'_>, &SegmentPeer)],
    ) -> ClaimDecision {
        let stay = ClaimDecision::Stay(None);
        let Some((first, owner)) = rivals.iter().min_by_key(|(place, _)| *place) else { return stay };
        let preferred = my_score > first.0.0 && rivals.iter().all(|(_, peer)| peer.hears_us());
        if !preferred {
            return stay;
        }
        let ready = candidate_since + PREFERRED_AFTER;
        if self.now < ready {
            return ClaimDecision::Stay(Some(ready));
        }
        // Two moves are one too many: if another is preferred to us, and as well as we are, it is left to that one.
        let another = self.peers.alive().any(|peer| {
            let place = contest.entry(peer.node(), peer.link());
            place.is_some_and(|(_, entry)| self::place(entry, peer.link(), peer.boot()) < mine)
                && peer.role() == Role::Candidate
                && peer.since() + PREFERRED_AFTER <= self.now
                && !self.is_deaf(peer)
        });
        if another { stay } else { ClaimDecision::Take(Taken::Preferred { to: owner.node().clone() }) }
    }

    /// Whether a peer hears nobody at all, though others hear us: its ears are broken, not our voice. It believes to be
    /// alone and claims everything, and hears no client's question either.
    fn is_deaf(&self, peer: &SegmentPeer) -> bool {
        self.deaf_from(peer).is_some_and(|from| from <= self.now)
            && self.peers.alive().any(SegmentPeer::hears_us)
    }

    /// From when on a peer that hears nobody is deaf, if it goes on to.
    fn deaf_from(&self, peer: &SegmentPeer) -> Option<Duration> {
        peer.unheard_since().filter(|_| peer.hears_nobody()).map(|since| since + self.dead)
    }

    /// Why an address is taken that somebody had.
    fn after(&self, owner: &Owner) -> Taken {
        let from = owner.node.clone();
        match self.peers.get(&owner.node, &owner.link) {
            Some(peer) if !peer.alive() => {
                Taken::Silent { from, since: self.now.saturating_sub(peer.heard()) }
            }
            Some(_) if owner.leaving => Taken::Leaving { from },
            Some(_) => Taken::GivenUp { from },
            // This link itself, or one that was silent for so long that it is forgotten.
            None => Taken::Free,
        }
    }
}

/// The earlier of two times, of which the first may not be known.
pub(super) fn earlier(one: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(one.map_or(other, |one| one.min(other)))
}
