//! kube-proxy, on nodes and beside the control plane, which has to reach webhooks: they are Services.

use std::path::Path;
use std::process::Command;

use super::error::ClusterError;
use super::lan;
use super::machine::Machine;
use super::processes::Processes;

/// How kube-proxy translates. IPVS needs a kernel module that test machines often lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// By nftables.
    Nftables,
    /// By iptables.
    Iptables,
}

impl ProxyMode {
    /// Its name, as kube-proxy takes it.
    pub fn name(self) -> &'static str {
        match self {
            ProxyMode::Nftables => "nftables",
            ProxyMode::Iptables => "iptables",
        }
    }
}

/// The name of the program.
pub(crate) const KUBE_PROXY: &str = "kube-proxy";

/// Starts it on a machine.
pub(super) fn start(
    processes: &mut Processes,
    machine: &Machine,
    assets: &Path,
    mode: ProxyMode,
    kubeconfig: &Path,
) -> Result<(), ClusterError> {
    let command = command(machine, &assets.join(KUBE_PROXY), mode, kubeconfig);
    processes.start(machine, KUBE_PROXY, command).map(drop)
}

/// The program on a machine.
pub(crate) fn command(machine: &Machine, program: &Path, mode: ProxyMode, kubeconfig: &Path) -> Command {
    let mut command = machine.command(program);
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg(format!("--proxy-mode={}", mode.name()))
        .arg(format!("--hostname-override={}", machine.name()))
        .arg(format!("--bind-address={}", lan::addresses(machine.name())[0]))
        .arg(format!("--cluster-cidr={}", lan::PODS))
        // These are the host's, and not a namespace's to set.
        .args(["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"])
        .arg("--conntrack-tcp-timeout-close-wait=0");
    command
}
