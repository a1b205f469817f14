//! Sessions by scripts: what happens in, what is to be done out. Time is given, and nothing waits.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use announcer::bgp::agreement::Agreement;
use announcer::bgp::family::Family;
use announcer::bgp::message::keepalive;
use announcer::bgp::notification::Notification;
use announcer::bgp::open::{Capabilities, GracefulRestart, Open};
use announcer::bgp::peer::{BgpPeer, HoldTime, RemoteAs};
use announcer::bgp::reason::DownReason;
use announcer::bgp::route::{PathAttributes, WantedRoutes};
use announcer::bgp::session::{BgpAction, BgpSession, Leaving};
use announcer::bgp::update::NextHops;

use crate::messages::message;
use crate::reader::{messages, updates};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

pub(crate) fn peer() -> BgpPeer {
    BgpPeer {
        asn: 64_512,
        remote_as: RemoteAs::Number(64_600),
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        hold_time: HoldTime::DEFAULT,
        keepalive: None,
        connect_time: Duration::from_secs(120),
        families: Family::ALL.into(),
        graceful_restart: None,
        next_hops: NextHops { v4: None, v6: "2001:db8::1".parse().ok() },
    }
}

/// What the router says first.
pub(crate) fn router() -> Open {
    Open {
        asn: 64_600,
        hold_time: 180,
        identifier: Ipv4Addr::new(192, 0, 2, 254),
        capabilities: Capabilities {
            families: Family::ALL.into(),
            four_octet_as: true,
            route_refresh: true,
            graceful_restart: None,
        },
    }
}

/// A session and the time that goes with it.
struct Script {
    session: BgpSession,
    now: Instant,
}

impl Script {
    fn with(peer: BgpPeer) -> Self {
        Script { session: BgpSession::new(peer, fastrand::Rng::with_seed(7)), now: Instant::now() }
    }

    /// A connection is there, and our OPEN was sent.
    fn connected(peer: BgpPeer) -> Self {
        let mut script = Script::with(peer);
        assert_eq!(script.session.start(script.now), [BgpAction::Connect]);
        let [BgpAction::Send(open)] = &script.session.connected(script.now, LOCAL)[..] else {
            panic!("an OPEN is sent")
        };
        assert_eq!(messages(open)[0].0, 1);
        script
    }

