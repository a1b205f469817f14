//! Images made from scratch: one layer, in the form that `docker save` writes and `ctr images import` reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::ClusterError;
use super::machine::run;

/// An image under these names, with programs in its root by these names, of which one is run as a user.
///
/// A program that is linked dynamically takes its libraries along, to where it looks for them.
///
/// # Errors
/// When a program cannot be read.
pub fn archive(
    names: &[&str],
    programs: &[(&str, &Path)],
    entry: &str,
    user: &str,
) -> Result<Vec<u8>, ClusterError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, program) in programs {
        files.insert((*name).to_owned(), (*program).to_owned());
        for library in libraries(program)? {
            files.insert(library.trim_start_matches('/').to_owned(), library.into());
        }
    }
    let mut layer = Tar::default();
    for (name, path) in &files {
        let content = fs::read(path).map_err(ClusterError::file(path))?;
        layer.add(name, &content);
    }
    Ok(image(names, &layer.end(), entry, user))
}

/// What a program is linked with; nothing if it is static.
fn libraries(program: &Path) -> Result<Vec<String>, ClusterError> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    match run(ldd) {
        Ok(said) => Ok(paths(&said)),
        // It says so by failing.
        Err(ClusterError::Command { said, .. }) if said.contains("not a dynamic executable") => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// The absolute paths in what `ldd` says; not the addresses, nor what the kernel brings along.
fn paths(said: &str) -> Vec<String> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

fn image(names: &[&str], layer: &[u8], entry: &str, user: &str) -> Vec<u8> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let digest: String = Sha256::digest(layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Entrypoint": [format!("/{entry}")], "User": user },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"] }]);
    let mut archive = Tar::default();
    archive.add("config.json", config.to_string().as_bytes());
    archive.add("layer.tar", layer);
    archive.add("manifest.json", manifest.to_string().as_bytes());
    archive.end()
}

/// A tar file with executable files in it, as POSIX describes it (ustar).
#[derive(Debug, Default)]
struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a file. Its name has up to 100 bytes: those of programs and libraries do.
    fn add(&mut self, name: &str, content: &[u8]) {
        assert!(name.len() <= 100, "{name} is too long a name for a tar file");
        let mut header = [0; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755\0");
        // Owned by root, and as old as time: the same files make the same image.
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, "00000000000\0");
        put(156, "0");
        put(257, "ustar\x0000");
        // The sum is taken with spaces in its own place.
        put(148, "        ");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::run_with;
    use super::*;

    /// What the system's tar makes of an archive.
    fn tar(arguments: &[&str], archive: &[u8]) -> String {
        let mut tar = Command::new("tar");
        tar.args(arguments).args(["--file", "-"]);
        run_with(tar, archive).expect("tar reads it")
    }

    #[test]
    fn another_tar_reads_what_is_written() {
        let mut archive = Tar::default();
        archive.add("empty", b"");
        archive.add("lib/one", &[b'x'; 513]);
        archive.add("two", b"second");
        let archive = archive.end();
        assert_eq!(tar(&["--list"], &archive), "empty\nlib/one\ntwo\n");
        assert_eq!(tar(&["--extract", "--to-stdout", "two"], &archive), "second");
        assert_eq!(tar(&["--extract", "--to-stdout", "lib/one"], &archive).len(), 513);
        assert!(tar(&["--list", "--verbose"], &archive).starts_with("-rwxr-xr-x"));
    }

    #[test]
    fn the_manifest_names_the_image_and_the_layer_has_the_programs() {
        let names = ["localhost/a:1", "localhost/a:2"];
        let image = archive(&names, &[("shell", Path::new("/bin/sh"))], "shell", "65532").expect("an image");
        let read = |name: &str| tar(&["--extract", "--to-stdout", name], &image);
        let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
        assert_eq!(manifest[0]["RepoTags"], json!(names));
        let config: serde_json::Value = serde_json::from_str(&read("config.json")).expect("JSON");
        assert_eq!(config["config"], json!({ "Entrypoint": ["/shell"], "User": "65532" }));
    }

    #[test]
    fn libraries_are_the_paths_that_ldd_names() {
        let said = "\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f1d)\n";
        assert_eq!(paths(said), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(paths("\tstatically linked\n"), Vec::<String>::new());
    }
}
