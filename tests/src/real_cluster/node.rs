//! A node: containerd and kubelet, which share a mount namespace, CNI, and kube-proxy.
//!
//! In that mount namespace the folders that are hard-coded in them are empty ones of the node's own: two nodes on one host
//! do not meet there, and nothing is left there when the last process has ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::credentials::Credentials;
use super::error::ClusterError;
use super::image;
use super::kube_proxy::{self, ProxyMode};
use super::lan::{self, PLANE};
use super::machine::{Machine, run};
use super::processes::Processes;

/// What a node's own folders lie over. A cluster's folder cannot be under them.
pub(super) const HIDDEN: [&str; 4] = ["/run", "/var/lib", "/var/log", "/opt"];

/// The image of the container that holds a Pod's namespaces.
const SANDBOX: &str = "localhost/pause:1";

/// Where containerd keeps a folder for each container that there is, in the node's folder.
pub(super) const CONTAINERS: &str = "run/io.containerd.runtime.v2.task/k8s.io";

/// The cgroup that it makes one in for each container.
pub(super) const CGROUPS: &str = "k8s.io";

/// Where Debian's package puts the CNI plugins.
pub(super) const CNI: &str = "/usr/lib/cni";

/// Where a node keeps its things, and how it is reached.
#[derive(Debug)]
pub(super) struct Node {
    machine: Machine,
    folder: PathBuf,
    assets: PathBuf,
}

impl Node {
    /// Starts it. Whether it is ready is for the API server to say.
    pub(super) async fn start(
        processes: &mut Processes,
        machine: &Machine,
        assets: &Path,
        cluster: &Path,
        credentials: &Credentials,
    ) -> Result<Self, ClusterError> {
        let name = machine.name();
        let node = Node { machine: machine.clone(), folder: cluster.join(name), assets: assets.to_owned() };
        for folder in ["bin", "cni", "root", "run", "kubelet", "plugins", "logs"] {
            let folder = node.at(folder);
            fs::create_dir_all(&folder).map_err(ClusterError::file(&folder))?;
        }
        node.write("cni/10-pods.conflist", &node.cni().to_string())?;
        node.write("containerd.toml", &node.containerd())?;
        let runtime = processes.start(machine, "containerd", node.containerd_command())?;
        let socket = node.socket();
        processes
            .until("containerd listens", || {
                std::future::ready((!socket.exists()).then(|| format!("{} is not there", socket.display())))
            })
            .await?;
        node.load(&image::archive(&[SANDBOX], &[("pause", &assets.join("pause"))], "pause", "65535")?)?;

        node.write("kubelet.yaml", &node.kubelet().to_string())?;
        node.write("resolv.conf", "")?;
        let kubeconfig = credentials.kubeconfig(&format!("system:node:{name}"), PLANE, name)?;
        processes.start(machine, "kubelet", node.kubelet_command(runtime, &kubeconfig))?;
        Ok(node)
    }

    /// Starts its kube-proxy.
    pub(super) fn start_proxy(
        &self,
        processes: &mut Processes,
        mode: ProxyMode,
        credentials: &Credentials,
    ) -> Result<(), ClusterError> {
        let kubeconfig = credentials.kubeconfig("system:kube-proxy", PLANE, "kube-proxy")?;
        kube_proxy::start(processes, &self.machine, &self.assets, mode, &kubeconfig)
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.machine.name()
    }

    /// Puts an image into it, from a file as [`image::archive`] makes it.
    pub(super) fn load(&self, archive: &[u8]) -> Result<(), ClusterError> {
        let file = self.at("image.tar");
        fs::write(&file, archive).map_err(ClusterError::file(&file))?;
        let mut import = self.ctr();
        import.args(["images", "import"]).arg(&file);
        run(import)?;
        fs::remove_file(&file).map_err(ClusterError::file(&file))
    }

    /// Kills the first process of a container, as `kill -9` does.
    pub(super) fn kill(&self, container: &str) -> Result<(), ClusterError> {
        let mut kill = self.ctr();
        kill.args(["tasks", "kill", "--signal", "SIGKILL", container]);
        run(kill).map(drop)
    }

    fn ctr(&self) -> Command {
        let mut ctr = Command::new(self.assets.join("ctr"));
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]);
        ctr
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.at(name);
        fs::write(&path, text).map_err(ClusterError::file(&path))
    }

    fn socket(&self) -> PathBuf {
        self.at("run/containerd.sock")
    }

    /// containerd in a new mount namespace, with the programs' folder mounted where nothing hides it.
    fn containerd_command(&self) -> Command {
        let tmpfs: String = HIDDEN.iter().map(|path| format!("mount -t tmpfs node {path} && ")).collect();
        let script = format!("mount --bind \"$1\" \"$2\" && {tmpfs} exec \"$2/containerd\" --config \"$3\"");
        let mut command = self.machine.command("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&self.assets).arg(self.at("bin"));
        command.arg(self.at("containerd.toml"));
        // The shim is looked up there.
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.at("bin").display()));
        command
    }

    /// kubelet, in the mount namespace of the runtime.
    fn kubelet_command(&self, runtime: u32, kubeconfig: &Path) -> Command {
        let mut command = self.machine.command("nsenter");
        command.args([&format!("--target={runtime}"), "--mount"]).arg(self.at("bin/kubelet"));
        command.arg("--config").arg(self.at("kubelet.yaml")).arg("--kubeconfig").arg(kubeconfig);
        command
            .arg("--root-dir")
            .arg(self.at("kubelet"))
            .arg("--cert-dir")
            .arg(self.at("kubelet/certificates"));
        command.arg(format!("--hostname-override={}", self.machine.name()));
        command.arg(format!("--node-ip={}", lan::addresses(self.machine.name()).join(",")));
        command
    }

    fn cni(&self) -> Value {
        let ranges = lan::pods(self.machine.name()).map(|subnet| json!([{ "subnet": subnet }]));
        json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "bridge",
                "bridge": lan::POD_BRIDGE,
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": self.at("addresses"),
                    "ranges": ranges,
                    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
                },
            }],
        })
    }

    fn containerd(&self) -> String {
        let at = |name: &str| self.at(name).display().to_string();
        format!(
            r#"version = 3
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "{socket}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{SANDBOX}"

[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE nobody may ask to be spared by the kernel, and runc dies of it.
  restrict_oom_score_adj = true

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{CNI}"]
    conf_dir = "{cni}"

  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "runc"
      SystemdCgroup = false
"#,
            root = at("root"),
            state = at("run"),
            socket = self.socket().display(),
            cni = at("cni"),
        )
    }

    fn kubelet(&self) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "podLogsDir": self.at("logs"),
            "volumePluginDir": self.at("plugins"),
            // Nobody serves names; without an address of who would, every Pod gets a warning.
            "clusterDNS": ["10.96.0.10"],
            "resolvConf": self.at("resolv.conf"),
            // The host's cgroups are of any version and anybody's: there is one for each container, and nothing is
            // enforced around it.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false,
            "failSwapOn": false,
            // The host's disk and memory are not this node's to judge.
            "evictionHard": {
                "imagefs.available": "0%", "imagefs.inodesFree": "0%",
                "memory.available": "0%",
                "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            // Nobody but the API server is on its side of the LAN, and that has no certificate to show.
            "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
            "authorization": { "mode": "AlwaysAllow" },
            "healthzPort": 0,
            // A node that is cut off is found out in seconds.
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
        })
    }
}
