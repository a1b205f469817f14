//! All address pools together: which are in force, which pool an address belongs to, and in which order they are
//! asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, Mistake, Mistakes, Ordered, ServiceKey};

use crate::per_family::PerFamily;
use crate::pool::{Definition, Pool};
use crate::range::{AddressRange, number};
use crate::written::ObjectKey;

/// A pool by namespace and name.
pub type PoolKey = ObjectKey;

/// What is wrong with one pool, and what happens until it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolMistakes {
    /// Which pool.
    pub pool: PoolKey,
    /// Every mistake found.
    pub mistakes: Mistakes,
}

impl fmt::Display for PoolMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPAddressPool {}: {}", self.pool, self.mistakes)
    }
}

/// Where an address lies: which pool, and which entry of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPosition {
    /// The pool's position.
    pub pool: usize,
    /// The entry's position in `spec.addresses`.
    pub entry: usize,
}

/// The pools in force. No two of their addresses are the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pools {
    pools: Vec<Arc<Pool>>,
    by_name: BTreeMap<String, usize>,
    index: RangeIndex,
    /// Positions of the pools that hand out addresses unasked, in the order they are asked.
    automatic: Vec<usize>,
    /// What pools keep for certain Services.
    reserved: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    broken: BTreeSet<String>,
}

impl Pools {
    /// Checks definitions without any history; see [`Pools::update`].
    pub fn parse(definitions: &[Definition]) -> (Self, Vec<PoolMistakes>) {
        Pools::default().update(definitions)
    }

    /// The pools in force after their definitions became these, and what is wrong with the others.
    ///
    /// Each pool is judged by itself. One with a mistake, or one that would overlap a pool in force, is left
    /// out; if an earlier version of it was in force, that version stays in force. Where two newcomers overlap,
    /// the older one (by creation, then name) is taken.
    pub fn update(&self, definitions: &[Definition]) -> (Self, Vec<PoolMistakes>) {
        let mut report: BTreeMap<PoolKey, Vec<Mistake>> = BTreeMap::new();
        // What stays as it was, and what wants to be new.
        let mut settled: Vec<Arc<Pool>> = Vec::new();
        let mut arriving: Vec<Arc<Pool>> = Vec::new();
        for definition in definitions {
            let key = PoolKey { namespace: definition.namespace.clone(), name: definition.name.clone() };
            let earlier = self.in_force(&key);
            match Pool::parse(definition) {
                Ok(pool) => match earlier {
                    // Labels say nothing of what it holds: it keeps its place with new ones.
                    Some(earlier) if earlier.written == pool.written && earlier.labels == pool.labels => {
                        settled.push(earlier.clone());
                    }
                    Some(earlier) if earlier.written == pool.written => {
                        settled.push(Arc::new(earlier.labelled(pool.labels)));
                    }
                    _ => arriving.push(Arc::new(pool)),
                },
                Err(mistakes) => {
                    report.insert(key, mistakes);
                    settled.extend(earlier.cloned());
                }
            }
        }
        arriving.sort_unstable_by(|a, b| a.age_order().cmp(&b.age_order()));
        let pools = self.place(settled, arriving, &mut report);
        let in_force: BTreeSet<&str> = pools.iter().map(|pool| pool.name.as_str()).ordered();
        let broken = report.keys().map(|key| key.name.clone());
        let broken = broken.filter(|name| !in_force.contains(name.as_str())).ordered();
        let mistakes = report.into_iter().filter_map(|(pool, mistakes)| {
            let until_then = match self.in_force(&pool) {
                Some(_) => "its last good version stays in force",
                None => "no new address comes from it and what is published stays",
            };
            let mistakes = mistakes.into_iter().map(|mistake| mistake.meanwhile(until_then)).collect();
            Some(PoolMistakes { pool, mistakes: Mistakes::new(mistakes)? })
        });
        let mistakes = mistakes.collect();
        (Pools::in_order(pools, broken), mistakes)
    }

