//! What users write and networks carry, read from bytes that nobody meant: no input may panic, open more than it says, or
//! be told back whole.
//!
//! A [`Target`] is one reader. The suite `fuzz` gives each of them inputs made from examples, the same each time;
//! `tests/fuzz` gives the same readers to `cargo fuzz`, which looks for inputs that reach new code.

mod frames;
pub mod mutate;

use cloud_provider::testing::{ServiceBuilder, a_service};
use cloud_provider::{Mistake, SourceRanges};
use metallb::pool::Definition;
use metallb::pools::Pools;
use provider_aws::AwsConfig;
use provider_bare::desired::Ownership;
use serde_json::Value;

/// The most that may be told of one mistake, in bytes: an event's message ends at 1,024 characters.
const MAX_MISTAKE_BYTES: usize = 4_096;

/// One reader.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its fuzz target.
    pub name: &'static str,
    reader: Reader,
}

/// What reads an input, and panics when what it made of it breaks a promise; and inputs to begin with.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Text(fn(&str), &'static [&'static str]),
    Bytes(fn(&[u8]), fn() -> Vec<Vec<u8>>),
}

impl Target {
    /// Reads so many inputs that are nearly right, the same for the same seed.
    ///
    /// # Panics
    /// When the reader does, with the input.
    pub fn try_inputs(&self, inputs: u64, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let name = self.name;
        match self.reader {
            Reader::Text(read, examples) => {
                for _ in 0..inputs {
                    let input = mutate::text(examples, &mut rng);
                    let read = std::panic::catch_unwind(|| read(&input));
                    assert!(read.is_ok(), "{name}: FUZZ_SEED={seed}, the input {input:?}");
                }
            }
            Reader::Bytes(read, examples) => {
                let examples = examples();
                for _ in 0..inputs {
                    let input = mutate::bytes(&examples, &mut rng);
                    let read = std::panic::catch_unwind(|| read(&input));
                    assert!(read.is_ok(), "{name}: FUZZ_SEED={seed}, the input {input:02x?}");
                }
            }
        }
    }
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "source_ranges",
        reader: Reader::Text(
            source_ranges,
            &[
                "10.0.0.0/8",
                "192.0.2.7/32\nfd00::/8",
                " 0.0.0.0/0 ",
                "010.0.0.1/8\n::ffff:192.0.2.0/120",
                "10.0.0.0/+0",
            ],
        ),
    },
    Target {
        name: "annotations_aws",
        reader: Reader::Text(
            annotations_aws,
            &[
                "type=external\nnlb-target-type=instance\nscheme=internet-facing",
                "subnets=subnet-1,subnet-2\neip-allocations=eipalloc-1,eipalloc-2",
                "ssl-cert=arn:aws:acm:us-east-1:123456789012:certificate/a\nssl-ports=443,https",
                "healthcheck-protocol=HTTP\nhealthcheck-path=/ready\nhealthcheck-interval=10\nhealthcheck-port=traffic-port",
                "attributes=load_balancing.cross_zone.enabled=true\ntarget-group-attributes=preserve_client_ip.enabled=true",
                "additional-resource-tags=a=b,c=d\ntarget-node-labels=a=b\nproxy-protocol=*",
                "listener-attributes.TCP-80=tcp.idle_timeout.seconds=400\nmanage-backend-security-group-rules=true",
            ],
        ),
    },
    Target {
        name: "annotations_bare",
        reader: Reader::Text(
            annotations_bare,
            &[
                "metallb.io/loadBalancerIPs=192.0.2.10,2001:db8::10",
                "metallb.io/address-pool=office\nmetallb.io/allow-shared-ip=key",
                "metallb.universe.tf/loadBalancerIPs=::ffff:192.0.2.10\nmetallb.universe.tf/address-pool= office ",
            ],
        ),
    },
    Target {
        name: "pool_manifests",
        reader: Reader::Text(
            pool_manifests,
            &[
                "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: a}\nspec: {addresses: [192.0.2.0/24, 2001:db8::-2001:db8::f]}\n",
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: metallb.io/v1beta1\n  kind: IPAddressPool\n  metadata: {name: b}\n  spec:\n    addresses: [10.0.0.1-10.0.0.9]\n    avoidBuggyIPs: true\n    serviceAllocation: {priority: 5, namespaces: [x]}\n",
                "---\nkind: BGPPeer\n---\n{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: c}, spec: {addresses: [0.0.0.0/0], autoAssign: false}}\n",
            ],
        ),
    },
    Target {
        name: "definitions",
        reader: Reader::Text(
            definitions,
            &[
                r#"{"metadata":{"name":"a","namespace":"m"},"spec":{"addresses":["192.0.2.0/24"],"autoAssign":true}}"#,
                r#"{"metadata":{"name":"a"},"spec":{"addresses":["192.0.2.1-192.0.2.9"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}]}}}"#,
                r#"{"metadata":{"name":"a","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"addresses":[1,null]}}"#,
            ],
        ),
    },
    Target {
        name: "config_file",
        reader: Reader::Text(
            config_file,
            &[
                "cloud-provider: [bare]\nleader-elect: false\nkube-api-qps: 0.5\nverify-interval: 1h\n",
                "cloud-provider: aws,bare\naws-node-ports: 30000-32767\naws-default-tags: [team=web]\nbare-class: \"\"\n",
                "# nothing\n---\nlog-level: info,kube=debug\nhttp-address: '[::1]:10258'\nconcurrent-service-syncs: 32\n",
            ],
        ),
    },
    Target {
        name: "http",
        reader: Reader::Text(
            http,
            &[
                "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\ndebug",
                "PUT /loglevel HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ninfo\r\n0\r\n\r\n",
                "HEAD /healthz HTTP/1.0\r\n\r\n",
            ],
        ),
    },
    Target { name: "question", reader: Reader::Bytes(frames::question, frames::questions) },
    Target { name: "beat", reader: Reader::Bytes(frames::beat, frames::beats) },
    Target { name: "bgp", reader: Reader::Bytes(frames::bgp, frames::bgp_streams) },
    Target { name: "bfd", reader: Reader::Bytes(frames::bfd, frames::bfd_streams) },
];

