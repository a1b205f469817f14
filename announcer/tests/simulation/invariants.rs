//! What must hold in every history.
//!
//! | invariant | where |
//! |---|---|
//! | whoever hears a claim that comes first has given way when it has heard it | [`Invariants::heard`] |
//! | two that hear each other both claim for two intervals at most | [`Invariants::check`] |
//! | two of which one does not hear the other both claim for two dead intervals at most, and two intervals; a leaver that does not hear its heir for two seconds | [`Invariants::check`] |
//! | an address that a candidate may take has an owner after a dead interval and an interval | [`Invariants::check`] |
//! | the same where somebody who hears nobody claims it, after two of each | [`Invariants::check`] |
//! | who has not sent for a dead interval holds nothing once it has looked at its clock | [`Invariants::acted`] |
//! | where nothing happens from outside and nobody is preferred, nothing moves | [`Invariants::changed`] |
//! | once all is calm, each address that somebody may have is had by one, and all know by whom | [`Invariants::check_end`] |
//!
//! The second and the third are asked where nothing is lost: who loses every beat for long enough is cut off. The fourth is
//! asked where nobody is cut off from anybody, the fifth where nobody else is, counted from the last thing that happened from outside: each of them may
//! cost as much again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use announcer::beat::{Beat, Role};
use announcer::rank::{Rank, rank};
use announcer::segment::{LEAVE_TIMEOUT, Segment, SegmentChange};

use crate::world::World;

const INTERVAL: Duration = Duration::from_millis(100);
const DEAD: Duration = Duration::from_millis(350);
/// Clocks that go at other rates, and processes that wake up late.
const SLACK: Duration = Duration::from_millis(20);

pub(crate) struct Invariants {
    pub(crate) takes: u64,
    pub(crate) doubles: u64,
    pub(crate) longest_double: Duration,
    pub(crate) longest_vacancy: Duration,
    disturbed: Duration,
    /// What was found to be broken while something else was done.
    broken: Option<String>,
    double_since: BTreeMap<(usize, usize, IpAddr), Duration>,
    vacant_since: BTreeMap<IpAddr, Duration>,
    ready_since: Vec<Option<Duration>>,
}

type Place = (Reverse<u32>, Rank);

impl Invariants {
    pub(crate) fn new(nodes: usize) -> Self {
        Invariants {
            takes: 0,
            doubles: 0,
            longest_double: Duration::ZERO,
            longest_vacancy: Duration::ZERO,
            disturbed: Duration::ZERO,
            broken: None,
            double_since: BTreeMap::new(),
            vacant_since: BTreeMap::new(),
            ready_since: vec![None; nodes],
        }
    }

    pub(crate) fn changed(world: &mut World, node: usize, change: &SegmentChange) {
        match change {
            SegmentChange::Taken { .. } => world.invariants.takes += 1,
            SegmentChange::GivenUp { ip, .. } => {
                let calm = world.now > world.invariants.disturbed + 2 * (DEAD + INTERVAL);
                let whole = world.cuts.is_empty() && world.history.loss == 0 && world.is_settled();
                let preferred =
                    |ip| world.nodes[node].wanted.get(ip).into_iter().flatten().any(|e| e.score > 0);
                if calm && whole && !world.nodes[node].leaving && !preferred(ip) {
                    world.invariants.broken = Some(format!("{:?} {ip} moves for no reason", world.now));
                }
            }
            _ => {}
        }
    }

    /// A node did something, by its own clock at this time.
    pub(crate) fn acted(&mut self, clock: Duration, before: &Segment, after: &Segment) {
        let over = before.held_until().is_some_and(|until| until <= clock);
        if over && before.held().intersection(after.held()).next().is_some() {
            self.broken = Some(format!("what others may have taken by {clock:?} of its clock is still held"));
        }
    }

    /// Something happened from outside.
    pub(crate) fn disturbed(world: &mut World) {
        world.invariants.disturbed = world.now;
    }

    /// Where a node comes by what another was told.
    fn place(world: &World, told: usize, node: usize, ip: IpAddr) -> Option<Place> {
        let name = format!("n{node}");
        let eligible = world.nodes[told].wanted.get(&ip)?.iter().find(|eligible| *eligible.node == *name)?;
        Some((Reverse(eligible.score), rank(&name, ip)))
    }

    pub(crate) fn heard(world: &World, from: usize, to: usize, beat: &Beat) -> Result<(), String> {
        // One that hears nobody may be taken to be deaf, which is another rule.
        if beat.role != Role::Candidate || beat.hears.is_empty() {
            return Ok(());
        }
        for ip in beat.claims.iter().filter(|ip| world.nodes[to].answers(**ip)) {
            let (theirs, mine) = (Self::place(world, to, from, *ip), Self::place(world, to, to, *ip));
            let known = world.nodes[to].segment.as_ref().is_some_and(|segment| {
                segment.peers().any(|peer| {
                    *peer.node() == beat.node
                        && peer.alive()
                        && peer.claims().contains(ip)
                        && peer.role() == Role::Candidate
                })
            });
            if known && theirs.is_some_and(|theirs| mine.is_none_or(|mine| theirs < mine)) {
                return Err(format!("{:?} n{to} holds {ip} and has heard that n{from} has it", world.now));
            }
        }
        Ok(())
    }