    /// Lets the newcomers in that fit. When an update does not, its last good version takes its place back,
    /// which may be in the way of others: so everything is tried again with that version settled.
    fn place(
        &self,
        mut settled: Vec<Arc<Pool>>,
        mut arriving: Vec<Arc<Pool>>,
        report: &mut BTreeMap<PoolKey, Vec<Mistake>>,
    ) -> Vec<Arc<Pool>> {
        'again: loop {
            let mut index = RangeIndex::default();
            let mut placed: Vec<Arc<Pool>> = Vec::new();
            for pool in &settled {
                // These were in force together, so they do not collide.
                index.claim(placed.len(), pool);
                placed.push(pool.clone());
            }
            for (i, pool) in arriving.iter().enumerate() {
                let key = PoolKey { namespace: pool.namespace.clone(), name: pool.name.clone() };
                match index.add(pool, &placed) {
                    Ok(()) => placed.push(pool.clone()),
                    Err(mistake) => {
                        report.insert(key.clone(), vec![mistake]);
                        if let Some(earlier) = self.in_force(&key) {
                            settled.push(earlier.clone());
                            arriving.remove(i);
                            continue 'again;
                        }
                    }
                }
            }
            placed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            return placed;
        }
    }

    fn in_force(&self, key: &PoolKey) -> Option<&Arc<Pool>> {
        let pool = &self.pools[*self.by_name.get(&key.name)?];
        (pool.namespace == key.namespace).then_some(pool)
    }

    fn in_order(pools: Vec<Arc<Pool>>, broken: BTreeSet<String>) -> Self {
        let mut index = RangeIndex::default();
        for (i, pool) in pools.iter().enumerate() {
            index.claim(i, pool);
        }
        let mut automatic: Vec<usize> = (0..pools.len()).filter(|i| pools[*i].auto_assign).collect();
        // Pools for somebody in particular come before those for everybody; `pools` is sorted by name already.
        automatic.sort_by_key(|i| {
            let allowed = pools[*i].allowed_services.as_ref();
            (allowed.is_none(), allowed.map(super::pool::AllowedServices::rank))
        });
        let by_name = pools.iter().enumerate().map(|(i, pool)| (pool.name.clone(), i)).ordered();
        let mut reserved: BTreeMap<ServiceKey, BTreeSet<IpAddr>> = BTreeMap::new();
        for (ip, service) in pools.iter().flat_map(|pool| pool.reservations.iter()) {
            reserved.entry(service.clone()).or_default().insert(ip);
        }
        Pools { pools, by_name, index, automatic, reserved, broken }
    }

    /// The pools in force, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Pool> + Clone {
        self.pools.iter().map(|pool| &**pool)
    }

    /// Whether none is in force.
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// Names of pools that are defined but not in force in any version: what they hold is not known.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        self.broken.iter().map(String::as_str)
    }

    /// The pool of that name, if it is in force.
    pub fn get(&self, name: &str) -> Option<&Pool> {
        self.position(name).map(|i| self.at(i))
    }

    /// The pool whose ranges hold the address, whether or not it hands it out.
    pub fn owner(&self, ip: IpAddr) -> Option<&Pool> {
        self.site(ip).map(|site| self.at(site.pool))
    }

    /// The pool at a position that these pools named.
    ///
    /// # Panics
    /// When the position is of other pools, of which there were more.
    pub fn at(&self, position: usize) -> &Pool {
        &self.pools[position]
    }

    /// The position of the pool of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Where an address lies, if in any pool.
    pub fn site(&self, ip: IpAddr) -> Option<PoolPosition> {
        self.index.site(ip)
    }

    /// The addresses that are kept for this Service.
    pub fn reserved_for(&self, service: &ServiceKey) -> impl Iterator<Item = IpAddr> {
        self.reserved.get(service).into_iter().flatten().copied()
    }

    /// The positions of the pools that hand out addresses unasked, in the order they are asked.
    pub fn automatic(&self) -> &[usize] {
        &self.automatic
    }
}

/// Which pool's which entry an address belongs to: all ranges, in ascending order. It is searched for every address that
/// comes or goes and is made anew for other pools, so that it is a list, which is halved in less time than a tree.
#[derive(Clone, Debug, Default, PartialEq)]
struct RangeIndex(PerFamily<Vec<IndexedRange>>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct IndexedRange {
    first: u128,
    last: u128,
    position: PoolPosition,
}

impl RangeIndex {
    /// Adds a pool's ranges, or none of them. `placed` are the pools added before, in that order.
    fn add(&mut self, pool: &Pool, placed: &[Arc<Pool>]) -> Result<(), Mistake> {
        if let Some(other) = placed.iter().find(|other| other.name == pool.name) {
            let problem = format!("is the name of a pool in namespace {:?} already", other.namespace);
            return Err(Mistake::new("metadata.name", &pool.name, problem).allowing("a name of its own"));
        }
        for (i, range) in pool.ranges.iter().enumerate() {
            let collides = |with: &str| {
                let field = format!("spec.addresses[{i}]");
                Mistake::new(field, &pool.written.0.addresses[i], format!("overlaps {with}"))
                    .allowing("addresses that are in no other entry and no other pool")
            };
            for (j, earlier) in pool.ranges[..i].iter().enumerate() {
                if range.overlaps(earlier) {
                    let with = format!("{:?}, entry {j} of the same pool", pool.written.0.addresses[j]);
                    return Err(collides(&with));
                }
            }
            if let Some(PoolPosition { pool: position, entry }) = self.first_overlap(range) {
                let other = &placed[position];
                let with = format!("{:?} of pool {:?}", other.written.0.addresses[entry], other.name);
                return Err(collides(&format!("{with}, so pool {:?} is left out", pool.name)));
            }
        }
        self.claim(placed.len(), pool);
        Ok(())
    }

    fn claim(&mut self, position: usize, pool: &Pool) {
        for (entry, range) in pool.ranges.iter().enumerate() {
            let (first, last) = range.bounds();
            let ranges = &mut self.0[range.family()];
            let behind = ranges.partition_point(|other| other.first < first);
            let position = PoolPosition { pool: position, entry };
            ranges.insert(behind, IndexedRange { first, last, position });
        }
    }

    fn first_overlap(&self, range: &AddressRange) -> Option<PoolPosition> {
        let (first, last) = range.bounds();
        let before = self.last_from(range.family(), last)?;
        (before.last >= first).then_some(before.position)
    }

    fn site(&self, ip: IpAddr) -> Option<PoolPosition> {
        let number = number(ip);
        let before = self.last_from(IpFamily::of(ip), number)?;
        (before.last >= number).then_some(before.position)
    }

    /// The last of the ranges that begin at this number or before.
    fn last_from(&self, family: IpFamily, number: u128) -> Option<&IndexedRange> {
        let ranges = &self.0[family];
        let behind = ranges.partition_point(|range| range.first <= number);
        ranges[..behind].last()
    }
}
