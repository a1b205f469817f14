//! Nanoseconds per allocation: `cargo bench --workspace --bench allocate`.

use std::hint::black_box;
use std::time::Instant;

use cloud_provider::IpFamily;
use cloud_provider::testing::a_service_named;
use metallb::crd::IPAddressPoolSpec;
use metallb::pool::Definition;
use metallb::pools::Pools;
use provider_bare::allocator::Allocator;
use provider_bare::desired::{ObservedService, Ownership, read};
use provider_bare::plan::Policy;

const SAMPLE: usize = 200;

fn seen(family: IpFamily, i: usize) -> ObservedService {
    let service = a_service_named("default", &format!("s{i}")).uid(&format!("uid-{i}")).families([family]);
    read(&service.build(), Ownership::Ours, false).observed
}

fn allocator(range: &str, family: IpFamily, filled: usize) -> Allocator {
    let definition = Definition {
        namespace: String::new(),
        name: "p".to_owned(),
        created: None,
        annotations: Default::default(),
        spec: Ok(IPAddressPoolSpec::of([range])),
    };
    let mut allocator = Allocator::new(Policy::default());
    allocator.set_pools(Pools::parse(&[definition]).0);
    for i in 0..filled {
        allocator.ensure(seen(family, i));
    }
    allocator
}

fn main() {
    println!("{:<16} {:>10} {:>16} {:>14}", "pool", "in use", "allocate (ns)", "give back (ns)");
    for (range, family, fillings) in [
        ("10.0.0.0/24", IpFamily::V4, [0, 50]),
        ("10.0.0.0/16", IpFamily::V4, [0, 65_000]),
        ("10.0.0.0/8", IpFamily::V4, [0, 65_000]),
        ("fc00::/64", IpFamily::V6, [0, 65_000]),
    ] {
        for filled in fillings {
            let mut allocator = allocator(range, family, filled);
            let services: Vec<ObservedService> = (filled..filled + SAMPLE).map(|i| seen(family, i)).collect();
            let uids: Vec<String> = services.iter().map(|seen| seen.id.uid.clone()).collect();
            let start = Instant::now();
            for seen in services {
                black_box(allocator.ensure(seen));
            }
            let allocate = start.elapsed().as_nanos() / SAMPLE as u128;
            let start = Instant::now();
            for uid in &uids {
                allocator.delete(black_box(uid));
            }
            let give_back = start.elapsed().as_nanos() / SAMPLE as u128;
            println!("{range:<16} {filled:>10} {allocate:>16} {give_back:>14}");
        }
    }
}
