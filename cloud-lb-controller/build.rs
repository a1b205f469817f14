//! Which commit the program is built from, so that whoever reports a mistake can say.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CLOUD_LB_COMMIT");
    // Where the source is no checkout, as in an image's build, whoever builds says it.
    let given = std::env::var("CLOUD_LB_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // A commit is a line more in this file. One that is not there would have this run at every build.
    if let Some(moves) =
        git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|file| Path::new(file).exists())
    {
        println!("cargo::rerun-if-changed={moves}");
    }
    link_for_a_fixed_place();
}

/// A program that stands at a fixed place in memory needs no relocations: a table of more than a megabyte that is read at
/// every start, and as much that is written because of it and belongs to the process alone from then on. Go links so, and
/// with it Kubernetes' own programs and MetalLB's. What it takes away is that an attacker has to guess where code is; none
/// of ours can be made to jump, as it is Rust without unsafe code.
fn link_for_a_fixed_place() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    // What else there is links in other ways, and what is not released is linked often.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}
