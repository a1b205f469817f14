//! Namespaces of one's own, in which one may make networks.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::control_plane::ASSETS;
use crate::real_cluster::kube_proxy::KUBE_PROXY;

/// Set for a sandbox that is in namespaces of its own; its value is a folder that goes when it has ended.
const INSIDE: &str = "SANDBOX_NETWORK";

/// Names the real kube-proxy to a sandbox that is in namespaces of its own.
const KUBE_PROXY_PATH: &str = "SANDBOX_KUBE_PROXY";

/// What is run, and the Debian package that has it.
const TOOLS: [(&str, &str); 4] =
    [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")];

/// The folder of the sandbox that is in namespaces of its own; none if this one is not.
pub fn is_entered() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(Into::into)
}

/// The real kube-proxy, if there is one.
pub(super) fn real_kube_proxy() -> Option<PathBuf> {
    std::env::var_os(KUBE_PROXY_PATH).map(Into::into)
}

/// What this machine lacks for a network, and what brings it; none if nothing.
pub fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !is_there(tool)) {
        return Some(format!("{tool} is missing, which `apt-get install {package}` brings"));
    }
    let tried = unshare("true".as_ref()).output();
    let refusal = match tried {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!(
        "this user may make no namespaces ({refusal}); `sysctl -w kernel.unprivileged_userns_clone=1`, or \
         `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, lets it"
    ))
}

/// Runs this program once more, with the same arguments, in namespaces of its own. What it makes there ends with it.
///
/// # Errors
/// When it cannot be started.
pub fn enter() -> std::io::Result<ExitStatus> {
    let folder = tempfile::tempdir()?;
    let itself = std::env::current_exe()?;
    // A new network has a loopback that is down, and the control plane is there.
    let mut begin = unshare("sh".as_ref());
    begin
        .args(["-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(itself)
        .args(std::env::args_os().skip(1));
    let assets = std::env::var_os(ASSETS).filter(|assets| !assets.is_empty()).map(PathBuf::from);
    let kube_proxy = assets.map(|assets| assets.join(KUBE_PROXY)).filter(|program| program.is_file());
    begin.envs(kube_proxy.map(|program| (KUBE_PROXY_PATH, program)));
    // A real API server wants a network with a way out; this has none, and takes the one in the process.
    begin.env(INSIDE, folder.path()).env_remove(ASSETS).status()
}

fn unshare(program: &OsStr) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--"]).arg(program);
    command
}
