//! The control plane: etcd, kube-apiserver, controller manager, scheduler, and a kube-proxy, on a machine of their own.

use std::path::Path;
use std::process::Command;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::credentials::{ADMIN, Credentials};
use super::error::ClusterError;
use super::kube_proxy::{self, ProxyMode};
use super::lan::{self, Lan, PLANE};
use super::processes::Processes;

/// The program of the API server.
pub(super) const API_SERVER: &str = "kube-apiserver";

const ETCD: &str = "http://127.0.0.1:2379";

/// Starts it; a client of an administrator, when the API server is ready.
pub(super) async fn start(
    processes: &mut Processes,
    lan: &Lan,
    assets: &Path,
    folder: &Path,
    credentials: &Credentials,
) -> Result<Client, ClusterError> {
    let command = |program: &str| lan.plane.command(assets.join(program));
    processes.start(&lan.plane, "etcd", etcd(command("etcd"), folder))?;
    // It tries etcd until that is there.
    let server = api_server(command(API_SERVER), credentials);
    processes.start(&lan.plane, API_SERVER, server)?;
    let certificate = credentials.certificates().join("apiserver.crt");
    processes
        .until("the API server's certificate is there", || {
            let missing = (!certificate.exists()).then(|| "it is not".to_owned());
            std::future::ready(missing)
        })
        .await?;
    credentials.write_authority()?;
    let kubeconfig = credentials.kubeconfig(ADMIN, &lan.server, "admin")?;
    let client = client(&kubeconfig).await?;
    processes.until("the API server is ready", || not_ready(&client)).await?;

    let user = |name: &str| credentials.kubeconfig(&format!("system:{name}"), PLANE, name);
    let manager = user("kube-controller-manager")?;
    let manager = controller_manager(command("kube-controller-manager"), &manager, credentials);
    processes.start(&lan.plane, "kube-controller-manager", manager)?;
    let mut scheduler = command("kube-scheduler");
    scheduler.arg("--kubeconfig").arg(user("kube-scheduler")?);
    scheduler.args(["--leader-elect=false", "--secure-port=0"]);
    processes.start(&lan.plane, "kube-scheduler", scheduler)?;
    kube_proxy::start(processes, &lan.plane, assets, ProxyMode::Nftables, &user("kube-proxy")?)?;
    Ok(client)
}

fn etcd(mut etcd: Command, folder: &Path) -> Command {
    let peer = "http://127.0.0.1:2380";
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    // What is lost with the host is lost with the cluster.
    etcd.arg("--unsafe-no-fsync");
    etcd.args([&format!("--listen-client-urls={ETCD}"), &format!("--advertise-client-urls={ETCD}")]);
    etcd.args([&format!("--listen-peer-urls={peer}"), &format!("--initial-advertise-peer-urls={peer}")]);
    etcd.arg(format!("--initial-cluster=default={peer}"));
    etcd
}

fn api_server(mut server: Command, credentials: &Credentials) -> Command {
    let certificates = credentials.certificates();
    // The key of the certificate that it makes for itself signs the tokens of service accounts as well.
    let key = certificates.join("apiserver.key").display().to_string();
    server.arg("--cert-dir").arg(&certificates);
    server.args(["--service-account-key-file", &key, "--service-account-signing-key-file", &key]);
    server.arg("--token-auth-file").arg(credentials.token_file());
    server.args([&format!("--etcd-servers={ETCD}"), &format!("--advertise-address={PLANE}")]);
    server.args([
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
        "--allow-privileged=true",
        // Nodes' names resolve nowhere.
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    server
}

fn controller_manager(mut manager: Command, kubeconfig: &Path, credentials: &Credentials) -> Command {
    manager.arg("--kubeconfig").arg(kubeconfig);
    manager.arg("--service-account-private-key-file").arg(credentials.certificates().join("apiserver.key"));
    manager.arg("--root-ca-file").arg(credentials.authority());
    manager.args([
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        // A node that is cut off is found out in seconds.
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=10s",
    ]);
    manager.arg(format!("--cluster-cidr={}", lan::PODS));
    manager
}

/// A client with a kubeconfig.
async fn client(kubeconfig: &Path) -> Result<Client, ClusterError> {
    let failed = |error: String| ClusterError::Command {
        command: format!("a client for {}", kubeconfig.display()),
        said: error,
    };
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| failed(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| failed(error.to_string()))?;
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

/// What the API server says instead of being ready.
async fn not_ready(client: &Client) -> Option<String> {
    let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
    client.request_text(request).await.err().map(|error| error.to_string())
}
