//! What the programs of a control plane are told when they start.

use std::io;
use std::path::{Path, PathBuf};

use super::super::Options;
use crate::apiserver::{ADMIN_TOKEN, PRIVATE_KEY, WEAK_TOKEN};

pub(super) const ETCD: &str = "etcd";
pub(super) const API_SERVER: &str = "kube-apiserver";
pub(super) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// The token of the controller manager.
const MANAGER_TOKEN: &str = "manager";

/// What the API server does itself, by its own right, is nobody's request.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:apiserver]
- level: Metadata
";

/// Without those that need nodes, Pods or a cloud: the suites have none, and what never runs costs nothing.
const CONTROLLERS: [&str; 5] = [
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
];

/// The name of the log of all requests.
pub(super) const AUDIT_LOG: &str = "audit.log";

/// What the server makes for itself where it finds nothing, with the authority that signed it.
const CERTIFICATE: &str = "certs/apiserver.crt";

/// Where its certificate is once it runs.
pub(super) fn certificate(folder: &Path) -> PathBuf {
    folder.join(CERTIFICATE)
}

/// Writes the files that the arguments name.
pub(super) fn prepare(folder: &Path, port: u16) -> io::Result<()> {
    let write = |name: &str, text: &[u8]| std::fs::write(folder.join(name), text);
    write("service-accounts.key", PRIVATE_KEY)?;
    let manager = "system:kube-controller-manager";
    let tokens = format!(
        "{ADMIN_TOKEN},admin,admin,system:masters\n\
         {WEAK_TOKEN},weak,weak\n\
         {MANAGER_TOKEN},{manager},{manager}\n"
    );
    write("tokens.csv", tokens.as_bytes())?;
    write("audit-policy.yaml", AUDIT_POLICY.as_bytes())?;
    write(AUDIT_LOG, b"")?;
    let server = format!("https://127.0.0.1:{port}");
    // It is there by the time that somebody reads this.
    let trust = format!("certificate-authority: {}", certificate(folder).display());
    write("manager.kubeconfig", super::super::kubeconfig(&server, &trust, MANAGER_TOKEN).as_bytes())
}

/// etcd listens on sockets in the folder, where it runs: no port of it can be taken by somebody else. It wants a port in
/// the name of a socket all the same, in the releases that Kubernetes 1.33 to 1.35 require.
pub(super) fn etcd() -> Vec<String> {
    let [client, peer] = [format!("unix://{CLIENTS}"), "unix://etcd-peers:1".to_owned()];
    vec![
        "--data-dir=etcd-data".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

/// The socket for etcd's clients.
const CLIENTS: &str = "etcd-clients:1";

/// Admission is what it is by default, and roles are obeyed.
pub(super) fn api_server(folder: &Path, port: u16, options: &Options) -> Vec<String> {
    let ranges = if options.dual_stack { "10.96.0.0/16,fd00:10:96::/112" } else { "10.96.0.0/16" };
    vec![
        format!("--etcd-servers=unix://{}/{CLIENTS}", folder.display()),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--cert-dir=certs".to_owned(),
        "--service-account-key-file=service-accounts.key".to_owned(),
        "--service-account-signing-key-file=service-accounts.key".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--token-auth-file=tokens.csv".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-cluster-ip-range={ranges}"),
        "--audit-policy-file=audit-policy.yaml".to_owned(),
        format!("--audit-log-path={AUDIT_LOG}"),
        // In megabytes: it is read from where a test began, and must not be another file by then.
        "--audit-log-maxsize=10000".to_owned(),
    ]
}

pub(super) fn controller_manager() -> Vec<String> {
    vec![
        "--kubeconfig=manager.kubeconfig".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--root-ca-file={CERTIFICATE}"),
        format!("--controllers={}", CONTROLLERS.join(",")),
        "--secure-port=0".to_owned(),
    ]
}
