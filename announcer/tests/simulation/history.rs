//! What happens in a history, all of it drawn from its seed before it begins.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use announcer::segment::{Eligible, Links};

/// Numbers by xorshift.
#[derive(Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // The first are as alike as the seeds.
        for _ in 0..8 {
            numbers.next();
        }
        numbers
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to one less than this.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1_000 + self.below((to - from) * 1_000 + 1))
    }
}

/// Addresses, and who may announce each.
pub(crate) type Wanted = BTreeMap<IpAddr, Vec<Eligible>>;

/// Something that happens from outside.
#[derive(Clone, Debug)]
pub(crate) enum Disturbance {
    /// The process starts; if one runs, it is killed first.
    Start(usize),
    Kill(usize),
    Leave(usize),
    Pause(usize),
    Resume(usize),
    /// The link goes down or comes up.
    Link(usize, bool),
    /// Frames of the first do not reach the second any more.
    Cut(usize, usize),
    Heal,
    /// Other addresses, or other nodes for them; told to each node after a delay of its own.
    Want(Wanted),
}

/// A history before it happens.
pub(crate) struct History {
    pub(crate) numbers: Numbers,
    /// Of each node, how fast its clock goes.
    pub(crate) rates: Vec<f64>,
    pub(crate) delay: (u64, u64),
    /// In percent.
    pub(crate) loss: u64,
    /// How long it takes at most until a node knows what is wanted.
    pub(crate) lag: u64,
    pub(crate) disturbances: Vec<(Duration, Disturbance)>,
    /// From then on nothing happens from outside, and nothing is lost.
    pub(crate) calm: Duration,
    pub(crate) end: Duration,
}

fn wanted(numbers: &mut Numbers, nodes: usize, scored: bool) -> Wanted {
    let mut wanted = Wanted::new();
    for last in 1..=1 + numbers.below(4) {
        let ip: IpAddr = if numbers.chance(50) {
            [192, 0, 2, last as u8].into()
        } else {
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, last as u16].into()
        };
        let all = numbers.chance(70);
        let mut eligible = Vec::new();
        for node in 0..nodes {
            if all || numbers.chance(60) {
                let score = if scored { numbers.below(3) as u32 } else { 0 };
                eligible.push(Eligible { node: format!("n{node}").into(), links: Links::All, score });
            }
        }
        wanted.insert(ip, eligible);
    }
    wanted
}

impl History {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let nodes = 2 + numbers.below(5) as usize;
        let scored = numbers.chance(30);
        let delay = if numbers.chance(80) { (0, 3) } else { (0, 40) };
        let loss = [0, 0, 0, 2, 10, 30][numbers.below(6) as usize];
        let lag = [0, 5, 200][numbers.below(3) as usize];
        let rates = (0..nodes).map(|_| 0.98 + numbers.below(4_001) as f64 / 100_000.0).collect();
        let mut disturbances = vec![(Duration::ZERO, Disturbance::Want(wanted(&mut numbers, nodes, scored)))];
        for node in 0..nodes {
            let together = numbers.chance(60);
            let at = if together { numbers.ms(0, 200) } else { numbers.ms(0, 3_000) };
            disturbances.push((at, Disturbance::Start(node)));
        }
        let mut at = numbers.ms(500, 1_500);
        let calm = Duration::from_secs(8);
        // Whether one thing happens at a time, each when the one before is over.
        let patient = numbers.chance(50);
        while at < calm {
            let node = numbers.below(nodes as u64) as usize;
            let other = numbers.below(nodes as u64) as usize;
            let until = |numbers: &mut Numbers, short| at + numbers.ms(10, if short { 500 } else { 2_500 });
            match numbers.below(12) {
                0 | 1 => {
                    disturbances.push((at, Disturbance::Kill(node)));
                    disturbances.push((until(&mut numbers, false), Disturbance::Start(node)));
                }
                2 => disturbances.push((at, Disturbance::Start(node))),
                3 => {
                    disturbances.push((at, Disturbance::Leave(node)));
                    disturbances.push((at + numbers.ms(1_000, 3_000), Disturbance::Start(node)));
                }
                4 | 5 => {
                    let short = numbers.chance(60);
                    disturbances.push((at, Disturbance::Pause(node)));
                    disturbances.push((until(&mut numbers, short), Disturbance::Resume(node)));
                }
                6 => {
                    disturbances.push((at, Disturbance::Link(node, false)));
                    disturbances.push((until(&mut numbers, false), Disturbance::Link(node, true)));
                }
                7 | 8 => {
                    // Two halves, in both directions.
                    let half = numbers.next();
                    let apart = |a: usize, b: usize| (half >> a & 1) != (half >> b & 1);
                    for (a, b) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
                        if apart(a, b) {
                            disturbances.push((at, Disturbance::Cut(a, b)));
                        }
                    }
                    disturbances.push((until(&mut numbers, false), Disturbance::Heal));
                }
                9 if node != other => {
                    disturbances.push((at, Disturbance::Cut(node, other)));
                    disturbances.push((until(&mut numbers, false), Disturbance::Heal));
                }
                10 => {
                    // One hears nobody, or is heard by nobody.
                    let deaf = numbers.chance(50);
                    for other in (0..nodes).filter(|other| *other != node) {
                        let (from, to) = if deaf { (other, node) } else { (node, other) };
                        disturbances.push((at, Disturbance::Cut(from, to)));
                    }
                    disturbances.push((until(&mut numbers, false), Disturbance::Heal));
                }
                11 => {
                    let wanted = wanted(&mut numbers, nodes, scored);
                    disturbances.push((at, Disturbance::Want(wanted)));
                }
                _ => {}
            }
            at += if patient { numbers.ms(1_500, 3_500) } else { numbers.ms(10, 1_200) };
        }
        disturbances.retain(|(at, _)| *at < calm);
        disturbances.sort_by_key(|(at, _)| *at);
        // With preferences, until the last who is preferred may take over.
        let end = calm + Duration::from_secs(if scored { 36 } else { 4 });
        History { numbers, rates, delay, loss, lag, disturbances, calm, end }
    }
}