    /// A session that is up with a router that says this first.
    fn up(peer: BgpPeer, router: &Open) -> (Self, Agreement) {
        let mut script = Script::connected(peer);
        assert_eq!(script.receive(&router.emit()), [BgpAction::Send(keepalive())]);
        let actions = script.receive(&keepalive());
        let [BgpAction::Up(agreement)] = &actions[..] else { panic!("{actions:?}") };
        (script, agreement.clone())
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<BgpAction> {
        self.session.received(self.now, bytes)
    }

    /// Lets time pass until something is to be done, and says how long that was.
    fn wait(&mut self) -> (Duration, Vec<BgpAction>) {
        let at = self.session.deadline().expect("there is something to wait for");
        let waited = at.saturating_duration_since(self.now);
        let early = at.checked_sub(Duration::from_millis(1)).expect("a time before");
        assert_eq!(self.session.passed(early), [], "nothing is done early");
        self.now = at;
        (waited, self.session.passed(at))
    }

    /// The failure by which it ends now, and the last word, if there is one.
    #[track_caller]
    fn ended(actions: &[BgpAction]) -> (DownReason, Option<(u8, u8)>) {
        match actions {
            [BgpAction::Close, BgpAction::Down(reason)] => (reason.clone(), None),
            [BgpAction::Send(last), BgpAction::Close, BgpAction::Down(reason)] => {
                let (kind, body) = messages(last).remove(0);
                assert_eq!(kind, 3, "a NOTIFICATION");
                (reason.clone(), Some((body[0], body[1])))
            }
            other => panic!("it has not ended: {other:?}"),
        }
    }
}

fn routes(prefixes: &[&str]) -> Arc<WantedRoutes> {
    let mut wanted = WantedRoutes::default();
    for prefix in prefixes {
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        wanted.add(prefix.addr(), prefix.prefix_len(), PathAttributes::default()).expect("it can be told");
    }
    Arc::new(wanted)
}

#[test]
fn a_session_comes_up_and_the_routes_are_told() {
    let mut script = Script::connected(peer());
    script.session.want(routes(&["198.51.100.7/32", "2001:db8::7/128"]));
    assert!(script.session.updates().is_empty(), "nothing is told before the session is up");
    script.receive(&router().emit());
    let [BgpAction::Up(agreement)] = &script.receive(&keepalive())[..] else { panic!("it is up") };
    assert_eq!((agreement.remote_as, agreement.hold_time.seconds()), (64_600, 90));
    let told = updates(&script.session.updates());
    let hops: Vec<_> = told.iter().filter_map(|update| update.next_hop).collect();
    assert_eq!(
        hops,
        [LOCAL, "2001:db8::1".parse().unwrap()],
        "the connection's own address, and the one given"
    );
    assert_eq!(script.session.told(), 2);
    assert!(script.session.updates().is_empty(), "nothing has changed");
}

#[test]
fn messages_may_arrive_byte_by_byte_or_all_at_once() {
    let both = [router().emit(), keepalive()].concat();
    let mut script = Script::connected(peer());
    let actions: Vec<BgpAction> = both.iter().flat_map(|byte| script.receive(&[*byte])).collect();
    assert!(matches!(actions[..], [BgpAction::Send(_), BgpAction::Up(_)]), "{actions:?}");
    let actions = Script::connected(peer()).receive(&both);
    assert!(matches!(actions[..], [BgpAction::Send(_), BgpAction::Up(_)]), "{actions:?}");
}

#[test]
fn the_shorter_hold_time_holds_and_a_third_of_it_passes_between_two_signs_of_life() {
    for (ours, keepalive, theirs, hold, every) in [
        (90, None, 180, 90, Some(30)),
        (90, None, 9, 9, Some(3)),
        (90, Some(10), 180, 90, Some(10)),
        (90, Some(10), 9, 9, Some(3)),
        // No more often than once a second (RFC 4271 §4.4).
        (90, Some(0), 180, 90, Some(1)),
        (3, None, 180, 3, Some(1)),
        (90, None, 0, 0, None),
        (0, Some(10), 180, 0, None),
    ] {
        let hold_time = HoldTime::new(ours).unwrap();
        let peer = BgpPeer { hold_time, keepalive: keepalive.map(Duration::from_secs), ..peer() };
        let (script, agreement) = Script::up(peer, &Open { hold_time: theirs, ..router() });
        assert_eq!(agreement.hold_time.seconds(), hold, "{ours} and {theirs}");
        assert_eq!(agreement.keepalive, every.map(Duration::from_secs), "{ours} and {theirs}");
        assert_eq!(script.session.deadline().is_none(), hold == 0);
    }
    assert_eq!((HoldTime::new(1), HoldTime::new(2)), (None, None));
}

#[test]
fn the_peer_hears_of_us_before_a_third_of_the_hold_time_is_over_and_never_at_one_beat() {
    let (mut script, _) = Script::up(peer(), &router());
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let (waited, actions) = script.wait();
        assert_eq!(actions, [BgpAction::Send(keepalive())]);
        pauses.push(waited.as_secs_f64());
        script.receive(&keepalive());
    }
    assert!(pauses.iter().all(|pause| (22.5..=30.0).contains(pause)), "{pauses:?}");
    assert!(pauses.windows(2).any(|two| (two[0] - two[1]).abs() > 0.5), "{pauses:?}");
}

#[test]
fn a_peer_that_is_not_heard_for_the_hold_time_is_told_so_and_left() {
    let (mut script, _) = Script::up(peer(), &router());
    let start = script.now;
    let ended = loop {
        let (_, actions) = script.wait();
        if actions != [BgpAction::Send(keepalive())] {
            break actions;
        }
    };
    assert_eq!(Script::ended(&ended), (DownReason::HoldTimer(90), Some((4, 0))));
    assert_eq!(script.now - start, Duration::from_secs(90));
}

