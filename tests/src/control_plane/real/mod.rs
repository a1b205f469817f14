//! etcd, kube-apiserver and, where asked for, kube-controller-manager, as processes.

mod audit;
mod clearing;
mod error;
mod installed;
mod programs;
mod shared;
mod supervisor;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::ByteString;
use kube::Client;
use tokio::time::Instant;

use super::{ASSETS, Options, client_of};
use crate::apiserver::ADMIN_TOKEN;
pub(super) use audit::AuditLog;
pub use error::StartError;
use installed::Installed;
use programs::{API_SERVER, CONTROLLER_MANAGER, ETCD};
pub(super) use shared::ServerTurn;
use supervisor::Supervisor;

/// How long the programs may take until they are ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Running programs and their folder. All go when this is dropped, or when the process that holds it is no more.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    programs: Supervisor,
    /// The rights that were asked for so far.
    rights: Mutex<Installed>,
}

impl Server {
    /// Starts the programs of a folder; none of them has anything of an earlier start.
    pub(super) async fn start(assets: &Path, options: &Options) -> Result<Self, StartError> {
        check(assets, options)?;
        let mut tries = 3;
        loop {
            tries -= 1;
            match Server::try_start(assets, options).await {
                // Somebody was faster than we with a port that was free. Whoever wants a certain port is told.
                Err(StartError::PortTaken { .. }) if options.port.is_none() && tries > 0 => {}
                started => return started,
            }
        }
    }

    async fn try_start(assets: &Path, options: &Options) -> Result<Self, StartError> {
        let port = free_port(options.port)?;
        let programs = Supervisor::start()?;
        let folder = programs.folder();
        programs::prepare(folder, port)?;
        programs.run(ETCD, &assets.join(ETCD), &programs::etcd())?;
        // It tries etcd until that is there.
        programs.run(API_SERVER, &assets.join(API_SERVER), &programs::api_server(folder, port, options))?;
        let started = Self { port, programs, rights: Mutex::default() };
        started.wait_until_ready().await?;
        if options.controller_manager {
            let arguments = programs::controller_manager();
            started.programs.run(CONTROLLER_MANAGER, &assets.join(CONTROLLER_MANAGER), &arguments)?;
        }
        Ok(started)
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What a kubeconfig says of its certificate, as one in a cluster does: who is told to trust anything reads besides all
    /// that the machine trusts. In words of its own, since not everybody who is given a kubeconfig sees our files.
    pub(super) fn trust(&self) -> String {
        let path = programs::certificate(self.programs.folder());
        let certificate = std::fs::read(path).expect("the certificate of a server that runs");
        let encoded = serde_json::to_string(&ByteString(certificate)).expect("text");
        format!("certificate-authority-data: {encoded}")
    }

    fn administrator(&self) -> Client {
        client_of(&self.url(), ADMIN_TOKEN)
    }

    /// Ends the API server as a power cut would, and starts it again after so long on the same port, with what etcd has.
    pub(super) async fn restart_after(&self, away: Duration) -> Result<(), StartError> {
        self.programs.stop(API_SERVER).await?;
        tokio::time::sleep(away).await;
        self.programs.start_again(API_SERVER)?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&self) -> Result<(), StartError> {
        let client = self.administrator();
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            let last = match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            for program in [ETCD, API_SERVER] {
                if let Some(status) = self.programs.ended(program) {
                    return Err(self.early_end(program, status));
                }
            }
            if Instant::now() > deadline {
                let log = self.programs.last_lines(API_SERVER);
                return Err(StartError::NotReady { timeout: START_TIMEOUT, last, log });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn early_end(&self, program: &'static str, status: String) -> StartError {
        let log = self.programs.last_lines(program);
        match log.iter().any(|line| line.contains("address already in use")) {
            true => StartError::PortTaken { port: self.port, why: "address already in use".to_owned() },
            false => StartError::Ended { program, status, log },
        }
    }
}

/// Sees that the folder has what is going to be started.
fn check(assets: &Path, options: &Options) -> Result<(), StartError> {
    let mut wanted = vec![ETCD, API_SERVER];
    wanted.extend(options.controller_manager.then_some(CONTROLLER_MANAGER));
    let missing: Vec<_> = wanted.into_iter().filter(|name| !assets.join(name).is_file()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(StartError::Missing { folder: assets.to_owned(), missing }),
    }
}

/// The port if nobody listens on it; any such port where there is no wish.
fn free_port(wished: Option<u16>) -> Result<u16, StartError> {
    let taken = |error: std::io::Error| StartError::PortTaken {
        port: wished.unwrap_or_default(),
        why: error.to_string(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wished.unwrap_or(0))).map_err(taken)?;
    Ok(listener.local_addr()?.port())
}
