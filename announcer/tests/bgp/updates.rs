//! What is told of routes: attributes, packing, and the difference between what a peer has and what it is to have.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use announcer::bgp::adj_out::AdjOut;
use announcer::bgp::family::Family;
use announcer::bgp::route::{LargeCommunity, PathAttributes, Unwanted, WantedRoutes};
use announcer::bgp::update::{NextHops, Telling, end_of_rib, withdraw};
use ipnet::IpNet;

use crate::reader::{Update, messages, updates};

fn telling() -> Telling {
    Telling {
        asn: 4_200_000_001,
        is_internal: false,
        four_octet_as: true,
        next_hops: NextHops { v4: "192.0.2.1".parse().ok(), v6: "2001:db8::1".parse().ok() },
    }
}

fn net(prefix: &str) -> IpNet {
    prefix.parse().expect("a prefix")
}

fn full() -> PathAttributes {
    PathAttributes {
        local_preference: Some(150),
        communities: BTreeSet::from([64_512 << 16 | 7, 0xffff_ff01]),
        large_communities: BTreeSet::from([LargeCommunity { global: 4_200_000_001, first: 1, second: 2 }]),
    }
}

fn wanted<'a>(routes: impl IntoIterator<Item = (&'a str, PathAttributes)>) -> Arc<WantedRoutes> {
    let mut wanted = WantedRoutes::default();
    for (prefix, attributes) in routes {
        let prefix = net(prefix);
        wanted.add(prefix.addr(), prefix.prefix_len(), attributes).expect("it can be told");
    }
    Arc::new(wanted)
}