#[test]
fn any_sign_of_life_counts_for_the_hold_time() {
    let (mut script, _) = Script::up(peer(), &router());
    let end_of_rib = message(2, &[0, 0, 0, 0]);
    for sign in [keepalive(), end_of_rib] {
        script.now += Duration::from_secs(89);
        assert_eq!(script.receive(&sign), []);
        let actions = script.session.passed(script.now);
        assert!(actions.iter().all(|action| matches!(action, BgpAction::Send(_))), "{actions:?}");
    }
}

#[test]
fn a_peer_of_another_as_is_refused_and_both_are_named() {
    let internal = |told| (RemoteAs::Internal, told);
    for (expected, told) in
        [(RemoteAs::Number(64_601), 64_600), internal(64_600), (RemoteAs::External, 64_512)]
    {
        let mut script = Script::connected(BgpPeer { remote_as: expected, ..peer() });
        let actions = script.receive(&Open { asn: told, ..router() }.emit());
        assert_eq!(Script::ended(&actions), (DownReason::WrongAs { expected, told }, Some((2, 2))));
    }
    let reason = DownReason::WrongAs { expected: RemoteAs::Number(64_601), told: 64_600 };
    assert_eq!(reason.to_string(), "it is of AS 64600, and should be of AS 64601");
    for (expected, told) in [(RemoteAs::Internal, 64_512), (RemoteAs::External, 64_600)] {
        Script::up(BgpPeer { remote_as: expected, ..peer() }, &Open { asn: told, ..router() });
    }
}

#[test]
fn a_peer_that_refuses_our_as_is_told_apart_from_one_of_another_as() {
    let mut script = Script::connected(peer());
    let actions = script.receive(&Notification { code: 2, subcode: 2, data: vec![] }.emit());
    let (reason, last) = Script::ended(&actions);
    assert_eq!(last, None, "a last word is not answered (RFC 4271 §6.4)");
    assert_eq!(reason.to_string(), "it refuses us as AS 64512: it says Bad Peer AS (2/2)");
}

#[test]
fn a_peer_with_our_router_id_is_refused_within_our_as_and_taken_from_another() {
    let same = Open { identifier: peer().router_id, ..router() };
    Script::up(peer(), &same);
    let mut script = Script::connected(BgpPeer { remote_as: RemoteAs::Internal, ..peer() });
    let actions = script.receive(&Open { asn: 64_512, ..same }.emit());
    assert_eq!(Script::ended(&actions), (DownReason::SameRouterId(peer().router_id), Some((2, 3))));
}

#[test]
fn families_that_the_peer_does_not_take_are_left_out_and_with_none_left_it_is_refused() {
    let only = |family: Family| Open {
        capabilities: Capabilities { families: [family].into(), ..router().capabilities },
        ..router()
    };
    let (mut script, agreement) = Script::up(peer(), &only(Family::V4));
    assert_eq!(agreement.families, [Family::V4].into());
    script.session.want(routes(&["198.51.100.7/32", "2001:db8::7/128"]));
    script.session.updates();
    assert_eq!(script.session.told(), 1);
    let mut script = Script::connected(BgpPeer { families: [Family::V6].into(), ..peer() });
    let actions = script.receive(&only(Family::V4).emit());
    assert_eq!(Script::ended(&actions), (DownReason::NoCommonFamily(vec![Family::V6]), Some((2, 7))));
}

#[test]
fn a_peer_that_cannot_be_reached_is_tried_again_with_pauses_that_grow_up_to_its_connect_time() {
    let mut script = Script::with(BgpPeer { connect_time: Duration::from_secs(20), ..peer() });
    script.session.start(script.now);
    for longest in [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0] {
        let reason = DownReason::NotConnected("connection refused".to_owned());
        let actions = script.session.failed(script.now, reason.clone());
        assert_eq!(Script::ended(&actions), (reason, None));
        let (pause, actions) = script.wait();
        assert_eq!(actions, [BgpAction::Connect]);
        assert!((longest * 0.75..=longest).contains(&pause.as_secs_f64()), "{pause:?} of {longest} s");
    }
}

