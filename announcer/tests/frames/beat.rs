//! The heartbeat's bytes, its signature, and what is refused by which name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use announcer::beat::{Beat, Boot, Cluster, Key, MAX_PAGE_BYTES, Refused, Role};
use announcer::ethernet::Mac;
use fastrand::Rng;

use crate::count::count;

const FROM: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
/// From `printf UID | sha256sum`.
const CLUSTER: [u8; 8] = [0xc2, 0x82, 0xb4, 0xe7, 0x2d, 0xf5, 0xc4, 0x30];
/// From `openssl dgst -sha256 -hmac 'a key of the test'` over the bytes before it.
const SIGNATURE: [u8; 16] =
    [0x54, 0x12, 0x9c, 0xc3, 0x15, 0x43, 0x0d, 0x42, 0x2c, 0x9a, 0xf0, 0xd0, 0x16, 0xdc, 0xb7, 0xf7];
/// Two hardware addresses and the EtherType stand before it.
const HEADER_BYTES: usize = 14;

fn key() -> Key {
    Key::new(b"a key of the test").unwrap()
}

fn cluster() -> Cluster {
    Cluster::of("6f8b2f4e-0000-4000-8000-000000000001")
}

fn beat() -> Beat {
    Beat {
        from: FROM,
        node: "worker-1".into(),
        link: "eth0".into(),
        boot: Boot(0x0102_0304_0506_0708),
        sequence: 9,
        interval: Duration::from_millis(100),
        dead: Duration::from_millis(350),
        role: Role::Candidate,
        page: 0,
        pages: 1,
        hears: vec![Boot(7).mark(), Boot(8).mark()],
        claims: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
    }
}

#[test]
fn what_is_opened_is_what_was_sealed_whatever_it_holds() {
    for seed in 1..=500_u64 {
        let mut random = Rng::with_seed(seed);
        let many = if seed % 10 == 0 { 700 } else { 20 };
        let v4 = (0..random.usize(..many)).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n as u32)));
        let v6 = (0..random.usize(..many)).map(|n| IpAddr::V6(Ipv6Addr::from_bits(n as u128)));
        let whole = Beat {
            node: "n".repeat(1 + random.usize(..253)).into(),
            link: "l".repeat(1 + random.usize(..15)).into(),
            boot: Boot(random.u64(..)),
            sequence: random.u64(..),
            role: [Role::Listener, Role::Candidate, Role::Leaver][random.usize(..3)],
            claims: v4.chain(v6).collect(),
            hears: (0..random.usize(..many)).map(|n| Boot(n as u64).mark()).collect(),
            ..beat()
        };
        let pages = whole.clone().paged();
        let (mut hears, mut claims) = (Vec::new(), Vec::new());
        for (page, number) in pages.iter().zip(0..) {
            let frame = key().seal(page, cluster());
            assert!(frame.len() <= HEADER_BYTES + MAX_PAGE_BYTES, "seed {seed}: {} bytes", frame.len());
            assert_eq!(key().open(&frame, cluster()).as_ref(), Ok(page), "seed {seed}");
            assert_eq!((page.page, usize::from(page.pages)), (number, pages.len()), "seed {seed}");
            hears.extend(&page.hears);
            claims.extend(&page.claims);
        }
        assert_eq!((hears, claims), (whole.hears, whole.claims), "seed {seed}");
    }
}

#[test]
fn a_beat_has_these_bytes() {
    let mut expected = vec![255; 6];
    expected.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    expected.extend([1, 1, 0, 100]);
    expected.extend(CLUSTER);
    expected.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 100, 1, 94, 0, 0, 0, 1, 8, 4]);
    expected.extend([0, 2, 0, 1, 0, 1]);
    expected.extend(b"worker-1eth0");
    expected.extend([0, 0, 0, 7, 0, 0, 0, 8, 192, 0, 2, 7]);
    expected.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    expected.extend(SIGNATURE);
    assert_eq!(key().seal(&beat(), cluster()), expected);
}

#[test]
fn what_is_not_listened_to_has_a_reason_with_a_name() {
    let other_key = Key::new(b"another key of it").unwrap();
    let sealed = key().seal(&beat(), cluster());
    let mut later = sealed.clone();
    later[HEADER_BYTES] = 2;
    let mut unknown_role = beat();
    unknown_role.interval = Duration::ZERO;
    let mut cut = sealed.clone();
    cut.truncate(sealed.len() - 1);
    let mut arp = sealed.clone();
    arp[12..14].copy_from_slice(&[8, 6]);
    let table = [
        (other_key.seal(&beat(), cluster()), Refused::OtherKey { from: FROM, node: Some("worker-1".into()) }),
        (key().seal(&beat(), Cluster::of("another")), Refused::OtherCluster { from: FROM }),
        (later, Refused::Version { from: FROM, version: 2 }),
        (cut, Refused::Malformed { from: FROM, what: "it is not as long as it says" }),
        (arp, Refused::NotABeat),
        (
            key().seal(&unknown_role, cluster()),
            Refused::Malformed {
                from: FROM,
                what: "its interval is zero, or it is dead before the next one comes",
            },
        ),
    ];
    for (frame, refused) in table {
        assert_eq!(key().open(&frame, cluster()), Err(refused));
    }
    let told = Refused::OtherKey { from: FROM, node: Some("worker-1".into()) }.to_string();
    assert!(told.contains("02:00:00:00:00:01") && told.contains("worker-1"), "{told}");
}