fn one(bytes: Vec<Vec<u8>>) -> Update {
    let mut all = updates(&bytes.concat());
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A peer that has been told its first full set.
fn told(routes: &Arc<WantedRoutes>) -> AdjOut {
    let mut out = AdjOut::default();
    out.want(Arc::clone(routes));
    out.begin(Family::ALL);
    out.updates(&telling());
    out
}

#[test]
fn a_route_of_ipv4_has_the_bytes_that_rfc_4271_has() {
    let message = telling().announce(Family::V4, &[net("198.51.100.7/32")], &PathAttributes::default());
    let expected = [
        &[255; 16][..],
        &[0, 48, 2, 0, 0, 0, 20],
        &[0x40, 1, 1, 0],
        &[0x40, 2, 6, 2, 1, 0xfa, 0x56, 0xea, 0x01],
        &[0x40, 3, 4, 192, 0, 2, 1],
        &[32, 198, 51, 100, 7],
    ]
    .concat();
    assert_eq!(message, [expected]);
}

#[test]
fn to_another_as_the_path_is_ours_and_the_local_preference_is_not_told() {
    let update = one(telling().announce(Family::V4, &[net("198.51.100.0/24")], &full()));
    assert_eq!(update.order, [1, 2, 3, 8, 32]);
    assert_eq!(update.attributes[&8], (0xc0, vec![0xfc, 0, 0, 7, 0xff, 0xff, 0xff, 1]));
    assert_eq!(update.attributes[&32], (0xc0, vec![0xfa, 0x56, 0xea, 0x01, 0, 0, 0, 1, 0, 0, 0, 2]));
    assert_eq!(update.announced, [net("198.51.100.0/24")]);
}

#[test]
fn within_the_as_the_path_is_empty_and_a_local_preference_is_always_told() {
    let telling = Telling { is_internal: true, ..telling() };
    let update = one(telling.announce(Family::V4, &[net("198.51.100.7/32")], &full()));
    assert_eq!(update.attributes[&2], (0x40, vec![]));
    assert_eq!(update.attributes[&5], (0x40, vec![0, 0, 0, 150]));
    let update = one(telling.announce(Family::V6, &[net("2001:db8::7/128")], &PathAttributes::default()));
    assert_eq!(update.attributes[&5], (0x40, vec![0, 0, 0, 100]));
}

/// Optional 0x80, transitive 0x40, partial 0x20, and a length of two bytes 0x10 (RFC 4271 §4.3). A router may end the session,
/// or take the routes for withdrawn, over one bit that is not its attribute's.
#[test]
fn every_attribute_has_the_flags_of_its_kind_and_no_other() {
    let within = Telling { is_internal: true, ..telling() };
    let old = Telling { four_octet_as: false, ..telling() };
    let (v4, v6) = ([net("198.51.100.7/32")], [net("2001:db8::7/128")]);
    let messages = [
        within.announce(Family::V4, &v4, &full()),
        old.announce(Family::V4, &v4, &full()),
        within.announce(Family::V6, &v6, &full()),
        old.announce(Family::V6, &v6, &full()),
        withdraw(Family::V6, &v6),
        vec![end_of_rib(Family::V6)],
    ];
    let said = updates(&messages.concat().concat());
    let flags: BTreeSet<(u8, u8)> = said
        .iter()
        .flat_map(|update| update.attributes.iter().map(|(kind, (flags, _))| (*kind, *flags)))
        .collect();
    let expected = BTreeSet::from([
        (1, 0x40),  // ORIGIN, well-known (RFC 4271 §5.1.1)
        (2, 0x40),  // AS_PATH, well-known (§5.1.2)
        (3, 0x40),  // NEXT_HOP, well-known (§5.1.3)
        (5, 0x40),  // LOCAL_PREF, well-known (§5.1.5)
        (8, 0xc0),  // COMMUNITIES, optional and transitive (RFC 1997)
        (14, 0x80), // MP_REACH_NLRI, optional and not transitive (RFC 4760 §3)
        (15, 0x80), // MP_UNREACH_NLRI, optional and not transitive (RFC 4760 §4)
        (17, 0xc0), // AS4_PATH, optional and transitive (RFC 6793 §3)
        (32, 0xc0), // LARGE_COMMUNITIES, optional and transitive (RFC 8092 §3)
    ]);
    assert_eq!(flags, expected);
}

#[test]
fn a_length_has_two_bytes_from_256_on_and_the_flag_says_so() {
    let with = |count: u32| PathAttributes { communities: (0..count).collect(), ..PathAttributes::default() };
    let v4 = [net("198.51.100.7/32")];
    for (count, flags) in [(63, 0xc0), (64, 0xd0)] {
        let update = one(telling().announce(Family::V4, &v4, &with(count)));
        assert_eq!((update.attributes[&8].0, update.attributes[&8].1.len()), (flags, 4 * count as usize));
    }
    let large = |number| LargeCommunity { global: number, first: number, second: number };
    for (count, flags) in [(21, 0xc0), (22, 0xd0)] {
        let attributes = PathAttributes {
            large_communities: (0..count).map(large).collect(),
            ..PathAttributes::default()
        };
        assert_eq!(one(telling().announce(Family::V4, &v4, &attributes)).attributes[&32].0, flags);
    }
    // 21 bytes and 17 for each route, then 3 and 17.
    for (count, reach, unreach) in [(13, 0x80, 0x80), (14, 0x90, 0x80), (15, 0x90, 0x90)] {
        let prefixes: Vec<IpNet> =
            (0..count).map(|number| net(&format!("2001:db8::{number:x}/128"))).collect();
        let update = one(telling().announce(Family::V6, &prefixes, &PathAttributes::default()));
        assert_eq!(update.attributes[&14].0, reach, "{count} routes");
        assert_eq!(one(withdraw(Family::V6, &prefixes)).attributes[&15].0, unreach, "{count} routes");
    }
}

#[test]
fn a_peer_that_knows_two_bytes_only_gets_the_number_that_stands_for_longer_ones_and_ours_beside_it() {
    let old = Telling { four_octet_as: false, ..telling() };
    let update = one(old.announce(Family::V4, &[net("198.51.100.7/32")], &PathAttributes::default()));
    assert_eq!(update.attributes[&2], (0x40, vec![2, 1, 0x5b, 0xa0]));
    assert_eq!(update.attributes[&17], (0xc0, vec![2, 1, 0xfa, 0x56, 0xea, 0x01]));
    let short = Telling { asn: 64_512, ..old };
    let update = one(short.announce(Family::V4, &[net("198.51.100.7/32")], &PathAttributes::default()));
    assert_eq!(update.attributes[&2], (0x40, vec![2, 1, 0xfc, 0]));
    assert!(!update.attributes.contains_key(&17));
}

#[test]
fn a_route_of_ipv6_is_told_in_the_first_attribute_with_its_own_next_hop() {
    let update = one(telling().announce(Family::V6, &[net("2001:db8:1::/48")], &full()));
    assert_eq!(update.order[0], 14, "RFC 7606 §5.1");
    assert_eq!(update.next_hop, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(update.announced, [net("2001:db8:1::/48")]);
    assert!(!update.order.contains(&3), "RFC 4760 §3 has no NEXT_HOP beside it");
}

#[test]
fn many_routes_go_into_as_few_messages_as_hold_them() {
    for (family, base, bytes, common) in
        [(Family::V4, net("10.0.0.0/32"), 5, 23 + 20), (Family::V6, net("2001:db8::/128"), 17, 23 + 13 + 25)]
    {
        let prefixes: Vec<IpNet> = (0..5_000_u32)
            .map(|number| match base.addr() {
                IpAddr::V4(ip) => IpNet::new(IpAddr::from((u32::from(ip) + number).to_be_bytes()), 32),
                IpAddr::V6(ip) => {
                    IpNet::new(IpAddr::from((u128::from(ip) + u128::from(number)).to_be_bytes()), 128)
                }
            })
            .map(|prefix| prefix.expect("a prefix"))
            .collect();
        let announced = telling().announce(family, &prefixes, &PathAttributes::default());
        let fit: usize = (4096 - common) / bytes;
        assert_eq!(announced.len(), 5_000_usize.div_ceil(fit), "{family}");
        let read: Vec<IpNet> = updates(&announced.concat()).into_iter().flat_map(|it| it.announced).collect();
        assert_eq!(read, prefixes);
        let withdrawn = withdraw(family, &prefixes);
        assert!(withdrawn.len() <= announced.len());
        let read: Vec<IpNet> = updates(&withdrawn.concat()).into_iter().flat_map(|it| it.withdrawn).collect();
        assert_eq!(read, prefixes);
    }
}

#[test]
fn the_longest_attributes_leave_room_for_routes_of_both_families() {
    let large = |number| LargeCommunity { global: number, first: number, second: number };
    let attributes =
        PathAttributes { large_communities: (0..170).map(large).collect(), ..PathAttributes::default() };
    let wanted = wanted([("198.51.100.7/32", attributes.clone()), ("2001:db8::7/128", attributes.clone())]);
    let mut out = AdjOut::default();
    out.want(wanted);
    out.begin(Family::ALL);
    assert_eq!(updates(&out.updates(&telling()).concat()).len(), 4, "two routes, and the end of each family");
    let more =
        PathAttributes { large_communities: (0..171).map(large).collect(), ..PathAttributes::default() };
    let refused = WantedRoutes::default().add("198.51.100.7".parse().unwrap(), 32, more).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "198.51.100.7/32 is wanted with communities of 2052 bytes together: at most 2048 fit"
    );
}

#[test]
fn an_address_is_wanted_by_the_prefix_that_contains_it_and_what_is_said_of_one_prefix_is_united() {
    let mut wanted = WantedRoutes::default();
    let with = |community| PathAttributes { communities: [community].into(), ..PathAttributes::default() };
    wanted.add("198.51.100.7".parse().unwrap(), 24, with(1)).unwrap();
    wanted.add("198.51.100.9".parse().unwrap(), 24, with(2)).unwrap();
    let expected = PathAttributes { communities: [1, 2].into(), ..PathAttributes::default() };
    assert_eq!(wanted.routes().iter().collect::<Vec<_>>(), [(&net("198.51.100.0/24"), &expected)]);
}

#[test]
fn two_local_preferences_for_one_prefix_are_refused_by_name_and_the_first_stays() {
    let mut wanted = WantedRoutes::default();
    let with = |preference| PathAttributes { local_preference: preference, ..PathAttributes::default() };
    let ip = "198.51.100.7".parse().unwrap();
    wanted.add(ip, 32, with(None)).unwrap();
    wanted.add(ip, 32, with(Some(100))).expect("that is what none is");
    let refused = wanted.add(ip, 32, with(Some(200))).unwrap_err();
    assert_eq!(
        refused,
        Unwanted::LocalPreference { prefix: net("198.51.100.7/32"), first: 100, second: 200 }
    );
    assert_eq!(wanted.routes().len(), 1);
    assert!(matches!(wanted.add(ip, 33, with(None)), Err(Unwanted::Length { most: 32, .. })));
}

#[test]
fn the_first_full_set_is_closed_by_the_end_of_each_family_also_where_it_is_empty() {
    let mut out = AdjOut::default();
    out.want(wanted([("198.51.100.7/32", PathAttributes::default())]));
    out.begin(Family::ALL);
    let messages = messages(&out.updates(&telling()).concat());
    assert_eq!(messages.len(), 3);
    // RFC 4724 §2: an UPDATE with nothing in it; of other families one with an empty MP_UNREACH_NLRI and nothing else.
    assert_eq!(messages[1].1, [0, 0, 0, 0]);
    assert_eq!(messages[2].1, [0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
    assert!(out.updates(&telling()).is_empty(), "nothing has changed");
}

#[test]
fn only_what_changed_is_told_and_the_new_comes_before_the_old_goes() {
    let mut out = told(&wanted([
        ("198.51.100.1/32", PathAttributes::default()),
        ("198.51.100.2/32", PathAttributes::default()),
        ("2001:db8::1/128", PathAttributes::default()),
    ]));
    out.want(wanted([
        ("198.51.100.0/24", PathAttributes::default()),
        ("198.51.100.2/32", full()),
        ("2001:db8::1/128", PathAttributes::default()),
    ]));
    let read = updates(&out.updates(&telling()).concat());
    let announced: Vec<_> = read.iter().map(|update| update.announced.clone()).collect();
    assert_eq!(announced, [vec![net("198.51.100.0/24")], vec![net("198.51.100.2/32")], vec![]]);
    assert_eq!(read[2].withdrawn, [net("198.51.100.1/32")]);
    assert_eq!(out.told(), 3);
}

#[test]
fn what_is_wanted_and_taken_back_before_anybody_asks_is_not_told() {
    let before = wanted([("198.51.100.1/32", PathAttributes::default())]);
    let mut out = told(&before);
    out.want(wanted([]));
    out.want(before);
    assert!(out.updates(&telling()).is_empty());
}

#[test]
fn whoever_asks_for_the_routes_of_a_family_is_told_them_again() {
    let mut out = told(&wanted([("198.51.100.1/32", full()), ("2001:db8::1/128", full())]));
    out.tell_again(Family::V6);
    assert_eq!(one(out.updates(&telling())).announced, [net("2001:db8::1/128")]);
}

#[test]
fn a_new_session_is_told_everything_again() {
    let mut out = told(&wanted([("198.51.100.1/32", full())]));
    out.begin([Family::V4]);
    assert_eq!(updates(&out.updates(&telling()).concat())[0].announced, [net("198.51.100.1/32")]);
}

#[test]
fn routes_of_a_family_that_was_not_agreed_on_or_has_no_next_hop_are_not_told() {
    let routes = wanted([("198.51.100.1/32", full()), ("2001:db8::1/128", full())]);
    let mut out = AdjOut::default();
    out.want(routes);
    out.begin([Family::V4]);
    let read = updates(&out.updates(&telling()).concat());
    assert_eq!(read.len(), 2, "a route, and the end of its family");
    out.begin(Family::ALL);
    let nowhere = Telling { next_hops: NextHops { v6: None, ..telling().next_hops }, ..telling() };
    let read = updates(&out.updates(&nowhere).concat());
    assert_eq!(read.iter().flat_map(|it| &it.announced).collect::<Vec<_>>(), [&net("198.51.100.1/32")]);
    assert_eq!(out.told(), 1);
}