#[test]
fn a_peer_that_answers_nothing_is_given_up_at_each_step() {
    let mut script = Script::with(peer());
    script.session.start(script.now);
    let (waited, actions) = script.wait();
    assert_eq!((waited.as_secs(), Script::ended(&actions)), (10, (DownReason::ConnectTimedOut(10), None)));
    let mut script = Script::connected(peer());
    let (waited, actions) = script.wait();
    assert_eq!((waited.as_secs(), Script::ended(&actions)), (30, (DownReason::Silent(30), Some((4, 0)))));
    let mut script = Script::connected(peer());
    script.receive(&Open { hold_time: 9, ..router() }.emit());
    while script.session.deadline().is_some_and(|at| at < script.now + Duration::from_secs(9)) {
        let (_, actions) = script.wait();
        if let [.., BgpAction::Down(reason)] = &actions[..] {
            assert_eq!(*reason, DownReason::HoldTimer(9));
            return;
        }
    }
    panic!("a peer that never confirms is waited for");
}

#[test]
fn a_session_that_was_long_up_is_made_anew_after_a_second_and_one_that_fails_at_once_is_not() {
    let (mut script, _) = Script::up(peer(), &Open { hold_time: 0, ..router() });
    script.now += Duration::from_secs(121);
    script.session.failed(script.now, DownReason::Closed("the end".to_owned()));
    assert!(script.wait().0 <= Duration::from_secs(1));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        script.session.connected(script.now, LOCAL);
        script.receive(&[router().emit(), keepalive()].concat());
        let full = Notification { code: 6, subcode: 1, data: vec![] };
        let (reason, _) = Script::ended(&script.receive(&full.emit()));
        assert_eq!(reason.to_string(), "it says Maximum Number of Prefixes Reached (6/1)");
        pauses.push(script.wait().0);
    }
    assert!(pauses.windows(2).all(|two| two[0] < two[1]), "{pauses:?}");
    script.session.connected(script.now, LOCAL);
    script.receive(&[router().emit(), keepalive()].concat());
    script.now += Duration::from_secs(121);
    script.session.failed(script.now, DownReason::Closed("the end".to_owned()));
    assert!(script.wait().0 <= Duration::from_secs(1), "what failed before it was long up counts no more");
}

#[test]
fn a_message_in_the_wrong_place_ends_the_session_as_rfc_6608_has_it() {
    let update = message(2, &[0, 0, 0, 0]);
    let mut script = Script::connected(peer());
    assert_eq!(Script::ended(&script.receive(&keepalive())).1, Some((5, 1)));
    let mut script = Script::connected(peer());
    script.receive(&router().emit());
    assert_eq!(Script::ended(&script.receive(&update)).1, Some((5, 2)));
    let (mut script, _) = Script::up(peer(), &router());
    assert_eq!(Script::ended(&script.receive(&router().emit())).1, Some((5, 3)));
}

#[test]
fn what_no_speaker_may_send_ends_the_session_with_the_word_that_the_rfc_has_and_the_rest_is_not_read() {
    let (mut script, _) = Script::up(peer(), &router());
    let bytes = [message(2, &[0, 0, 0, 0, 33, 0, 0, 0, 0, 0]), router().emit()].concat();
    let (reason, last) = Script::ended(&script.receive(&bytes));
    assert_eq!(last, Some((3, 10)));
    assert_eq!(
        reason.to_string(),
        "it sent what RFC 4271 does not allow, and was told Invalid Network Field (3/10)"
    );
    assert_eq!(script.receive(&keepalive()), [], "nothing is read of a connection that is given up");
    assert_eq!(script.wait().1, [BgpAction::Connect]);
    script.session.connected(script.now, LOCAL);
    assert_eq!(script.receive(&router().emit()), [BgpAction::Send(keepalive())], "a new one begins clean");
}