/// Gives the input to the reader of this name. One of text reads as much as is text.
///
/// # Panics
/// When there is none, or when the reader does.
pub fn read(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    match target.unwrap_or_else(|| panic!("no reader {name}")).reader {
        Reader::Text(read, _) => {
            let text = input.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            read(text);
        }
        Reader::Bytes(read, _) => read(input),
    }
}

fn told_short<'a>(mistakes: impl IntoIterator<Item = &'a Mistake>) {
    for mistake in mistakes {
        let told = mistake.to_string();
        assert!(told.len() <= MAX_MISTAKE_BYTES, "a mistake of {} bytes is told", told.len());
    }
}

/// Entries, a line each: once as the field has them, once as the annotation.
fn source_ranges(input: &str) {
    let field: Vec<String> = input.lines().map(str::to_owned).collect();
    for read in [SourceRanges::parse(&field, None), SourceRanges::parse(&[], Some(&input.replace('\n', ",")))]
    {
        match read {
            Ok(SourceRanges::Unset) => {
                assert!(input.trim().trim_matches(',').is_empty(), "{input:?} is read as nothing at all");
            }
            Ok(SourceRanges::Only(ranges)) => {
                for range in &ranges {
                    let written = range.to_string();
                    let again = SourceRanges::parse(std::slice::from_ref(&written), None);
                    assert_eq!(again, Ok(SourceRanges::Only([*range].into())), "{written}");
                    // Zeros in front are read as Kubernetes reads them: /020 is /20.
                    let length = |entry: &str| entry.trim().rsplit('/').next()?.parse::<u8>().ok();
                    let mut lengths = input.split(['\n', ',']).filter_map(length);
                    let says_so = lengths.any(|length| length == range.prefix_len());
                    assert!(says_so, "{written} is opened by {input:?}, which has no such length");
                }
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty(), "refused without a reason");
                told_short(&mistakes);
            }
        }
    }
}

/// A Service with annotations from lines of `key=value`.
fn annotated(input: &str, prefix: &str, class: Option<&str>) -> ServiceBuilder {
    let mut service = a_service();
    if let Some(class) = class {
        service = service.class(class);
    }
    for line in input.lines() {
        if let Some((key, value)) = line.split_once('=') {
            service = service.annotation(&format!("{prefix}{key}"), value);
        }
    }
    service
}

fn annotations_aws(input: &str) {
    let prefix = "service.beta.kubernetes.io/aws-load-balancer-";
    let config = AwsConfig::new("fuzz");
    for class in [None, Some(AwsConfig::CLASS)] {
        let service = annotated(input, prefix, class).build();
        match provider_aws::options::parse(&service, &config) {
            Ok(parsed) => drop(parsed),
            Err(mistakes) => told_short(mistakes.iter()),
        }
    }
}

fn annotations_bare(input: &str) {
    let service = annotated(input, "", None).build();
    for ownership in [Ownership::Ours, Ownership::Theirs] {
        let read = provider_bare::desired::read(&service, ownership, false);
        told_short(&read.mistakes);
    }
}

fn pool_manifests(input: &str) {
    consistent(&metallb::manifest::parse(input).pools);
}

/// What an API server may hold that checked nothing: a definition's schema can be any.
fn definitions(input: &str) {
    if let Ok(object) = serde_json::from_str::<Value>(input) {
        consistent(&[Definition::from_json(&object)]);
    }
}

fn config_file(input: &str) {
    if let Err(mistake) = cloud_lb_controller::readers::config_file(input) {
        assert!(
            !mistake.is_empty() && mistake.len() <= MAX_MISTAKE_BYTES,
            "a mistake of {} bytes is told",
            mistake.len()
        );
    }
}

/// One connection, from its first byte to its last.
fn http(input: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let answer = runtime.block_on(cloud_lb_controller::readers::http(input.as_bytes())).expect("a log level");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
}

/// No two pools in force have an address in common, and what is wrong is told.
fn consistent(definitions: &[Definition]) {
    let (pools, mistakes) = Pools::parse(definitions);
    for pool in pools.iter() {
        for range in &pool.ranges {
            for ip in [range.first(), range.last()] {
                assert_eq!(pools.owner(ip).map(|owner| &owner.name), Some(&pool.name), "{ip}");
            }
        }
    }
    for pool in &mistakes {
        told_short(pool.mistakes.iter());
    }
}
