//! The image that `deploy/image/build` makes: unpacked, and run as a node runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tests::cluster::Cluster;
use tests::programs;

use super::process::{Access, Program, WORKSPACE, with_pool};

/// An image as it is written, and its files.
struct Image {
    folder: TempDir,
    config: Value,
}

impl Image {
    /// Builds one of a program, and unpacks it.
    fn of(program: &Path, notices: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("image.tar");
        let mut build = Command::new(Path::new(WORKSPACE).join("deploy/image/build"));
        build.arg(&file).arg(program).envs(notices.map(|notices| ("NOTICES", notices)));
        run(build);
        let (layout, root) = (folder.path().join("layout"), folder.path().join("root"));
        unpack(&file, &layout);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest");
            layout.join("blobs").join(digest.replace(':', "/"))
        };
        let json = |path: PathBuf| -> Value {
            serde_json::from_str(&fs::read_to_string(path).expect("text")).expect("JSON")
        };
        let index = json(layout.join("index.json"));
        let manifest = json(blob(&index["manifests"][0]));
        for layer in manifest["layers"].as_array().expect("layers") {
            unpack(&blob(layer), &root);
        }
        let config = json(blob(&manifest["config"]));
        Image { folder, config }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A file of it, as text.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Its entry point in a root of its own that nobody can write to, as the image's user, who has no capabilities.
    fn command(&self, arguments: &[&str]) -> Command {
        let (root, user) = (self.root(), self.config["config"]["User"].as_str().expect("a user").to_owned());
        let (user, group) = user.split_once(':').expect("user and group");
        let entry = self.config["config"]["Entrypoint"][0].as_str().expect("an entry point").to_owned();
        let script = r#"
            mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd / &&
            exec unshare --user --map-user="$2" --map-group="$3" --root="$1" --wd=/ -- "$4" "${@:5}"
        "#;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash", "-c", script, "bash"]);
        command.arg(root).args([user, group, &entry]).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").expect("a PATH"));
        command
    }
}

fn unpack(archive: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(to);
    run(tar);
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.current_dir(WORKSPACE).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_unprivileged_with_a_read_only_root_until_a_service_has_its_address() {
    let program = programs::folder().join("cloud-lb-controller");
    let image = tokio::task::spawn_blocking(move || Image::of(&program, None)).await.expect("no panic");
    assert_eq!(image.config["config"]["User"], "65532:65532");
    assert_eq!(image.config["config"]["Entrypoint"], serde_json::json!(["/cloud-lb-controller"]));
    assert!(image.text("etc/passwd").contains("nonroot:x:65532:65532:"));
    assert!(image.text("etc/ssl/certs/ca-certificates.crt").contains("BEGIN CERTIFICATE"));
    let notices = image.text("licenses/NOTICES");
    for part in ["kube-client ", "aws-sdk-ec2 ", "tokio ", "MIT License", "Apache License"] {
        assert!(notices.contains(part), "{part} is not in the notices");
    }

    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    // As a node mounts what a Pod is given: it is there before the program is.
    fs::write(image.root().join("kubeconfig"), cluster.plane.kubeconfig_yaml()).expect("it is written");
    let arguments = "run --cloud-provider=bare --http-address=127.0.0.1:0 --kubeconfig=/kubeconfig";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut program = Program::spawn(image.command(&arguments));
    cluster.create("web").await;
    assert_eq!(cluster.until_published("web").await, ["192.0.2.10"], "{}", program.log());
    program.signal("TERM");
    assert!(program.end().await.success(), "{}", program.log());
}

#[test]
fn what_is_run_from_it_cannot_write_anywhere() {
    let access = Access::with("no notices are needed here");
    let image = Image::of(Path::new("/bin/touch"), Some(&access.kubeconfig()));
    let output = image.command(&["/anything"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Read-only file system"), "{said}");
}

#[test]
fn the_same_files_make_the_same_image() {
    let access = Access::with("no notices are needed here");
    let built = || {
        let image = Image::of(Path::new("/bin/true"), Some(&access.kubeconfig()));
        fs::read(image.folder.path().join("image.tar")).expect("an image")
    };
    assert!(built() == built());
}

/// What the script says, and what the index of the image says of it, of a program that nothing runs.
fn named(name: &str) -> (Output, Value) {
    let access = Access::with("no notices are needed here");
    let file = access.kubeconfig().with_extension("tar");
    let mut build = Command::new(Path::new(WORKSPACE).join("deploy/image/build"));
    build.arg(&file).arg("/bin/true").env("NOTICES", access.kubeconfig()).env("IMAGE_NAME", name);
    let said = build.output().expect("it runs");
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--to-stdout", "index.json", "--file"]).arg(&file);
    let index = tar.output().expect("tar runs").stdout;
    (said, serde_json::from_slice(&index).unwrap_or_default())
}

#[test]
fn a_node_finds_it_under_the_name_that_a_pod_says() {
    let names = [
        ("web:1", "docker.io/library/web:1"),
        ("team/web:1", "docker.io/team/web:1"),
        ("registry.example.com/team/web:1", "registry.example.com/team/web:1"),
        ("localhost/web:1", "localhost/web:1"),
        ("registry:5000/web:1", "registry:5000/web:1"),
    ];
    for (said_by_a_pod, looked_for_by_a_node) in names {
        let (_, index) = named(said_by_a_pod);
        let names = &index["manifests"][0]["annotations"];
        assert_eq!(names["io.containerd.image.name"], looked_for_by_a_node);
        assert_eq!(names["org.opencontainers.image.ref.name"], "1", "{said_by_a_pod}");
    }
}

#[test]
fn a_name_without_a_tag_is_refused_because_no_pod_would_find_it() {
    for name in ["web", "registry:5000/web"] {
        let (said, index) = named(name);
        assert!(!said.status.success());
        let said = String::from_utf8_lossy(&said.stderr);
        let wanted =
            format!("build: IMAGE_NAME: \"{name}\" has no tag; allowed is a name with one, such as ");
        assert!(said.starts_with(&wanted) && said.ends_with("; no image is written\n"), "{said}");
        assert_eq!(index, Value::Null, "an image is there");
    }
}
