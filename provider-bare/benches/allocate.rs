//! What an allocation costs: `cargo bench --package provider-bare --bench allocate`.
//!
//! An allocation is a Service that is new, from what was read of it to what is to be published: it is entered, decided for
//! and told. Beside it stand a plain `BTreeSet` into which the next address is put, without a search and without a Service,
//! and a model of what MetalLB's allocator does. Each figure is the fastest of several rounds, and where valgrind is
//! installed instructions are counted besides, which a busy machine does not change.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::hint::black_box;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_provider::IpFamily;
use cloud_provider::testing::a_service_named;
use metallb::crd::IPAddressPoolSpec;
use metallb::pool::Definition;
use metallb::pools::Pools;
use metallb::range::{AddressRange, address};
use provider_bare::allocator::Allocator;
use provider_bare::desired::{ObservedService, Ownership, read};
use provider_bare::plan::Policy;

/// How many allocations are measured together.
const SAMPLE_SIZE: usize = 200;

/// How many times.
const ROUND_COUNT: usize = 25;

/// What an allocation may cost.
const TIME_BUDGET: Duration = Duration::from_nanos(200);

/// Up to how many addresses in use the loop of MetalLB is waited for.
const MAX_LOOPS: usize = 10_000;

/// How this program is told to run one case for valgrind: the pool's number, and how many addresses are in use.
const COUNT_INSTRUCTIONS: &str = "--count-instructions-of";

const POOLS: [(&str, IpFamily); 3] =
    [("10.0.0.0/24", IpFamily::V4), ("10.0.0.0/8", IpFamily::V4), ("fc00::/64", IpFamily::V6)];

fn observed(family: IpFamily, i: usize) -> ObservedService {
    let uid = format!("5d1b6c2e-8f64-4a8b-9d0e-{i:012x}");
    let service = a_service_named("default", &format!("s{i}")).uid(&uid).families([family]);
    read(&service.build(), Ownership::Ours, false).observed
}

fn allocator(range: &str, family: IpFamily, in_use: usize) -> Allocator {
    let definition = Definition {
        namespace: String::new(),
        name: "p".to_owned(),
        labels: Default::default(),
        created: None,
        annotations: Default::default(),
        spec: Ok(IPAddressPoolSpec::of([range])),
    };
    let mut allocator = Allocator::new(Policy::default());
    allocator.set_pools(Pools::parse(&[definition]).0);
    for i in 0..in_use {
        allocator.ensure(observed(family, i));
    }
    allocator
}

/// By this name valgrind knows what to count.
#[inline(never)]
fn measured(allocator: &mut Allocator, services: Vec<ObservedService>) {
    for service in services {
        black_box(allocator.ensure(service));
    }
}

/// The time of one allocation and of one that is taken back.
fn measure(
    allocator: &mut Allocator,
    family: IpFamily,
    in_use: usize,
    sample: usize,
) -> (Duration, Duration) {
    let (mut fastest, mut fastest_back) = (Duration::MAX, Duration::MAX);
    let count = u32::try_from(sample).expect("it is small");
    for round in 0..ROUND_COUNT {
        // Nobody comes back: those are searched for what they had.
        let first = in_use + round * sample;
        let services: Vec<ObservedService> = (first..first + sample).map(|i| observed(family, i)).collect();
        let uids: Vec<Arc<str>> = services.iter().map(|service| service.id.uid.clone()).collect();
        let start = Instant::now();
        measured(allocator, services);
        fastest = fastest.min(start.elapsed() / count);
        let start = Instant::now();
        for uid in &uids {
            allocator.delete(black_box(uid));
        }
        fastest_back = fastest_back.min(start.elapsed() / count);
    }
    (fastest, fastest_back)
}

/// A set of the addresses in use, into which the next is put.
fn plain_set(range: AddressRange, in_use: usize, sample: usize) -> Duration {
    let (first, _) = range.bounds();
    let nth = |i: usize| address(range.family(), first + i as u128);
    let mut set: BTreeSet<IpAddr> = (0..in_use).map(nth).collect();
    let mut fastest = Duration::MAX;
    for _ in 0..ROUND_COUNT {
        let start = Instant::now();
        for i in in_use..in_use + sample {
            set.insert(black_box(nth(i)));
        }
        fastest = fastest.min(start.elapsed() / u32::try_from(sample).expect("it is small"));
        (in_use..in_use + sample).for_each(|i| {
            set.remove(&nth(i));
        });
    }
    fastest
}

