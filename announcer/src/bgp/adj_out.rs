//! What a peer was told, and what it is to be told next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::family::Family;
use super::route::{PathAttributes, WantedRoutes};
use super::update::{Telling, end_of_rib, withdraw};

/// The routes that a peer is to have, and those it has. What follows from both is the same whatever happened before, so
/// it may be asked for at any time; a change that is taken back before anybody asks costs nothing.
#[derive(Debug, Default)]
pub struct AdjOut {
    wanted: Arc<WantedRoutes>,
    told: BTreeMap<IpNet, PathAttributes>,
    /// The families that are told on this session, and whether the first full set of each is still to be closed.
    families: BTreeMap<Family, bool>,
}

impl AdjOut {
    /// From now on the peer is to have these.
    pub fn want(&mut self, wanted: Arc<WantedRoutes>) {
        self.wanted = wanted;
    }

    /// A session is up on which routes of these families may be told. Nothing was told on it yet.
    pub fn begin(&mut self, families: impl IntoIterator<Item = Family>) {
        self.told.clear();
        self.families = families.into_iter().map(|family| (family, true)).collect();
    }

    /// The peer wants all routes of a family told again (RFC 2918 §4).
    pub fn tell_again(&mut self, family: Family) {
        self.told.retain(|prefix, _| Family::of(prefix.network()) != family);
    }

    /// How many routes the peer has been told of.
    pub fn told(&self) -> usize {
        self.told.len()
    }

    /// The messages after which the peer has what is wanted. They count as told: whoever cannot send them begins anew.
    ///
    /// New routes come before the withdrawal of old ones, so that an address whose prefix has another length now is reachable
    /// all the time. The first full set of each family is closed by End-of-RIB, also where it is empty (RFC 4724 §2).
    pub fn updates(&mut self, telling: &Telling) -> Vec<Vec<u8>> {
        let is_told = |prefix: &IpNet| {
            let family = Family::of(prefix.network());
            self.families.contains_key(&family) && telling.next_hops.of(family).is_some()
        };
        let mut groups: BTreeMap<(Family, &PathAttributes), Vec<IpNet>> = BTreeMap::new();
        for (prefix, attributes) in self.wanted.routes().iter().filter(|(prefix, _)| is_told(prefix)) {
            if self.told.get(prefix) != Some(attributes) {
                let family = Family::of(prefix.network());
                groups.entry((family, attributes)).or_default().push(*prefix);
            }
        }
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for ((family, attributes), prefixes) in groups {
            messages.extend(telling.announce(family, &prefixes, attributes));
            self.told.extend(prefixes.into_iter().map(|prefix| (prefix, attributes.clone())));
        }
        let wanted = self.wanted.routes();
        let gone: BTreeSet<IpNet> =
            self.told.keys().filter(|prefix| !wanted.contains_key(prefix)).copied().collect();
        for family in Family::ALL {
            let of_family = |prefix: &&IpNet| Family::of(prefix.network()) == family;
            let prefixes: Vec<IpNet> = gone.iter().filter(of_family).copied().collect();
            messages.extend(withdraw(family, &prefixes));
        }
        self.told.retain(|prefix, _| !gone.contains(prefix));
        for (family, is_open) in &mut self.families {
            if std::mem::take(is_open) {
                messages.push(end_of_rib(*family));
            }
        }
        messages
    }
}