    pub(crate) fn check(world: &mut World) -> Result<(), String> {
        if let Some(broken) = world.invariants.broken.take() {
            return Err(broken);
        }
        let addresses: BTreeSet<IpAddr> =
            world.nodes.iter().flat_map(|node| node.wanted.keys()).copied().collect();
        let settled = world.is_settled();
        for (number, node) in world.nodes.iter().enumerate() {
            let since = &mut world.invariants.ready_since[number];
            *since = if node.is_ready() { since.or(Some(world.now)) } else { None };
        }
        for ip in addresses {
            let owners: Vec<usize> =
                (0..world.nodes.len()).filter(|node| world.nodes[*node].answers(ip)).collect();
            Self::doubles_end(world, ip, &owners, settled)?;
            Self::vacancies_end(world, ip, &owners)?;
        }
        Ok(())
    }

    fn doubles_end(world: &mut World, ip: IpAddr, owners: &[usize], settled: bool) -> Result<(), String> {
        let latest = Duration::from_millis(world.history.delay.1);
        for a in 0..world.nodes.len() {
            for b in a + 1..world.nodes.len() {
                let both = owners.contains(&a) && owners.contains(&b);
                if !both {
                    world.invariants.double_since.remove(&(a, b, ip));
                    continue;
                }
                if !world.invariants.double_since.contains_key(&(a, b, ip)) {
                    world.invariants.doubles += 1;
                    world.invariants.double_since.insert((a, b, ip), world.now);
                }
                let up = world.nodes[a].is_up() && world.nodes[b].is_up();
                if !up || !settled || world.history.loss > 0 {
                    continue;
                }
                let since = world.invariants.double_since[&(a, b, ip)].max(world.invariants.disturbed);
                let double = world.now.saturating_sub(since);
                let bound = match (world.cuts.contains(&(a, b)), world.cuts.contains(&(b, a))) {
                    (true, true) => continue,
                    (false, false) => 2 * (INTERVAL + latest) + SLACK,
                    (a_cut, _) => {
                        // The one that is not heard gives way, if the other is not deaf.
                        let (speaks, hears) = if a_cut { (b, a) } else { (a, b) };
                        if (0..world.nodes.len())
                            .all(|from| from == speaks || world.cuts.contains(&(from, speaks)))
                        {
                            continue;
                        }
                        let gives_way = 2 * (DEAD + INTERVAL + latest) + SLACK;
                        let leaves = world.nodes[speaks].leaving || world.nodes[hears].leaving;
                        if leaves { gives_way.max(LEAVE_TIMEOUT + SLACK) } else { gives_way }
                    }
                };
                if double > bound {
                    return Err(format!("{:?} n{a} and n{b} both claim {ip} for {double:?}", world.now));
                }
                if world.cuts.is_empty() {
                    world.invariants.longest_double = world.invariants.longest_double.max(double);
                }
            }
        }
        Ok(())
    }

    fn vacancies_end(world: &mut World, ip: IpAddr, owners: &[usize]) -> Result<(), String> {
        let nodes = world.nodes.len();
        let deaf = (0..nodes).find(|node| {
            let heard =
                (0..nodes).filter(|from| from != node).all(|from| world.cuts.contains(&(from, *node)));
            heard && world.cuts.len() == nodes - 1
        });
        let owners = owners.iter().filter(|owner| Some(**owner) != deaf);
        if owners.count() > 0 {
            world.invariants.vacant_since.remove(&ip);
            return Ok(());
        }
        let since = *world.invariants.vacant_since.entry(ip).or_insert(world.now);
        let since = since.max(world.invariants.disturbed);
        let ready = |node: usize| world.invariants.ready_since[node].is_some_and(|ready| ready <= since);
        let hear: Vec<usize> = (0..nodes).filter(|node| Some(*node) != deaf && ready(*node)).collect();
        let could_be_taken = hear.iter().any(|node| Self::place(world, *node, *node, ip).is_some());
        let certain = world.history.loss == 0 && world.is_settled() && could_be_taken;
        let latest = Duration::from_millis(world.history.delay.1);
        let bound = match deaf {
            None if world.cuts.is_empty() => DEAD + INTERVAL + latest + SLACK,
            // Of two, nobody knows which one is deaf.
            Some(_) if hear.len() > 1 => 2 * (DEAD + INTERVAL + latest) + SLACK,
            _ => return Ok(()),
        };
        let vacancy = world.now.saturating_sub(since);
        if !certain {
            return Ok(());
        }
        if vacancy > bound {
            return Err(format!("{:?} nobody has {ip} for {vacancy:?}", world.now));
        }
        if deaf.is_some() {
            return Ok(());
        }
        world.invariants.longest_vacancy = world.invariants.longest_vacancy.max(vacancy);
        Ok(())
    }

    pub(crate) fn check_end(world: &World) -> Result<(), String> {
        let Some(wanted) = world.wanted.last() else { return Ok(()) };
        for (ip, eligible) in wanted {
            let all = 0..world.nodes.len();
            let owners: Vec<usize> = all.clone().filter(|node| world.nodes[*node].answers(*ip)).collect();
            if owners.len() != usize::from(!eligible.is_empty()) {
                return Err(format!("in the end {owners:?} have {ip}"));
            }
            let Some(&owner) = owners.first() else { continue };
            let name = format!("n{owner}");
            let Some(theirs) = eligible.iter().find(|eligible| *eligible.node == *name) else {
                return Err(format!("in the end {name} has {ip}, which it may not"));
            };
            if eligible.iter().any(|other| other.score > theirs.score) {
                return Err(format!("in the end {name} has {ip}, to which another is preferred"));
            }
            for node in all {
                let known = world.nodes[node].segment.as_ref().and_then(|segment| segment.owner(*ip));
                if known.is_none_or(|known| **known != *name) {
                    return Err(format!("in the end n{node} believes that {known:?} has {ip}, not {name}"));
                }
            }
        }
        Ok(())
    }
}
