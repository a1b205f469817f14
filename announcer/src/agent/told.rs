//! What is said of what somebody wrote that is not in force, means nothing or contradicts itself, and of addresses that are
//! not announced for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::{Mistake, ServiceKey};
use metallb::crd::{BGPAdvertisementSpec, L2AdvertisementSpec};
use metallb::written::{ObjectKey, ObjectMistakes};

use super::events::Said;
use crate::announcements::{
    Advertised, Announcement, BgpAnnouncements, Conflict, Hostname, Refusal, View, hostnames,
};

/// What was said already, so that each is said once for as long as it lasts.
#[derive(Default)]
pub(super) struct AlreadyTold {
    wrong: Vec<ObjectMistakes>,
    loose_ends: Vec<ObjectMistakes>,
    hostnames: Vec<Hostname>,
    refusals: BTreeMap<IpAddr, Refusal>,
    torn: BTreeSet<IpAddr>,
    conflicts: BTreeSet<(ObjectKey, ObjectKey)>,
    interfaces: BTreeSet<(ObjectKey, String)>,
    without_link_local: BTreeSet<String>,
}

impl AlreadyTold {
    /// What is new of all of it. `links` are the links of this node that announce.
    pub(super) fn of(
        &mut self,
        view: &View,
        node: &str,
        links: &[&str],
        layer2: &BTreeMap<IpAddr, Announcement>,
        bgp: &BgpAnnouncements,
    ) -> Vec<Said> {
        let mut said = self.loose_ends(view);
        said.extend(self.interfaces(view, node, links));
        said.extend(self.hostnames(view));
        said.extend(self.refusals(view, node, layer2, &bgp.addresses));
        said.extend(self.torn(view, layer2));
        said.extend(self.conflicts(&bgp.conflicts));
        said
    }

    /// Objects that are not in force, or not in their present form.
    pub(super) fn wrong(&mut self, wrong: &[ObjectMistakes]) -> Vec<Said> {
        let new = wrong.iter().filter(|it| !self.wrong.contains(it));
        let said = new.map(|it| Said::of_mistakes(it, "Invalid")).collect();
        self.wrong = wrong.to_vec();
        said
    }

    fn loose_ends(&mut self, view: &View) -> Vec<Said> {
        let nodes: Vec<_> = view.nodes.values().map(|node| &**node).collect();
        let loose_ends = view.announcing.loose_ends(&view.pools, &nodes);
        let new = loose_ends.iter().filter(|it| !self.loose_ends.contains(it));
        let said = new.map(|it| Said::of_mistakes(it, "NamesNothing")).collect();
        self.loose_ends = loose_ends;
        said
    }

    /// Interfaces by names that no link of this node has. Where the node has another that is named, that may be meant:
    /// links of other nodes have other names.
    fn interfaces(&mut self, view: &View, node: &str, links: &[&str]) -> Vec<Said> {
        let mut missing = BTreeSet::new();
        let mut said = Vec::new();
        for advertisement in view.announcing.layer2() {
            let is_for_us = view.nodes.get(node).is_some_and(|node| advertisement.nodes.matches(&**node));
            let has_any = advertisement.interfaces.iter().any(|name| links.contains(&name.as_str()));
            for name in
                advertisement.interfaces.iter().filter(|name| is_for_us && !links.contains(&name.as_str()))
            {
                let known = (advertisement.key.clone(), name.clone());
                if !self.interfaces.contains(&known) {
                    let until_then = match has_any {
                        true => "this node answers on the others that are named",
                        false => "this node answers for nothing by this advertisement",
                    };
                    let there = match links {
                        [] => "none at present: no link of the node announces".to_owned(),
                        links => links.join(", "),
                    };
                    let mistake = Mistake::new(
                        "spec.interfaces",
                        name,
                        format!("is no link of node {node} that announces"),
                    )
                    .allowing(there)
                    .meanwhile(until_then);
                    let event = Said::of_written::<L2AdvertisementSpec>(
                        advertisement.key.clone(),
                        "NoSuchInterface",
                        mistake.to_string(),
                    );
                    let event = if has_any { event } else { event.warning() };
                    said.push(event.common_by(name.clone()));
                }
                missing.insert(known);
            }
        }
        self.interfaces = missing;
        said
    }

