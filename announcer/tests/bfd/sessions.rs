//! Sessions by scripts, and two ends against each other. Time is given, and nothing waits.

use std::time::{Duration, Instant};

use announcer::bfd::packet::{BfdState, ControlPacket, Diagnostic};
use announcer::bfd::session::{BfdAction, BfdSession, Profile};

use crate::packets::packet;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Ten packets a second, three of which may be lost.
fn fast() -> Profile {
    Profile { receive: ms(100), transmit: ms(100), ..Profile::default() }
}

/// One end, and the time that goes with it.
struct End {
    session: BfdSession,
    now: Instant,
}

impl End {
    fn with(profile: Profile) -> Self {
        let now = Instant::now();
        End { session: BfdSession::new(profile, now, fastrand::Rng::with_seed(7)), now }
    }

    /// What a peer says that has this profile and hears us, in this state.
    fn heard(&self, state: BfdState) -> ControlPacket {
        ControlPacket {
            diagnostic: Diagnostic::None,
            state,
            poll: false,
            yours: self.number(),
            transmit: ms(100),
            receive: ms(100),
            ..packet()
        }
    }

    fn number(&self) -> u32 {
        let now = self.now;
        let sent = BfdSession::new(fast(), now, fastrand::Rng::with_seed(7)).passed(now);
        let [BfdAction::Send(packet)] = sent[..] else { panic!("it begins with a packet") };
        packet.mine
    }

    fn receive(&mut self, packet: ControlPacket) -> Vec<BfdAction> {
        self.session.received(self.now, packet)
    }

    /// Lets time pass until something is to be done, and says how long that was.
    fn wait(&mut self) -> (Duration, Vec<BfdAction>) {
        let at = self.session.deadline().expect("there is something to wait for");
        let waited = at.saturating_duration_since(self.now);
        self.now = at;
        (waited, self.session.passed(at))
    }

    /// A session that is up.
    fn up(profile: Profile) -> Self {
        let mut end = End::with(profile);
        end.receive(end.heard(BfdState::Down));
        assert_eq!(end.session.state(), BfdState::Init);
        let actions = end.receive(end.heard(BfdState::Up));
        assert_eq!(actions.first(), Some(&BfdAction::Up));
        end
    }
}

fn sent(actions: &[BfdAction]) -> Vec<ControlPacket> {
    actions
        .iter()
        .filter_map(|action| if let BfdAction::Send(packet) = action { Some(*packet) } else { None })
        .collect()
}

#[test]
fn states_change_as_rfc_5880_6_8_6_has_them_and_each_change_is_told_at_once() {
    use BfdState::{AdminDown, Down, Init, Up};
    let down = |said| vec![said];
    let neighbor = BfdAction::Down(Diagnostic::NeighborDown);
    // Ours, what the peer says, what becomes of ours, what follows.
    let table = [
        (Down, Down, Init, vec![]),
        (Down, Init, Up, down(BfdAction::Up)),
        (Down, Up, Down, vec![]),
        (Down, AdminDown, Down, vec![]),
        (Init, Down, Init, vec![]),
        (Init, Init, Up, down(BfdAction::Up)),
        (Init, Up, Up, down(BfdAction::Up)),
        (Init, AdminDown, Down, vec![]),
        (Up, Down, Down, down(neighbor)),
        (Up, Init, Up, vec![]),
        (Up, Up, Up, vec![]),
        (Up, AdminDown, Down, down(BfdAction::Off)),
    ];
    for (ours, said, becomes, follows) in table {
        let mut end = End::with(fast());
        end.wait();
        if ours != Down {
            end.receive(end.heard(Down));
        }
        if ours == Up {
            end.receive(end.heard(Init));
        }
        assert_eq!(end.session.state(), ours);
        let actions = end.receive(end.heard(said));
        assert_eq!(end.session.state(), becomes, "{ours} hears {said}");
        let other: Vec<_> = actions.iter().filter(|it| !matches!(it, BfdAction::Send(_))).copied().collect();
        assert_eq!(other, follows, "{ours} hears {said}");
        let told: Vec<_> = sent(&actions).iter().map(|packet| packet.state).collect();
        let expected = if ours == becomes { vec![] } else { vec![becomes] };
        assert_eq!(told, expected, "{ours} hears {said}");
    }
}

#[test]
fn a_peer_that_is_not_heard_for_the_detection_time_is_gone_and_told_so() {
    let mut end = End::up(fast());
    let start = end.now;
    let told = loop {
        let (_, actions) = end.wait();
        if actions.first() == Some(&BfdAction::Down(Diagnostic::Expired)) {
            break sent(&actions);
        }
    };
    // Three of the peer's packets, at the pace on which both agree (RFC 5880 §6.8.4).
    assert_eq!(end.now - start, ms(300));
    assert_eq!((told[0].state, told[0].diagnostic, told[0].yours), (BfdState::Down, Diagnostic::Expired, 0));
}

