//! etcd and kube-apiserver as child processes.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use kube::{Client, Config};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::Options;
use crate::apiserver::{ADMIN_TOKEN, PRIVATE_KEY, WEAK_TOKEN};

/// How long the two may take until they are ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two processes and their folder. All go when this is dropped.
#[derive(Debug)]
pub(super) struct RealControlPlane {
    port: u16,
    children: Vec<Child>,
    folder: TempDir,
}

impl RealControlPlane {
    pub(super) async fn start(assets: &Path, options: &Options) -> io::Result<Self> {
        let folder = TempDir::with_prefix("control-plane-")?;
        let at = |name: &str| folder.path().join(name);
        let [client, peer, free] = free_ports()?;
        let port = options.port.unwrap_or(free);
        fs::write(at("sa.key"), PRIVATE_KEY)?;
        fs::write(
            at("tokens.csv"),
            format!("{ADMIN_TOKEN},admin,admin,system:masters\n{WEAK_TOKEN},weak,weak\n"),
        )?;
        let run = |name: &str, arguments: &[String]| -> io::Result<Child> {
            let log = File::create(at(&format!("{name}.log")))?;
            Command::new(assets.join(name))
                .args(arguments)
                .current_dir(folder.path())
                .stdin(std::process::Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", assets.join(name).display())))
        };
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let etcd = run(
            "etcd",
            &[
                "--data-dir=etcd-data".to_owned(),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
            ],
        )?;
        // It tries etcd until that is there.
        let ranges = if options.dual_stack { "10.96.0.0/16,fd00:10:96::/112" } else { "10.96.0.0/16" };
        let api_server = run(
            "kube-apiserver",
            &[
                format!("--etcd-servers={client}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--cert-dir=certs".to_owned(),
                "--service-account-key-file=sa.key".to_owned(),
                "--service-account-signing-key-file=sa.key".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--token-auth-file=tokens.csv".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                format!("--service-cluster-ip-range={ranges}"),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        )?;
        let mut started = Self { port, children: vec![etcd, api_server], folder };
        started.wait_until_ready().await?;
        Ok(started)
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let mut config = Config::new(self.url().parse().map_err(io::Error::other)?);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(ADMIN_TOKEN.to_owned().into());
        let client = Client::try_from(config).map_err(io::Error::other)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(io::Error::other)?;
            let last = match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    return Err(io::Error::other(format!("a process ended with {status}; {}", self.logs())));
                }
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "not ready within {PATIENCE:?}: {last}; {}",
                    self.logs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The last lines that the processes wrote.
    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(5).collect();
            format!("{name}: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
        };
        format!("{}; {}", tail("etcd"), tail("kube-apiserver"))
    }
}

/// Three ports that nobody listens on. All are held until the last is found, so that they differ.
fn free_ports() -> io::Result<[u16; 3]> {
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