    fn hostnames(&mut self, view: &View) -> Vec<Said> {
        let hostnames = hostnames(view);
        let new = hostnames.iter().filter(|hostname| !self.hostnames.contains(hostname));
        let said = new.filter_map(|new| {
            let mistake = Mistake::new(
                "status.loadBalancer.ingress",
                &new.hostname,
                "is a name in place of an address, and nothing is announced about a name",
            );
            let mistake = mistake.allowing("addresses").meanwhile("the addresses beside it are announced");
            of_service(view, &new.service, "HostnameInStatus", mistake.to_string())
        });
        let said = said.collect();
        self.hostnames = hostnames;
        said
    }

    /// Addresses that nobody announces. That there is no endpoint, pool or advertisement is usual for a while, and is in the
    /// Service's condition; what somebody has to mend is an event.
    fn refusals(
        &mut self,
        view: &View,
        node: &str,
        layer2: &BTreeMap<IpAddr, Announcement>,
        bgp: &BTreeMap<IpAddr, Advertised>,
    ) -> Vec<Said> {
        let (mut refusals, mut said) = (BTreeMap::new(), Vec::new());
        for (&ip, announcement) in layer2 {
            let Err(of_layer2) = announcement.on(node) else { continue };
            let advertised = bgp.get(&ip);
            if advertised.is_some_and(|it| !it.peers().is_empty()) {
                continue;
            }
            // Who advertises by BGP alone is told what is in the way there.
            let of_bgp = advertised.and_then(|it| it.by_service.values().find_map(|it| it.as_ref().err()));
            let refusal = match (&of_layer2, of_bgp) {
                (Refusal::NoAdvertisement { .. }, Some(of_bgp)) => of_bgp.clone(),
                _ => of_layer2,
            };
            if self.refusals.get(&ip) != Some(&refusal) {
                let services =
                    announcement.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let message = format!("{ip} is announced by no node: {refusal}");
                match &announcement.nodes {
                    Ok(_) => {
                        tracing::debug!(service = services, "{ip} is not announced from here: {refusal}");
                    }
                    Err(_) if is_to_be_mended(&refusal) => {
                        let events = announcement.services.iter();
                        said.extend(
                            events.filter_map(|it| of_service(view, it, "NotAnnounced", message.clone())),
                        );
                    }
                    Err(_) => {
                        tracing::info!(service = services, "{message}");
                    }
                }
            }
            refusals.insert(ip, refusal);
        }
        self.refusals = refusals;
        said
    }

    fn torn(&mut self, view: &View, layer2: &BTreeMap<IpAddr, Announcement>) -> Vec<Said> {
        let torn: BTreeMap<_, _> = layer2.iter().filter(|(_, announcement)| announcement.torn).collect();
        let new = torn.iter().filter(|(ip, _)| !self.torn.contains(ip));
        let said = new.flat_map(|(ip, announcement)| {
            let all = announcement.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let message = format!(
                "no node can serve all Services that have {ip}: {all}; those nodes answer that can serve one of them, and \
                 the others are out of reach meanwhile"
            );
            let events = announcement.services.iter();
            events.filter_map(move |service| of_service(view, service, "NoNodeForAll", message.clone()))
        });
        let said = said.collect();
        self.torn = torn.into_keys().copied().collect();
        said
    }