#[test]
fn the_detection_time_is_the_peers_multiplier_at_the_slower_of_both_paces() {
    for (receive, transmit, multiplier, expected) in
        [(100, 100, 3, 300), (300, 100, 3, 900), (100, 500, 3, 1_500), (100, 100, 10, 1_000)]
    {
        let mut end = End::up(Profile { receive: ms(receive), transmit: ms(10_000), ..fast() });
        let start = end.now;
        end.receive(ControlPacket { transmit: ms(transmit), multiplier, ..end.heard(BfdState::Up) });
        while end.session.state() == BfdState::Up {
            end.wait();
        }
        assert_eq!(end.now - start, ms(expected), "{receive} {transmit} {multiplier}");
    }
}

#[test]
fn packets_come_unevenly_and_never_later_than_agreed_and_slowly_while_it_is_not_up() {
    let pauses = |end: &mut End, state: BfdState| -> Vec<f64> {
        (0..30)
            .map(|_| {
                end.receive(end.heard(state));
                let (waited, actions) = end.wait();
                assert_eq!(sent(&actions).len(), 1);
                waited.as_secs_f64()
            })
            .collect()
    };
    let within = |pauses: &[f64], shortest: f64, longest: f64| {
        assert!(pauses.iter().all(|pause| (shortest..=longest).contains(pause)), "{pauses:?}");
        assert!(pauses.windows(2).any(|two| (two[0] - two[1]).abs() > (longest - shortest) / 10.0));
    };
    let mut end = End::up(fast());
    end.wait();
    within(&pauses(&mut end, BfdState::Up), 0.075, 0.1);
    let mut end = End::up(Profile { multiplier: 1, ..fast() });
    end.wait();
    within(&pauses(&mut end, BfdState::Up), 0.075, 0.09);
    let mut end = End::with(fast());
    end.wait();
    let alone: Vec<f64> = (0..30).map(|_| end.wait().0.as_secs_f64()).collect();
    within(&alone, 0.75, 1.0);
}

#[test]
fn nobody_is_sent_more_than_it_can_receive() {
    let mut end = End::up(fast());
    end.wait();
    end.receive(ControlPacket { receive: ms(2_000), multiplier: 255, ..end.heard(BfdState::Up) });
    end.wait();
    let (waited, _) = end.wait();
    assert!((ms(1_500)..=ms(2_000)).contains(&waited), "{waited:?}");
    end.receive(ControlPacket { receive: Duration::ZERO, multiplier: 255, ..end.heard(BfdState::Up) });
    let (waited, actions) = end.wait();
    assert_eq!((sent(&actions).len(), waited > ms(2_000)), (1, true), "only that it is gone is told");
}

#[test]
fn a_question_is_answered_at_once_and_an_answer_ends_ours() {
    let mut end = End::up(fast());
    let asked = sent(&end.wait().1)[0];
    assert!(asked.poll && asked.transmit == ms(100), "that we send more often now is to be confirmed");
    let answer = sent(&end.receive(ControlPacket { poll: true, ..end.heard(BfdState::Up) }));
    assert_eq!(answer.iter().map(|it| (it.is_final, it.poll)).collect::<Vec<_>>(), [(true, false)]);
    assert!(sent(&end.wait().1)[0].poll, "ours is still open");
    end.receive(ControlPacket { is_final: true, ..end.heard(BfdState::Up) });
    assert!(!sent(&end.wait().1)[0].poll);
}

#[test]
fn whoever_is_passive_says_nothing_before_the_peer_does() {
    let mut end = End::with(Profile { is_passive: true, ..fast() });
    assert_eq!(end.session.deadline(), None);
    let actions = end.receive(ControlPacket { yours: 0, ..end.heard(BfdState::Down) });
    assert_eq!(sent(&actions).iter().map(|it| it.state).collect::<Vec<_>>(), [BfdState::Init]);
    while end.session.state() != BfdState::Down {
        end.wait();
    }
    assert_eq!(sent(&end.wait().1).len(), 1, "whoever was heard once hears that it is missed");
}

#[test]
fn packets_for_another_session_or_for_one_of_before_are_passed_over() {
    let mut end = End::up(fast());
    let other = end.heard(BfdState::Down).yours ^ 1;
    assert_eq!(end.receive(ControlPacket { yours: other, ..end.heard(BfdState::Down) }), []);
    assert_eq!(end.session.state(), BfdState::Up);
}

#[test]
fn a_peer_that_would_hear_nothing_is_sent_nothing_until_it_asks() {
    let mut end = End::up(fast());
    end.receive(ControlPacket { is_final: true, ..end.heard(BfdState::Up) });
    end.receive(ControlPacket { demand: true, multiplier: 255, ..end.heard(BfdState::Up) });
    let (waited, _) = end.wait();
    assert_eq!(waited, ms(100) * 255, "nothing but the detection time is waited for");
    let mut end = End::up(fast());
    end.receive(ControlPacket { is_final: true, demand: true, ..end.heard(BfdState::Up) });
    let answered = sent(&end.receive(ControlPacket { poll: true, demand: true, ..end.heard(BfdState::Up) }));
    assert!(answered[0].is_final);
}

