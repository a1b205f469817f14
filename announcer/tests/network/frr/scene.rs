//! A scene with FRR in it.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::namespaces::{DEADLINE, is_inside};

/// What is needed, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("/usr/lib/frr/bgpd", "frr"),
    ("/usr/lib/frr/bfdd", "frr"),
    ("/usr/bin/vtysh", "frr"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
];

/// Plays a scene. `name` is the path of the test that calls it.
pub(crate) fn play<F: Future<Output = ()>>(name: &str, scene: impl FnOnce() -> F) {
    if !is_inside(name, &NEEDED) {
        return;
    }
    // The scene itself waits for programs, and sessions go on meanwhile.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(scene());
}

/// How long a look is apart from the next. It is looked again and again because FRR tells nobody of its sessions and routes:
/// its shell answers when it is asked, in a process of its own, and has no way to wait for a change.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until what is seen is what is expected, and says how long that took.
#[track_caller]
pub(crate) fn until<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    mut look: impl FnMut() -> T,
) -> impl Future<Output = Duration> {
    let (start, caller) = (Instant::now(), std::panic::Location::caller());
    async move {
        loop {
            let seen = look();
            if seen == expected {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{caller}: {what}: {seen:?} is seen, {expected:?} is expected"
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}