#[test]
fn a_name_that_would_forge_a_line_of_the_log_is_not_told() {
    let forged = Beat { node: "worker-1\nall is well".into(), ..beat() };
    let refused = Key::new(b"another key of it").unwrap().open(&key().seal(&forged, cluster()), cluster());
    assert_eq!(refused, Err(Refused::OtherKey { from: FROM, node: None }));
}

#[test]
fn a_key_that_could_be_guessed_is_refused_and_none_is_printed() {
    let refused = Key::new(b"fifteen bytes..").unwrap_err();
    assert!(refused.to_string().contains("15 bytes") && refused.to_string().contains("16"), "{refused}");
    assert_eq!(format!("{:?}", key()), "Key(..)");
}

#[test]
fn any_bytes_are_opened_without_panic_and_nothing_but_what_was_sealed_is_believed() {
    let sealed: Vec<Vec<u8>> = [beat(), Beat { node: "n".repeat(253).into(), claims: vec![], ..beat() }]
        .iter()
        .map(|beat| key().seal(beat, cluster()))
        .collect();
    let mut refused = [0_u64; 3];
    for seed in 1..=count() {
        let mut random = Rng::with_seed(seed);
        let original = &sealed[random.usize(..sealed.len())];
        let mut frame = original.clone();
        for _ in 0..=random.usize(..3) {
            let at = random.usize(..frame.len());
            frame[at] ^= random.u8(..);
        }
        match random.usize(..8) {
            0 => frame.truncate(random.usize(..frame.len())),
            1 => frame.resize(frame.len() + random.usize(..100), random.u8(..)),
            2 => frame.iter_mut().skip(12).for_each(|byte| *byte = random.u8(..)),
            _ => {}
        }
        match key().open(&frame, cluster()) {
            // The hardware addresses are not signed, and padding follows what is.
            Ok(_) => assert_eq!(frame[12..original.len()], original[12..], "seed {seed}"),
            Err(Refused::OtherKey { .. }) => refused[0] += 1,
            Err(Refused::OtherCluster { .. }) => refused[1] += 1,
            Err(_) => refused[2] += 1,
        }
    }
    assert!(refused.iter().all(|times| *times > count() / 50), "{refused:?}: too few to say much");
}

/// Bytes that are signed well and make no sense: an announcer that was built differently, or is broken.
#[test]
fn any_signed_bytes_are_read_without_panic() {
    use hmac::{Hmac, KeyInit, Mac as _};
    let sealed = key().seal(&beat(), cluster());
    let (mut read, mut malformed) = (0, 0);
    for seed in 1..=count() {
        let mut random = Rng::with_seed(seed);
        let mut frame = sealed[..sealed.len() - 16].to_vec();
        for _ in 0..=random.usize(..3) {
            // Not the version, nor the cluster: everything behind them, and the role.
            let at = [HEADER_BYTES + 1, HEADER_BYTES + 12 + random.usize(..frame.len() - HEADER_BYTES - 12)]
                [random.usize(..8).min(1)];
            frame[at] = random.u8(..);
        }
        if random.usize(..2) == 0 {
            frame.resize(HEADER_BYTES + 44 + random.usize(..frame.len() - HEADER_BYTES - 44), 0);
        }
        let length = (frame.len() - HEADER_BYTES + 16) as u16;
        frame[HEADER_BYTES + 2..HEADER_BYTES + 4].copy_from_slice(&length.to_be_bytes());
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"a key of the test").unwrap();
        mac.update(&frame[HEADER_BYTES..]);
        frame.extend(&mac.finalize().into_bytes()[..16]);
        match key().open(&frame, cluster()) {
            Ok(beat) => {
                assert_eq!(key().seal(&beat, cluster()), frame, "seed {seed}");
                read += 1;
            }
            Err(Refused::Malformed { .. }) => malformed += 1,
            Err(refused) => panic!("seed {seed}: {refused:?}"),
        }
    }
    assert!(read > count() / 20 && malformed > count() / 20, "{read} read, {malformed} not");
}