/// A model of MetalLB's allocator, which walks a pool's addresses from the first until one is in nobody's hands
/// (`getFreeIPsFromPool` in its `internal/allocator`): who has an address is found in a map by the address's text.
fn loop_of_metallb(range: AddressRange, in_use: usize) -> Duration {
    let (first, last) = range.bounds();
    let text = |number: u128| address(range.family(), number).to_string();
    let taken: HashMap<String, usize> = (0..in_use).map(|i| (text(first + i as u128), i)).collect();
    let start = Instant::now();
    let free = (first..=last).find(|number| !taken.contains_key(&text(*number)));
    black_box(free);
    start.elapsed()
}

/// Instructions of one allocation, as valgrind's callgrind counts them; none where there is no valgrind.
fn instructions(pool: usize, in_use: usize, sample: usize) -> Option<u64> {
    let this = env::current_exe().ok()?;
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*allocate::measured*"])
        .arg(this)
        .arg(format!("{COUNT_INSTRUCTIONS}={pool},{in_use}"))
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&counted.stderr).into_owned();
    let (_, collected) = said.split_once("Collected : ")?;
    let collected: u64 = collected.split_whitespace().next()?.parse().ok()?;
    Some(collected / sample as u64)
}

fn sample_of(range: AddressRange, in_use: usize) -> usize {
    SAMPLE_SIZE.min(usize::try_from(range.count()).unwrap_or(usize::MAX) - in_use)
}

fn main() {
    let told = env::args().find_map(|argument| Some(argument.strip_prefix(COUNT_INSTRUCTIONS)?.to_owned()));
    if let Some(told) = told {
        let mut numbers = told.trim_start_matches('=').split(',').filter_map(|number| number.parse().ok());
        let (Some(pool), Some(in_use)) = (numbers.next(), numbers.next()) else { return };
        let (range, family) = POOLS[pool];
        let mut allocator = allocator(range, family, in_use);
        let sample = sample_of(range.parse().expect("a range"), in_use);
        let services = (in_use..in_use + sample).map(|i| observed(family, i)).collect();
        return measured(&mut allocator, services);
    }
    println!(
        "{:<12} {:>9} {:>13} {:>13} {:>9} {:>14} {:>18}",
        "pool",
        "in use",
        "allocate (ns)",
        "instructions",
        "back (ns)",
        "BTreeSet (ns)",
        "MetalLB's loop (ns)"
    );
    let mut over_budget = 0;
    for (pool, (text, family)) in POOLS.into_iter().enumerate() {
        let range: AddressRange = text.parse().expect("a range");
        for in_use in [1, 10_000, 1_000_000] {
            if range.count() <= in_use as u128 {
                continue;
            }
            let sample = sample_of(range, in_use);
            let (allocate, back) = measure(&mut allocator(text, family, in_use), family, in_use, sample);
            let counted = if in_use <= MAX_LOOPS { instructions(pool, in_use, sample) } else { None };
            let by_loop =
                (in_use <= MAX_LOOPS).then(|| loop_of_metallb(range, in_use).as_nanos().to_string());
            println!(
                "{text:<12} {in_use:>9} {:>13} {:>13} {:>9} {:>14} {:>18}",
                allocate.as_nanos(),
                counted.map_or("not counted".to_owned(), |counted| counted.to_string()),
                back.as_nanos(),
                plain_set(range, in_use, sample).as_nanos(),
                by_loop.unwrap_or_else(|| "not waited for".to_owned()),
            );
            over_budget += usize::from(allocate > TIME_BUDGET);
        }
    }
    println!("{over_budget} of these are over the budget of {} ns", TIME_BUDGET.as_nanos());
    if over_budget > 0 {
        println!(
            "With 1,000,000 in use it waits for memory: UIDs are random, so that a new one's place among so many is in no cache.\n\
             It would take Services that come together to be entered together, so that one is looked for while another is."
        );
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("Instructions are not counted, since there is no valgrind: apt-get install valgrind");
    }
}
