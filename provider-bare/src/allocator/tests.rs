//! What an allocation costs, counted in steps rather than seconds.

use std::net::IpAddr;

use cloud_provider::testing::{ServiceBuilder, a_service_named};
use cloud_provider::{FamilyPolicy, IpFamily};

use metallb::crd::IPAddressPoolSpec;
use metallb::pool::Definition;
use metallb::pools::Pools;

use super::{Allocator, ServiceAddresses};
use crate::allocation::Allocation;
use crate::desired::{ObservedService, Ownership, read};
use crate::free_addresses::steps;
use crate::plan::Policy;

fn allocator(pools: &[(&str, &[&str])]) -> Allocator {
    let definitions: Vec<Definition> = pools
        .iter()
        .map(|(name, addresses)| Definition {
            namespace: String::new(),
            name: (*name).to_owned(),
            labels: Default::default(),
            created: None,
            annotations: Default::default(),
            spec: Ok(IPAddressPoolSpec::of(addresses.iter().copied())),
        })
        .collect();
    let mut allocator = Allocator::new(Policy::default());
    allocator.set_pools(Pools::parse(&definitions).0);
    allocator
}

fn observed(builder: ServiceBuilder) -> ObservedService {
    read(&builder.build(), Ownership::Ours, false).observed
}

fn service(family: IpFamily, i: usize) -> ServiceBuilder {
    a_service_named("default", &format!("s{i}")).uid(&format!("uid-{i}")).families([family])
}

fn ensure(allocator: &mut Allocator, builder: ServiceBuilder) -> ServiceAddresses {
    allocator.ensure(observed(builder))
}

/// Steps of one more allocation after so many.
fn steps_after(range: &str, family: IpFamily, filled: usize) -> u64 {
    let mut allocator = allocator(&[("p", &[range])]);
    for i in 0..filled {
        let answer = ensure(&mut allocator, service(family, i));
        assert_eq!(answer.allocation, Allocation::Served);
    }
    let (steps, answer) = steps::of(|| ensure(&mut allocator, service(family, filled)));
    assert_eq!(answer.allocation, Allocation::Served);
    steps
}

#[test]
fn an_allocation_costs_the_same_in_a_16_a_pool_of_16_million_and_a_64() {
    let small = steps_after("10.0.0.0/24", IpFamily::V4, 0);
    for (range, family) in [
        ("10.0.0.0/16", IpFamily::V4),
        ("10.0.0.0/8", IpFamily::V4),
        ("fc00::/64", IpFamily::V6),
        ("::/0", IpFamily::V6),
    ] {
        for filled in [0, 1, 200, 2000] {
            assert_eq!(steps_after(range, family, filled), small, "{range} after {filled}");
        }
    }
}

#[test]
fn the_last_address_of_a_pool_costs_no_more_than_the_first() {
    let (last, first) =
        (steps_after("10.0.0.0/20", IpFamily::V4, 4095), steps_after("10.0.0.0/20", IpFamily::V4, 0));
    assert!(last <= first, "{last} steps for the last, {first} for the first");
}

#[test]
fn a_pool_full_of_holes_costs_no_more() {
    let mut allocator = allocator(&[("p", &["10.0.0.0/19"])]);
    for i in 0..8192 {
        ensure(&mut allocator, service(IpFamily::V4, i));
    }
    for i in (0..8192).step_by(2) {
        allocator.delete(&format!("uid-{i}"));
    }
    let (steps, answer) = steps::of(|| ensure(&mut allocator, service(IpFamily::V4, 9000)));
    assert_eq!(answer.addresses.as_slice(), ["10.0.0.0".parse::<IpAddr>().unwrap()]);
    assert!(steps <= steps_after("10.0.0.0/19", IpFamily::V4, 0), "{steps}");
}

#[test]
fn who_finds_nothing_finds_it_out_at_once() {
    let mut allocator = allocator(&[("p", &["10.0.0.0/20"])]);
    for i in 0..4096 {
        ensure(&mut allocator, service(IpFamily::V4, i));
    }
    let (steps, answer) = steps::of(|| ensure(&mut allocator, service(IpFamily::V4, 5000)));
    assert!(matches!(answer.allocation, Allocation::Waiting(_)));
    assert!(steps <= 4, "{steps}");
}

#[test]
fn a_freed_address_costs_the_same_however_many_wait() {
    let steps_with = |waiting: usize| {
        let mut allocator = allocator(&[("p", &["10.0.0.0/32"])]);
        ensure(&mut allocator, service(IpFamily::V4, 0));
        for i in 1..=waiting {
            ensure(&mut allocator, service(IpFamily::V4, i));
        }
        let (steps, ()) = steps::of(|| allocator.delete("uid-0"));
        assert_eq!(allocator.take_wakeups().len(), 1);
        steps
    };
    assert_eq!(steps_with(2000), steps_with(2));
}

#[test]
fn those_who_wait_for_something_else_cost_nothing() {
    let steps_with = |waiting: usize| {
        let mut allocator = allocator(&[("p", &["10.0.0.0/31", "fc00::/128"])]);
        ensure(&mut allocator, service(IpFamily::V6, 0));
        ensure(&mut allocator, service(IpFamily::V4, 1));
        for i in 2..waiting + 2 {
            let both = service(IpFamily::V4, i).dual_stack().family_policy(FamilyPolicy::RequireDualStack);
            ensure(&mut allocator, both);
        }
        let (steps, ()) = steps::of(|| allocator.delete("uid-1"));
        assert_eq!(allocator.take_wakeups(), []);
        steps
    };
    assert_eq!(steps_with(1000), steps_with(1));
}

#[test]
fn looking_again_at_a_service_that_is_served_touches_no_pool() {
    let mut allocator = allocator(&[("p", &["10.0.0.0/16"])]);
    ensure(&mut allocator, service(IpFamily::V4, 0));
    let (steps, _) = steps::of(|| ensure(&mut allocator, service(IpFamily::V4, 0)));
    assert_eq!(steps, 0);
}

/// As at the start of a new leader: every address that is published, then those that wait.
#[test]
fn a_rebuild_costs_a_few_steps_for_each_service() {
    let steps_for = |count: usize| {
        let mut allocator = allocator(&[("p", &["10.0.0.0/8"])]);
        let services: Vec<ObservedService> = (0..count)
            .map(|i| {
                let builder = service(IpFamily::V4, i);
                let ip = format!("10.1.{}.{}", i / 256, i % 256);
                observed(if i % 2 == 0 { builder.published_ips([ip.as_str()]) } else { builder })
            })
            .collect();
        steps::of(|| allocator.resume(services)).0
    };
    let (few, many) = (steps_for(500), steps_for(5000));
    assert!(many <= few * 10 + 10, "{few} steps for 500 and {many} for 5000");
}