    /// One event for two advertisements, however many prefixes they contradict each other about.
    fn conflicts(&mut self, conflicts: &[Conflict]) -> Vec<Said> {
        let mut pairs: BTreeMap<(ObjectKey, ObjectKey), Vec<&Conflict>> = BTreeMap::new();
        for conflict in conflicts {
            pairs.entry((conflict.left_out.clone(), conflict.kept.clone())).or_default().push(conflict);
        }
        let new = pairs.iter().filter(|(pair, _)| !self.conflicts.contains(pair));
        let said = new.map(|((left_out, kept), conflicts)| {
            let message = match conflicts.as_slice() {
                [one] => one.to_string(),
                all => format!("{}; and so {} times more", all[0], all.len() - 1),
            };
            Said::of_written::<BGPAdvertisementSpec>(left_out.clone(), "Contradiction", message)
                .warning()
                .common_by(kept.to_string())
        });
        let said = said.collect();
        self.conflicts = pairs.into_keys().collect();
        said
    }

    /// Links that were to answer for addresses of IPv6 and have no link-local address.
    pub(super) fn without_link_local(&mut self, links: BTreeSet<String>) -> Vec<Said> {
        let said = links.difference(&self.without_link_local).map(|link| {
            Said::of_node(
                "NoLinkLocalAddress",
                format!(
                    "link {link} has no link-local address of IPv6, without which the kernel cannot look for clients: addresses \
                     of IPv6 are not answered for on it until it has one, and other nodes that may take them; those of IPv4 \
                     are answered for as ever"
                ),
            )
        });
        let said = said.collect();
        self.without_link_local = links;
        said
    }
}

/// Whether it stays so until somebody changes what is written.
fn is_to_be_mended(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::IpModeProxy
            | Refusal::ServiceNotSelected { .. }
            | Refusal::SharedWithServiceSelectors { .. }
            | Refusal::PrefixTooWide { .. }
    )
}

fn of_service(view: &View, service: &ServiceKey, reason: &'static str, message: String) -> Option<Said> {
    let id = view.services.get(service)?.id.clone();
    Some(Said::of_service(id, reason, message).warning().common())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloud_provider::testing::a_service_named;

    use super::*;

    fn debugged(said: &[Said]) -> Vec<String> {
        said.iter().map(|said| format!("{said:?}")).collect()
    }

    #[test]
    fn services_that_share_an_address_which_no_node_can_serve_for_all_are_told_once_each() {
        let services: Vec<_> =
            ["dns-tcp", "dns-udp"].map(|name| a_service_named("shop", name).build()).into();
        let by_key = services.iter().map(|it| (it.id.key.clone(), Arc::new(it.clone()))).collect();
        let view = View { services: by_key, ..View::default() };
        let announcement = |torn| Announcement {
            services: services.iter().map(|it| it.id.key.clone()).collect(),
            nodes: Ok(Arc::default()),
            torn,
        };
        let ip: IpAddr = "192.0.2.7".parse().expect("an address");
        let mut told = AlreadyTold::default();

        let said = debugged(&told.torn(&view, &[(ip, announcement(true))].into()));
        assert_eq!(said.len(), 2, "{said:?}");
        for (said, name) in said.iter().zip(["dns-tcp", "dns-udp"]) {
            assert!(said.contains("NoNodeForAll") && said.contains("shop/dns-tcp, shop/dns-udp"), "{said}");
            assert!(said.contains(&format!("name: \"{name}\"")), "{said}");
        }
        assert_eq!(told.torn(&view, &[(ip, announcement(true))].into()), []);
        // Once it has been well, it is news again.
        assert_eq!(told.torn(&view, &[(ip, announcement(false))].into()), []);
        assert_eq!(told.torn(&view, &[(ip, announcement(true))].into()).len(), 2);
    }

    #[test]
    fn a_link_without_an_address_of_its_own_for_ipv6_is_told_of_the_node_once() {
        let mut told = AlreadyTold::default();
        let links = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let said = debugged(&told.without_link_local(links(&["eth0"])));
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("NoLinkLocalAddress") && said[0].contains("link eth0"), "{said:?}");
        let said = debugged(&told.without_link_local(links(&["eth0", "eth1"])));
        assert!(said.len() == 1 && said[0].contains("link eth1"), "{said:?}");
        assert_eq!(told.without_link_local(links(&[])), []);
        assert_eq!(told.without_link_local(links(&["eth0"])).len(), 1);
    }
}
