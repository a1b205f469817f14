//! Others who serve Services, as their authors publish them: `tests/kubernetes/up all service-controller` builds them.
//! They are measured on a real server alone: they need not get along with the double.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::cluster::Cluster;
use tests::control_plane::ASSETS;
use tests::process::apply;

use crate::process::Process;
use crate::program::{WORKERS, free_address};

/// Somebody else's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Kubernetes' own service controller, with a cloud that has a load balancer at once.
    Kubernetes,
    /// MetalLB's controller.
    MetalLb,
}

impl Peer {
    /// Where its program is, if it was built.
    fn built(self) -> Option<PathBuf> {
        let assets = std::env::var_os(ASSETS).filter(|path| !path.is_empty())?;
        let program = PathBuf::from(assets).join(match self {
            Peer::Kubernetes => "service-controller",
            Peer::MetalLb => "metallb-controller",
        });
        program.is_file().then_some(program)
    }

    /// Whether it can be measured here.
    pub(crate) fn is_there(self) -> bool {
        self.built().is_some()
    }

    /// How many bytes its program is.
    pub(crate) fn size(self) -> Option<u64> {
        Some(std::fs::metadata(self.built()?).expect("it is there").len())
    }

    /// Starts it in a cluster.
    pub(crate) async fn start(self, cluster: &Cluster) -> Process {
        let program = self.built().expect("whoever asks has looked");
        match self {
            Peer::Kubernetes => kubernetes(&program, cluster).await,
            Peer::MetalLb => metallb(&program, cluster).await,
        }
    }
}

/// With as many workers as the program has, where it has one unless told otherwise, and a node, without which it would
/// complain of each Service.
async fn kubernetes(program: &Path, cluster: &Cluster) -> Process {
    apply(cluster, "apiVersion: v1\nkind: Node\nmetadata: {name: node}\nspec: {providerID: bench://node}\n")
        .await;
    Process::start(&cluster.plane, |kubeconfig| {
        let mut command = Command::new(program);
        command.arg(format!("-workers={WORKERS}")).arg("-kubeconfig").arg(kubeconfig);
        quiet(command)
    })
}

/// With the pools of the cluster, and without the webhook, which would have nobody who calls it.
async fn metallb(program: &Path, cluster: &Cluster) -> Process {
    let manifest = std::fs::read_to_string(program.with_file_name("metallb-native.yaml"));
    let manifest = manifest.expect("it is built with the program");
    for object in manifest.split("\n---\n").filter(|it| it.contains("\nkind: CustomResourceDefinition\n")) {
        apply(cluster, object).await;
    }
    Process::start(&cluster.plane, |kubeconfig| {
        let mut command = Command::new(program);
        command.args(["-webhook-mode=disabled", "-disable-cert-rotation", "-log-level=error"]);
        command.arg(format!("-port={}", free_address().port())).arg("-namespace").arg(&cluster.namespace);
        command.arg("-kubeconfig").arg(kubeconfig);
        quiet(command)
    })
}

/// The program is told to be quiet; of what others say nobody hears.
fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
