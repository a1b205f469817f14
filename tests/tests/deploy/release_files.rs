//! What `deploy/release` makes of programs that are built: the files that a release has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tests::programs;

use super::process::WORKSPACE;

const IMAGE: &str = "registry.example.com/net/cloud-lb-controller";

/// The files of a release, of stand-ins for the programs: nothing of them is run.
fn release() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).expect("a folder");
    for name in ["cloud-lb-controller", "cloud-lb-announcer"] {
        fs::copy("/bin/true", programs.join(name)).expect("a program");
    }
    let files = folder.path().join("files");
    let packed = |notices: &str, into: &Path| {
        let file = folder.path().join("NOTICES");
        fs::write(&file, notices).expect("a file");
        made("archives", |command| command.arg(&programs).arg(into).env("NOTICES", &file));
    };
    packed("who wrote what", &files);
    // Here is one machine, and a release has files for two.
    let elsewhere = folder.path().join("elsewhere");
    packed("who wrote what for the other machine", &elsewhere);
    let (this, other) = if cfg!(target_arch = "x86_64") { ("amd64", "arm64") } else { ("arm64", "amd64") };
    let archive = |architecture: &str| format!("kubectl-lb-linux-{architecture}.tar.gz");
    fs::copy(elsewhere.join(archive(this)), files.join(archive(other))).expect("the archive");
    let home = tempfile::tempdir().expect("a folder");
    let kubectl = tests::kubectl::kubectl(home.path());
    made("manifests", |command| {
        command.arg(IMAGE).arg(&files).env("HELM", programs::helm()).env("KUBECTL", kubectl.get_program())
    });
    folder
}

fn made(script: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = Command::new(Path::new(WORKSPACE).join("deploy/release").join(script));
    let Output { status, stderr, .. } = arguments(&mut command).output().expect("it runs");
    assert!(status.success(), "{script}: {}", String::from_utf8_lossy(&stderr));
}

fn within(archive: &Path) -> BTreeSet<String> {
    let listed = Command::new("tar").arg("--list").arg("--file").arg(archive).output().expect("tar runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).expect("names").lines().map(str::to_owned).collect()
}

#[test]
fn it_has_an_archive_for_kubectl_one_of_both_programs_the_image_the_chart_and_manifests() {
    let release = release();
    let files = release.path().join("files");
    let names: BTreeSet<String> = fs::read_dir(&files)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    let this = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let version = env!("CARGO_PKG_VERSION");
    let wanted = [
        "SHA256SUMS",
        &format!("cloud-lb-controller-{version}.tgz"),
        &format!("cloud-lb-controller-linux-{this}.tar.gz"),
        "definitions.yaml",
        &format!("image-linux-{this}.tar"),
        "install-aws.yaml",
        "install-bare-announced.yaml",
        "install-bare.yaml",
        "kubectl-lb-linux-amd64.tar.gz",
        "kubectl-lb-linux-arm64.tar.gz",
        "lb.yaml",
    ];
    assert_eq!(names, wanted.map(str::to_owned).into());
    let programs = within(&files.join(format!("cloud-lb-controller-linux-{this}.tar.gz")));
    let wanted = ["LICENSE", "NOTICES", "cloud-lb-announcer", "cloud-lb-controller"];
    assert_eq!(programs, wanted.map(str::to_owned).into());
    for overlay in ["aws", "bare", "bare-announced"] {
        let manifest = fs::read_to_string(files.join(format!("install-{overlay}.yaml"))).expect("text");
        let images: BTreeSet<_> =
            manifest.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
        assert_eq!(images, BTreeSet::from([format!("{IMAGE}:{version}").as_str()]), "{overlay}");
    }
}

#[test]
fn everything_has_its_checksum_and_krew_finds_what_the_plugins_manifest_promises() {
    let release = release();
    let files = release.path().join("files");
    let check = Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&files).output();
    let checked = String::from_utf8(check.expect("sha256sum runs").stdout).expect("text");
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), 10, "{checked}");

    let manifest = fs::read_to_string(files.join("lb.yaml")).expect("text");
    let manifest: Value = serde_saphyr::from_str(&manifest).expect("YAML");
    let platforms = manifest["spec"]["platforms"].as_array().expect("platforms");
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let archive =
            files.join(platform["uri"].as_str().expect("a place").rsplit('/').next().expect("a name"));
        let sum = Sha256::digest(fs::read(&archive).expect("the archive"));
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(platform["sha256"], sum.as_str(), "{}", archive.display());
        let promised: BTreeSet<String> = platform["files"]
            .as_array()
            .expect("files")
            .iter()
            .map(|file| file["from"].as_str().expect("a name").to_owned())
            .collect();
        assert!(promised.contains(platform["bin"].as_str().expect("a program")));
        assert_eq!(promised, within(&archive), "{}", archive.display());
    }
}

/// The packages that a text has cargo build.
fn packages_built(text: &str) -> BTreeSet<String> {
    let builds = text.lines().filter(|line| line.contains("cargo build --release"));
    let words = builds.flat_map(|line| line.split("--package ").skip(1));
    words.map(|rest| rest.split_whitespace().next().expect("a package").to_owned()).collect()
}

#[test]
fn whoever_makes_one_builds_the_packages_that_the_programs_are_in() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(WORKSPACE)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let is_program = |target: &Value| {
        target["kind"][0] == "bin"
            && ["cloud-lb-controller", "cloud-lb-announcer"].iter().any(|name| target["name"] == *name)
    };
    let packages: BTreeSet<String> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| package["targets"].as_array().expect("targets").iter().any(is_program))
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(packages.len(), 2);
    let makers =
        [".github/workflows/release.yaml", "deploy/image/Dockerfile", "README.md", "deploy/README.md"];
    for maker in makers {
        let text = fs::read_to_string(Path::new(WORKSPACE).join(maker)).expect("text");
        assert_eq!(packages_built(&text), packages, "{maker}");
    }
}
