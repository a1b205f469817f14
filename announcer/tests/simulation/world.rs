//! Nodes, their clocks, and the wire between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use announcer::beat::{Beat, Boot};
use announcer::ethernet::Mac;
use announcer::segment::{HeartbeatSettings, LinkState, Me, Segment, SegmentStatus};

use crate::history::{Disturbance, History, Wanted};
use crate::invariants::Invariants;

pub(crate) struct Node {
    pub(crate) segment: Option<Segment>,
    pub(crate) paused: bool,
    pub(crate) usable: bool,
    pub(crate) leaving: bool,
    /// What it was told last.
    pub(crate) wanted: Wanted,
    inbox: Vec<Beat>,
    rate: f64,
    /// Which of the wake-ups that were asked for is the last.
    wake: u64,
}

impl Node {
    /// What its clock says.
    pub(crate) fn clock(&self, real: Duration) -> Duration {
        Duration::from_secs(1_000) + real.mul_f64(self.rate)
    }

    /// Whether it runs and can be reached.
    pub(crate) fn is_up(&self) -> bool {
        self.segment.is_some() && !self.paused && self.usable
    }

    /// Whether it takes what is free.
    pub(crate) fn is_ready(&self) -> bool {
        let status = self.segment.as_ref().map(Segment::status);
        self.is_up() && status == Some(SegmentStatus::Candidate)
    }

    /// Whether it answers for an address. Who stands still does not.
    pub(crate) fn answers(&self, ip: IpAddr) -> bool {
        !self.paused && self.segment.as_ref().is_some_and(|segment| segment.held().contains(&ip))
    }
}

#[derive(Debug)]
enum Event {
    Disturb(Disturbance),
    Told(usize, u64),
    Deliver(usize, usize, Box<Beat>),
    Wake(usize, u64),
    Calm,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) nodes: Vec<Node>,
    pub(crate) history: History,
    pub(crate) cuts: BTreeSet<(usize, usize)>,
    /// What is wanted, by number; the last is what is wanted now.
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) told: Vec<u64>,
    pub(crate) invariants: Invariants,
    pub(crate) log: Vec<String>,
    events: BTreeMap<u64, Event>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    number: u64,
}

impl World {
    pub(crate) fn new(mut history: History) -> Self {
        let nodes = history.rates.iter().map(|rate| Node {
            segment: None,
            paused: false,
            usable: true,
            leaving: false,
            wanted: Wanted::new(),
            inbox: Vec::new(),
            rate: *rate,
            wake: 0,
        });
        let nodes: Vec<Node> = nodes.collect();
        let disturbances = std::mem::take(&mut history.disturbances);
        let mut world = World {
            now: Duration::ZERO,
            told: vec![0; nodes.len()],
            invariants: Invariants::new(nodes.len()),
            nodes,
            cuts: BTreeSet::new(),
            wanted: Vec::new(),
            log: Vec::new(),
            events: BTreeMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            history,
        };
        for (at, disturbance) in disturbances {
            world.push(at, Event::Disturb(disturbance));
        }
        world.push(world.history.calm, Event::Calm);
        world
    }

    /// Whether all nodes know what is wanted.
    pub(crate) fn is_settled(&self) -> bool {
        self.told.iter().all(|told| *told == self.wanted.len() as u64)
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.events.insert(self.number, event);
        self.queue.push(Reverse((at, self.number)));
    }

