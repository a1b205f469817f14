//! Playing scenes and telling how each went.

use std::any::Any;
use std::env;
use std::io::{Write, stderr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tests::real_cluster::{ProxyMode, RealCluster};
use tokio::sync::{Mutex, MutexGuard};

use super::stage::Stage;

/// Something that happens in a cluster.
pub(crate) struct Scene {
    /// Its name, a sentence.
    pub name: &'static str,
    /// What happens. It panics if that goes wrong.
    pub play: for<'a> fn(&'a Stage) -> LocalBoxFuture<'a, ()>,
}

/// Two clusters at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Plays scenes in a cluster of their own, all that `SCENE` does not leave out. The test fails if one does, at the end.
pub(crate) async fn play(mode: ProxyMode, scenes: &[Scene]) {
    let only = env::var("SCENE").unwrap_or_default();
    let scenes: Vec<&Scene> = scenes.iter().filter(|scene| scene.name.contains(&only)).collect();
    let with = format!("kube-proxy by {}", mode.name());
    if scenes.is_empty() {
        return say(&format!("scenes, {with}: none has \"{only}\" in its name, as SCENE wants"));
    }
    let Some(_turn) = turn(&format!("{} scenes, {with}", scenes.len())).await else { return };

    let start = Instant::now();
    let stage = Stage::open(mode).await;
    say(&format!("scenes, {with}: the cluster is up after {:.1} s", start.elapsed().as_secs_f64()));
    let mut failed = Vec::new();
    for scene in &scenes {
        let begin = Instant::now();
        let played = AssertUnwindSafe((scene.play)(&stage)).catch_unwind().await;
        let cleared = |stage| AssertUnwindSafe(Stage::clear(stage)).catch_unwind();
        let ended = match played {
            Ok(()) => cleared(&stage).await,
            Err(panic) => Err(panic),
        };
        let seconds = begin.elapsed().as_secs_f64();
        match ended {
            Ok(()) => say(&format!("scene {} ... ok ({seconds:.1} s)", scene.name)),
            Err(panic) => {
                say(&format!("scene {} ... FAILED ({seconds:.1} s)\n{}", scene.name, words(&*panic)));
                say(&stage.state());
                failed.push(scene.name);
                // What a scene has left may not be in the way of the next; that it failed is known.
                let _ = cleared(&stage).await;
            }
        }
    }
    stage.close();
    let passed = scenes.len() - failed.len();
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("scenes, {with}: {passed} passed, {} failed, in {seconds:.1} s", failed.len()));
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The right to have a cluster; none where there can be none, which one line says.
///
/// # Panics
/// Where there can be none and `CLUSTER_SCENES` requires one.
pub(crate) async fn turn(what: &str) -> Option<MutexGuard<'static, ()>> {
    let wanted = Wanted::from_environment();
    if let Wanted::No = wanted {
        say(&format!("not run: {what}: CLUSTER_SCENES=skip"));
        return None;
    }
    if let Err(error) = RealCluster::possible() {
        let not_run = format!("not run: {what}: {error}");
        assert_ne!(wanted, Wanted::Required, "{not_run}");
        say(&not_run);
        return None;
    }
    Some(ONE_AT_A_TIME.lock().await)
}

/// Whether scenes are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    WherePossible,
    Required,
    No,
}

impl Wanted {
    fn from_environment() -> Self {
        match env::var("CLUSTER_SCENES").unwrap_or_default().as_str() {
            "" => Wanted::WherePossible,
            "required" => Wanted::Required,
            "skip" => Wanted::No,
            other => panic!(
                "CLUSTER_SCENES={other:.40?} means nothing; \"required\" makes them run or fail, \"skip\" leaves them out"
            ),
        }
    }
}

/// Past the harness, which keeps what a test prints unless it fails.
pub(crate) fn say(line: &str) {
    // Who closed standard error does not want to know.
    let _ = writeln!(stderr(), "{line}");
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
