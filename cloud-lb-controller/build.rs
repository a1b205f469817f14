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
    link_in_order();
}

/// A program that stands at a fixed place in memory needs no relocations: a table of more than a megabyte that is read at
/// every start, and as much that is written because of it and belongs to the process alone from then on. Go links so, and
/// with it Kubernetes' own programs and MetalLB's. What it takes away is that an attacker has to guess where code is; none
/// of ours can be made to jump, as it is Rust without unsafe code.
fn link_for_a_fixed_place() {
    if is_release_for_linux() {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

/// What else there is links in other ways, and what is not released is linked often.
fn is_release_for_linux() -> bool {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("PROFILE", "release")
}

/// What the program does from its start on lies side by side. Of thirteen megabytes of code three are ever run, a little of
/// them everywhere: the kernel maps sixteen pages where one is touched, so that nearly all of it counted as memory of the
/// process, and all of it was read from the disk at the first start on a node.
///
/// `first.ld` names the functions; `tests/link-order` writes it.
fn link_in_order() {
    println!("cargo::rerun-if-changed={ORDER}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if is_release_for_linux() && lld_links() {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{here}/{ORDER}");
    }
}

/// The script for the linker.
const ORDER: &str = "first.ld";

/// Whether it is LLVM's linker that links, as rustc has it on most machines: it finds the functions in seconds, and others
/// take minutes, or have no scripts at all. It is asked with an option that no other knows.
fn lld_links() -> bool {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(rustc), Some(folder), Some(target)) =
        (variable("RUSTC"), variable("OUT_DIR"), variable("TARGET"))
    else {
        return false;
    };
    let source = Path::new(&folder).join("asked.rs");
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut asked = Command::new(rustc);
    asked.arg(&source).args(["--target", &target, "-C", "link-arg=-Wl,--no-warn-symbol-ordering"]);
    asked.arg("-o").arg(Path::new(&folder).join("asked"));
    if let Some(linker) = variable("RUSTC_LINKER") {
        asked.arg("-C").arg(format!("linker={linker}"));
    }
    // What the builder asks of rustc may choose the linker.
    asked.args(
        variable("CARGO_ENCODED_RUSTFLAGS")
            .iter()
            .flat_map(|all| all.split('\x1f'))
            .filter(|it| !it.is_empty()),
    );
    asked.output().is_ok_and(|answer| answer.status.success())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}