    /// Until the end, or until something is broken.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > self.history.end {
                break;
            }
            self.now = at;
            match self.events.remove(&number).expect("an event") {
                Event::Disturb(disturbance) => self.disturb(disturbance),
                Event::Told(node, wanted) => self.tell(node, wanted),
                Event::Deliver(from, to, beat) => self.deliver(from, to, *beat)?,
                Event::Wake(node, wake) if self.nodes[node].wake == wake => self.tick(node),
                Event::Wake(..) => {}
                Event::Calm => self.calm_down(),
            }
            Invariants::check(self)?;
        }
        Invariants::check_end(self)
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        Invariants::disturbed(self);
        self.log.push(match &disturbance {
            Disturbance::Want(wanted) => format!("{:?} wanted {wanted:?}", self.now),
            other => format!("{:?} {other:?}", self.now),
        });
        match disturbance {
            Disturbance::Start(node) => self.start(node),
            Disturbance::Kill(node) => self.kill(node),
            Disturbance::Leave(node) => {
                self.nodes[node].leaving = true;
                self.with(node, Segment::leave);
            }
            Disturbance::Pause(node) => self.nodes[node].paused = true,
            Disturbance::Resume(node) => self.resume(node),
            Disturbance::Link(node, usable) => self.set_link(node, usable),
            Disturbance::Cut(from, to) => drop(self.cuts.insert((from, to))),
            Disturbance::Heal => self.cuts.clear(),
            Disturbance::Want(wanted) => {
                self.wanted.push(wanted);
                for node in 0..self.nodes.len() {
                    let lag = self.history.numbers.ms(0, self.history.lag);
                    self.push(self.now + lag, Event::Told(node, self.wanted.len() as u64));
                }
            }
        }
    }

    fn start(&mut self, number: usize) {
        self.kill(number);
        let clock = self.nodes[number].clock(self.now);
        // As random as a real one: of two that are alike when cut short, one would pass for the other.
        let boot = Boot(self.history.numbers.next());
        let node = &mut self.nodes[number];
        let me = Me { node: format!("n{number}").into(), link: "eth0".into(), boot };
        node.segment = Some(Segment::new(me, HeartbeatSettings::default(), clock));
        let told = self.told[number];
        self.set_link(number, self.nodes[number].usable);
        if told > 0 {
            self.tell(number, told);
        }
    }

    fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        (node.segment, node.paused, node.leaving) = (None, false, false);
        node.inbox.clear();
    }

    /// What came in meanwhile is read, before or after the process looks at its clock for other reasons.
    fn resume(&mut self, node: usize) {
        self.nodes[node].paused = false;
        if self.history.numbers.chance(50) {
            self.tick(node);
        }
        for beat in std::mem::take(&mut self.nodes[node].inbox) {
            self.with(node, |segment, now| segment.heard(now, beat));
        }
        self.tick(node);
    }

    fn set_link(&mut self, node: usize, usable: bool) {
        self.nodes[node].usable = usable;
        let mac = Mac::new([2, 0, 0, 0, 0, node as u8]);
        self.with(node, |segment, now| segment.link(now, LinkState { usable, mac }));
    }

    fn tell(&mut self, node: usize, wanted: u64) {
        // Who is told late is not told what is out of date by then.
        self.told[node] = self.told[node].max(wanted);
        let wanted = self.wanted[self.told[node] as usize - 1].clone();
        self.nodes[node].wanted = wanted.clone();
        Invariants::disturbed(self);
        self.with(node, |segment, now| segment.want(now, &wanted));
    }

    /// A process that stands still does nothing, and is told when it goes on.
    fn with<T>(&mut self, number: usize, act: impl FnOnce(&mut Segment, Duration) -> T) {
        let clock = self.nodes[number].clock(self.now);
        let Some(segment) = self.nodes[number].segment.as_mut() else { return };
        let before = segment.clone();
        act(segment, clock);
        self.invariants.acted(clock, &before, segment);
        self.ask_to_be_woken(number);
    }

    fn deliver(&mut self, from: usize, to: usize, beat: Beat) -> Result<(), String> {
        let node = &mut self.nodes[to];
        if node.segment.is_none() || !node.usable {
            return Ok(());
        }
        if node.paused {
            node.inbox.push(beat);
            return Ok(());
        }
        let said = beat.clone();
        self.with(to, |segment, now| segment.heard(now, beat));
        Invariants::heard(self, from, to, &said)
    }

    fn tick(&mut self, number: usize) {
        let clock = self.nodes[number].clock(self.now);
        if self.nodes[number].paused {
            return;
        }
        let Some(segment) = self.nodes[number].segment.as_mut() else { return };
        let before = segment.clone();
        let beats = segment.tick(clock).beats;
        self.invariants.acted(clock, &before, segment);
        beats.iter().for_each(|beat| segment.sent(beat.sequence));
        let has_left = segment.has_left();
        for beat in beats {
            for to in (0..self.nodes.len()).filter(|to| *to != number) {
                let numbers = &mut self.history.numbers;
                let (from, until) = self.history.delay;
                let (delay, lost) = (numbers.ms(from, until), numbers.chance(self.history.loss));
                if !lost && !self.cuts.contains(&(number, to)) && self.nodes[number].usable {
                    self.push(self.now + delay, Event::Deliver(number, to, Box::new(beat.clone())));
                }
            }
        }
        if has_left {
            self.log.push(format!("{:?} n{number} has left", self.now));
            self.kill(number);
            Invariants::disturbed(self);
        }
        self.ask_to_be_woken(number);
    }

    fn ask_to_be_woken(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(segment) = node.segment.as_mut() else { return };
        let (changes, next) = (segment.changes(), segment.next());
        for change in changes {
            self.log.push(format!("{:?} n{number}: {change:?}", self.now));
            Invariants::changed(self, number, &change);
        }
        let Some(next) = next else { return };
        let node = &mut self.nodes[number];
        node.wake += 1;
        let wake = node.wake;
        // A little later than asked for, as a real process would be.
        let late = Duration::from_micros(1 + self.history.numbers.below(300));
        let after = next.saturating_sub(node.clock(self.now)).div_f64(node.rate) + late;
        self.push(self.now + after, Event::Wake(number, wake));
    }

    fn calm_down(&mut self) {
        Invariants::disturbed(self);
        self.log.push(format!("{:?} calm", self.now));
        self.cuts.clear();
        self.history.loss = 0;
        for node in 0..self.nodes.len() {
            if self.nodes[node].segment.is_none() || self.nodes[node].leaving {
                self.start(node);
            }
            if self.nodes[node].paused {
                self.resume(node);
            }
            self.set_link(node, true);
        }
    }
}
