//! A Service that asks for addresses by name: it gets exactly these, or keeps what it has and is told why not.

use std::net::IpAddr;

use cloud_provider::Mistake;
use metallb::pool::Pool;
use smallvec::SmallVec;

use super::{Decision, Planner, RemovedAddress};
use crate::allocation::{Addresses, Allocation, OnePool, WaitReason};
use crate::assignments::Blocker;
use crate::desired::Asked;
use crate::wait_queue::{WaitRank, WaitTarget};

impl Planner<'_> {
    pub(super) fn asked_by_address(&self, asked: &Asked<Vec<IpAddr>>) -> Decision {
        let mut mistakes = Vec::new();
        let mut unknown = false;
        for ip in &asked.value {
            match self.inputs.pools.owner(*ip) {
                None => {
                    unknown = true;
                    let problem = format!("asks for {ip}, which is in no address pool");
                    mistakes.push(asked.mistake(problem).allowing(self.pools_for_it()));
                }
                Some(pool) => mistakes.extend(self.wrong_with(*ip, pool, asked)),
            }
        }
        if mistakes.is_empty() {
            mistakes.extend(self.of_two_pools(asked));
        }
        let unreadable = self.unreadable_pools();
        if unknown && !unreadable.is_empty() {
            // It may be in one of these.
            return self.as_it_is(Allocation::Waiting(WaitReason::Unreadable(unreadable)));
        }
        if !mistakes.is_empty() {
            return self.refuse_asked(mistakes);
        }
        let blocked = |ip: &IpAddr| Some((*ip, self.blocker(*ip)?));
        let blocked: Vec<(IpAddr, Blocker)> = asked.value.iter().filter_map(blocked).collect();
        if !blocked.is_empty() {
            let waits_for = blocked.iter().map(|(ip, _)| WaitTarget::Address(*ip)).collect();
            let mistakes = blocked.iter().map(|(ip, blocker)| {
                let mistake = asked.mistake(format!("asks for {ip}, which {blocker}"));
                mistake.allowing("an address that is free, or one that is shared with this Service")
            });
            let allocation = Allocation::Waiting(WaitReason::InUse(mistakes.collect()));
            return Decision { rank: WaitRank::Explicit, waits_for, ..self.as_it_is(allocation) };
        }
        // The order that is published stays, if it is only the order that differs.
        let held: Addresses = self.still_permitted().collect();
        let same = held.len() == asked.value.len() && held.iter().all(|ip| asked.value.contains(ip));
        let addresses = if same { held } else { SmallVec::from_slice(&asked.value) };
        let (allocation, leaving) = (Allocation::Served, Vec::new());
        Decision { addresses, allocation, rank: WaitRank::Explicit, waits_for: Vec::new(), leaving }
    }

    /// What it asks for cannot be. What it has stays, as far as the operator does not want to see it go at once.
    fn refuse_asked(&self, mistakes: Vec<Mistake>) -> Decision {
        let mut decision = self.as_it_is(Allocation::Refused(mistakes));
        if self.inputs.policy.removed_address == RemovedAddress::Release {
            decision.leaving = self.leaving(&decision.addresses);
            let stays = |ip: &mut IpAddr| self.provided(*ip) || self.stays_for_now(&decision.leaving, *ip);
            decision.addresses.retain(stays);
        }
        decision
    }

    /// What is wrong with addresses of two pools, if all have to be of one.
    fn of_two_pools(&self, asked: &Asked<Vec<IpAddr>>) -> Option<Mistake> {
        let mut names: Vec<&str> =
            asked.value.iter().filter_map(|ip| Some(self.inputs.pools.owner(*ip)?.name.as_str())).collect();
        names.dedup();
        if names.len() < 2 || !self.inputs.policy.takes_one_pool() {
            return None;
        }
        let problem =
            format!("asks for addresses of pools {}, and {}", names.join(" and "), OnePool { kept: None });
        Some(asked.mistake(problem).allowing("addresses of one pool"))
    }

    fn wrong_with(&self, ip: IpAddr, pool: &Pool, asked: &Asked<Vec<IpAddr>>) -> Option<Mistake> {
        if let Some(wanted) = self.request.pool.as_ref().filter(|wanted| wanted.value != pool.name) {
            let problem =
                format!("asks for {ip}, which is in pool {:?}, not in {:?}", pool.name, wanted.value);
            let allowed = format!("an address of pool {:?}, or that pool in {}", wanted.value, wanted.field);
            return Some(asked.mistake(problem).allowing(allowed));
        }
        let name = &pool.name;
        let (problem, allowed) = if !self.serves(pool) {
            (format!("asks for {ip} of pool {name:?}, which is not for this Service"), self.pools_for_it())
        } else if pool.reservations.excludes(ip) {
            (
                format!("asks for {ip}, which pool {name:?} excludes"),
                "an address that the pool does not exclude".to_owned(),
            )
        } else if !pool.hands_out(ip) {
            let allowed = "an address that ends neither in .0 nor in .255".to_owned();
            (format!("asks for {ip}, which pool {name:?} leaves out (avoidBuggyIPs)"), allowed)
        } else if !pool.hands_out_to(ip, self.applicant.key) {
            let allowed = "an address that is reserved for nobody else".to_owned();
            (format!("asks for {ip}, which pool {name:?} reserves for others"), allowed)
        } else {
            return None;
        };
        Some(asked.mistake(problem).allowing(allowed))
    }
}