#[test]
fn the_routes_of_a_family_are_told_again_to_whoever_asks() {
    let (mut script, _) = Script::up(peer(), &router());
    script.session.want(routes(&["198.51.100.7/32", "2001:db8::7/128"]));
    script.session.updates();
    assert_eq!(script.receive(&message(5, &[0, 2, 0, 1])), []);
    let told = updates(&script.session.updates());
    assert_eq!(told.iter().map(|update| update.announced.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn whoever_leaves_for_good_withdraws_first_and_says_so() {
    let (mut script, agreement) = Script::up(restarting(), &router_that_keeps_routes());
    assert!(agreement.keeps_routes, "which a last word ends");
    script.session.want(routes(&["198.51.100.7/32"]));
    script.session.updates();
    let actions = script.session.leave(Leaving::ForGood);
    let [
        BgpAction::Send(withdrawn),
        BgpAction::Send(last),
        BgpAction::Close,
        BgpAction::Down(DownReason::Left),
    ] = &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!(updates(withdrawn)[0].withdrawn, ["198.51.100.7/32".parse().unwrap()]);
    assert_eq!(messages(last), [(3, vec![6, 2])]);
    assert_eq!(script.session.deadline(), None, "it does not come back by itself");
    assert_eq!(script.session.start(script.now), [BgpAction::Connect]);
}

fn restarting() -> BgpPeer {
    BgpPeer { graceful_restart: Some(120), ..peer() }
}

pub(crate) fn router_that_keeps_routes() -> Open {
    let restart = GracefulRestart { restarted: false, seconds: 120, forwarded: BTreeMap::new() };
    Open {
        capabilities: Capabilities { graceful_restart: Some(restart), ..router().capabilities },
        ..router()
    }
}

#[test]
fn whoever_restarts_closes_without_a_word_so_that_the_peer_keeps_the_routes() {
    let (mut script, agreement) = Script::up(restarting(), &router_that_keeps_routes());
    assert!(agreement.keeps_routes);
    script.session.want(routes(&["198.51.100.7/32"]));
    script.session.updates();
    assert_eq!(
        script.session.leave(Leaving::ToRestart),
        [BgpAction::Close, BgpAction::Down(DownReason::Left)]
    );
}

#[test]
fn whoever_restarts_where_no_routes_are_kept_withdraws_them() {
    for (peer, router) in [(restarting(), router()), (peer(), router_that_keeps_routes())] {
        let (mut script, agreement) = Script::up(peer, &router);
        assert!(!agreement.keeps_routes);
        let actions = script.session.leave(Leaving::ToRestart);
        assert!(
            matches!(
                actions[..],
                [BgpAction::Send(_), BgpAction::Send(_), BgpAction::Close, BgpAction::Down(_)]
            ),
            "{actions:?}"
        );
    }
}

#[test]
fn until_a_session_was_up_we_say_that_we_have_restarted_and_always_that_packets_were_forwarded() {
    let said = |actions: Vec<BgpAction>| {
        let [BgpAction::Send(open)] = &actions[..] else { panic!("{actions:?}") };
        let (message, _) = announcer::bgp::message::BgpMessage::read(open).unwrap().unwrap();
        let announcer::bgp::message::BgpMessage::Open(open) = message else { panic!("an OPEN") };
        open.capabilities.graceful_restart.expect("it is asked for")
    };
    let mut script = Script::with(restarting());
    script.session.start(script.now);
    let first = said(script.session.connected(script.now, LOCAL));
    let forwarded = BTreeMap::from([(Family::V4, true), (Family::V6, true)]);
    assert_eq!(first, GracefulRestart { restarted: true, seconds: 120, forwarded });
    script.receive(&[router_that_keeps_routes().emit(), keepalive()].concat());
    script.session.failed(script.now, DownReason::Closed("the end".to_owned()));
    script.wait();
    let second = said(script.session.connected(script.now, LOCAL));
    assert_eq!(second, GracefulRestart { restarted: false, ..first });
}

#[test]
fn when_the_path_is_gone_the_session_ends_with_the_word_of_rfc_9384() {
    let (mut script, _) = Script::up(peer(), &router());
    let actions = script.session.path_lost(script.now);
    assert_eq!(Script::ended(&actions), (DownReason::BfdDown, Some((6, 10))));
    assert_eq!(script.session.path_lost(script.now), [], "it is down already");
}