#[test]
fn whoever_switches_off_says_so_for_one_more_detection_time_and_hears_nothing_any_more() {
    let mut end = End::up(fast());
    assert_eq!(end.session.switch_off(end.now), ms(300));
    let told = sent(&end.wait().1)[0];
    assert_eq!((told.state, told.diagnostic, told.poll), (BfdState::AdminDown, Diagnostic::AdminDown, false));
    assert!(told.transmit >= ms(1_000), "RFC 5880 §6.8.3");
    assert_eq!(end.receive(end.heard(BfdState::Down)), []);
    assert_eq!(end.session.state(), BfdState::AdminDown);
}

/// Two ends and a wire that loses packets and takes a moment for them.
#[test]
fn two_ends_come_up_stay_up_through_single_losses_and_both_notice_a_cut() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let profile = |random: &mut fastrand::Rng| Profile {
            receive: ms(random.u64(20..400)),
            transmit: ms(random.u64(20..400)),
            multiplier: random.u8(3..6),
            ..Profile::default()
        };
        let profiles = [profile(&mut random), Profile { is_passive: random.bool(), ..profile(&mut random) }];
        // The same for all: what overtakes another packet could tell a state of before.
        let delay = ms(random.u64(1..5));
        let start = Instant::now();
        let mut now = start;
        let mut ends = profiles.map(|profile| BfdSession::new(profile, start, random.fork()));
        let mut wire: Vec<(Instant, usize, ControlPacket)> = Vec::new();
        let (cut, mut downs, mut lost_one) = (start + ms(10_000), [None; 2], [false; 2]);
        while now < start + ms(20_000) {
            let arrives = wire.iter().map(|(at, ..)| *at).min();
            let next =
                ends.iter().filter_map(BfdSession::deadline).chain(arrives).min().expect("something happens");
            now = now.max(next);
            let mut done: Vec<(usize, Vec<BfdAction>)> = Vec::new();
            for (at, to, packet) in std::mem::take(&mut wire) {
                match at <= now {
                    true => done.push((
                        to,
                        ends[to].received(now, ControlPacket::parse(&packet.emit()).expect("sound")),
                    )),
                    false => wire.push((at, to, packet)),
                }
            }
            for (end, session) in ends.iter_mut().enumerate() {
                done.push((end, session.passed(now)));
            }
            for (from, action) in
                done.into_iter().flat_map(|(from, actions)| actions.into_iter().map(move |it| (from, it)))
            {
                match action {
                    // Never two in a row, or three would be lost sooner or later.
                    BfdAction::Send(_) if !lost_one[from] && random.u8(..10) == 0 => lost_one[from] = true,
                    BfdAction::Send(packet) => {
                        lost_one[from] = false;
                        if now < cut {
                            wire.push((now + delay, 1 - from, packet));
                        }
                    }
                    BfdAction::Down(_) | BfdAction::Off => {
                        assert!(now >= cut, "seed {seed}: {from} is down before the cut: {action:?}");
                        downs[from].get_or_insert(now);
                    }
                    BfdAction::Up => {}
                }
            }
            if now >= start + ms(9_000) && now < cut {
                assert_eq!(
                    ends.each_ref().map(BfdSession::state),
                    [BfdState::Up; 2],
                    "seed {seed}: after nine seconds"
                );
            }
        }
        for (end, down) in downs.into_iter().enumerate() {
            let (ours, theirs) = (profiles[end], profiles[1 - end]);
            let detection = ours.receive.max(theirs.transmit) * theirs.multiplier.into();
            let down = down.unwrap_or_else(|| panic!("seed {seed}: {end} never notices"));
            assert!(down - cut <= detection + ms(5), "seed {seed}: {end} notices after {:?}", down - cut);
        }
    }
}

#[test]
fn any_bytes_at_any_time_are_read_without_panic_and_whatever_is_sent_is_sound() {
    let count: u64 =
        std::env::var("ANNOUNCER_PACKETS").ok().and_then(|count| count.parse().ok()).unwrap_or(30_000);
    let (mut read, mut ups) = (0, 0);
    for seed in 1..=count / 20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut session =
            BfdSession::new(Profile { is_passive: random.bool(), ..fast() }, now, random.fork());
        let mut ours = 0;
        for _ in 0..20 {
            let mut bytes = ControlPacket { yours: ours, ..packet() }.emit().to_vec();
            bytes[1] = random.u8(..) & 0xf8;
            for _ in 0..random.usize(..3) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            if random.u8(..10) == 0 {
                bytes.truncate(random.usize(..24));
            }
            let mut actions = match ControlPacket::parse(&bytes) {
                Some(packet) => {
                    read += 1;
                    session.received(now, packet)
                }
                None => Vec::new(),
            };
            now = match random.bool() {
                true => now + ms(random.u64(..2_000)),
                false => session.deadline().map_or(now, |at| at.max(now)),
            };
            actions.extend(session.passed(now));
            for action in actions {
                match action {
                    BfdAction::Send(packet) => {
                        assert_eq!(ControlPacket::parse(&packet.emit()), Some(packet), "seed {seed}");
                        ours = packet.mine;
                    }
                    BfdAction::Up => ups += 1,
                    _ => {}
                }
            }
        }
    }
    assert!(read > count / 4 && ups > count / 200, "{read} read, {ups} up: too few to say much");
}
