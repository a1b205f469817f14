//! What the program keeps in memory while Services come and go, and whether that grows.

use kube::ResourceExt;

use super::user::User;
use super::{CALM_TIMEOUT, Length, server_fails};
use crate::cluster::Cluster;
use crate::process::{Access, Program};

/// What the program had in memory at each of three looks, in KiB: all of them with no Service left, and as much churn
/// between two of them as [`Length`] says. The first look is for what a process takes once and keeps: before it the
/// program was killed in the middle of its work.
///
/// # Panics
/// When what is left does not go, or what the program has in memory cannot be read.
pub async fn looks(cluster: &Cluster, access: &Access, arguments: &[&str], length: Length) -> [u64; 3] {
    let mut rng = fastrand::Rng::with_seed(length.seed);
    let user = User::of(cluster, None);
    let killed = Program::start(access, arguments);
    killed.until_ready().await;
    happens(cluster, &user, &mut rng, length.rounds / 10).await;
    killed.signal("KILL");
    let program = Program::start(access, arguments);
    program.until_ready().await;
    let mut looks = [0; 3];
    for look in &mut looks {
        happens(cluster, &user, &mut rng, length.rounds).await;
        if let Some(double) = cluster.plane.double() {
            double.faults().clear();
        }
        let left = async {
            loop {
                user.deletes_everything().await;
                if user.services().await.iter().all(|service| service.finalizers().is_empty()) {
                    return;
                }
            }
        };
        tokio::time::timeout(CALM_TIMEOUT, left).await.expect("everything goes");
        *look = program.resident_kib();
    }
    looks
}

async fn happens(cluster: &Cluster, user: &User, rng: &mut fastrand::Rng, rounds: u32) {
    for _ in 0..rounds {
        match rng.u32(0..100) {
            0..97 => user.acts(rng).await,
            _ => server_fails(cluster, rng).await,
        }
    }
}
