//! A control plane for the end-to-end suites, with two bodies.
//!
//! Where `KUBEBUILDER_ASSETS` names a folder with `etcd` and `kube-apiserver`, [`ControlPlane::start`] leads to them;
//! otherwise to the double in [`crate::apiserver`]. Suites do not need to know which.

mod real;
mod requests;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use kube::config::AuthInfo;
use kube::{Client, Config};
use tokio::time::sleep;

use crate::apiserver::{ADMIN_TOKEN, ApiServer, ServiceNetwork, Settings};
use crate::rights::{INSTALLED_AS, Rights};
use real::ServerTurn;
pub use real::StartError;
pub use requests::Requests;

/// The variable that names the folder of the real binaries.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The user that comes with a token from [`ControlPlane::token_with`]; on a real server, a number follows.
const INSTALLED_USER: &str = "system:serviceaccount:cloud-lb-controller:cloud-lb-controller";

/// A running control plane, empty, and nobody else's for as long as this lives.
///
/// A real one is shared by the tests of a process: they wait for each other, and each finds it empty.
#[derive(Debug)]
pub struct ControlPlane {
    body: Body,
}

/// The double, and what can be done to it only.
pub type DoubleHandle = ApiServer;

#[derive(Debug)]
enum Body {
    Double(Box<ApiServer>),
    Real(ServerTurn),
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Give Services addresses of both families when they ask for them.
    pub dual_stack: bool,
    /// A port of the loopback address; any that is free when there is none. A real server on a certain port is shared
    /// with nobody.
    pub port: Option<u16>,
    /// The double even where there are real binaries: for suites that need its faults.
    pub double_only: bool,
    /// With a controller manager, which empties namespaces that are deleted, collects garbage and makes EndpointSlices.
    /// Of these, the double does the first only.
    pub controller_manager: bool,
    /// How many changes of a kind the double remembers; as many as it does by default when there is none.
    pub history: Option<usize>,
}

impl ControlPlane {
    /// Starts one as the environment wants it.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one with options.
    ///
    /// # Panics
    /// When it does not start: there is no test without it.
    pub async fn start_with(options: Options) -> Self {
        let assets = assets().filter(|_| !options.double_only);
        if assets.is_none() && !options.double_only {
            say_who_judges();
        }
        match ControlPlane::start_from(assets.as_deref(), &options).await {
            Ok(plane) => plane,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a real one from the programs of this folder, or the double where there is none.
    ///
    /// # Errors
    /// When it does not start. A real one that was asked for in the same way before is not tried again.
    pub async fn start_from(assets: Option<&Path>, options: &Options) -> Result<Self, Arc<StartError>> {
        let body = match assets {
            Some(assets) => Body::Real(ServerTurn::take(assets, options).await?),
            None => {
                let started = ApiServer::start(settings(options)).await;
                let double = started.map_err(|error| StartError::of_the_double(error, options.port))?;
                Body::Double(Box::new(double))
            }
        };
        Ok(Self { body })
    }

    /// What was asked of it, by whom, since the start of the test.
    pub fn requests(&self) -> Requests {
        match &self.body {
            Body::Double(double) => Requests::of_the_double(double.requests()),
            Body::Real(turn) => Requests::of_the_real(&turn.requests),
        }
    }

    /// A token with these rights and no others. Whose it is, [`is_installed`](ControlPlane::is_installed) knows.
    ///
    /// # Panics
    /// When a real server does not take the roles.
    pub fn token_with(&self, rights: &Rights) -> String {
        match &self.body {
            Body::Double(double) => {
                double.tokens().add(INSTALLED_AS, INSTALLED_USER, rights.access());
                INSTALLED_AS.to_owned()
            }
            Body::Real(turn) => turn.server.token_with(rights),
        }
    }

    /// Whether this is a user that came with a token from [`token_with`](ControlPlane::token_with).
    pub fn is_installed(user: &str) -> bool {
        user.starts_with(INSTALLED_USER)
    }

    /// Ends the API server as a power cut would, and starts it again with the objects that it had.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart(&self) {
        self.restart_after(Duration::ZERO).await;
    }

    /// The same, with the API server away for so long; returns when it is ready. A real one takes seconds besides until it
    /// is.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart_after(&self, away: Duration) {
        match &self.body {
            Body::Double(double) => {
                double.faults().cut_network();
                sleep(away).await;
                double.restart().await;
            }
            Body::Real(turn) => {
                turn.server.restart_after(away).await.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// Whether this is a real kube-apiserver.
    pub fn is_real(&self) -> bool {
        matches!(self.body, Body::Real(_))
    }

    /// The double, if this is one: its faults, its log of requests, its users.
    pub fn double(&self) -> Option<&DoubleHandle> {
        match &self.body {
            Body::Double(double) => Some(double),
            Body::Real(_) => None,
        }
    }

    /// Where it listens. The double also takes TLS on this port.
    pub fn url(&self) -> String {
        match &self.body {
            Body::Double(double) => format!("http://{}", double.address()),
            Body::Real(turn) => turn.server.url(),
        }
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client_as(ADMIN_TOKEN)
    }

    /// A client with a token: `tok` may do everything, `weak` nothing, others what they were made for.
    ///
    /// # Panics
    /// When no client can be made of a configuration that is always the same.
    pub fn client_as(&self, token: &str) -> Client {
        client_of(&self.url(), token)
    }

    /// The configuration of a client that may do everything.
    pub fn kube_config(&self) -> Config {
        config_of(&self.url(), ADMIN_TOKEN)
    }

    /// A kubeconfig for kubectl and for programs that are run from a test, with all rights.
    pub fn kubeconfig_yaml(&self) -> String {
        self.kubeconfig_yaml_as(ADMIN_TOKEN)
    }

    /// The same with the rights of a token.
    pub fn kubeconfig_yaml_as(&self, token: &str) -> String {
        // kubectl leaves the token out of plain HTTP.
        let server = self.url().replacen("http://", "https://", 1);
        let trust = match &self.body {
            // Its certificate is everybody's, and vouches for nothing.
            Body::Double(_) => "insecure-skip-tls-verify: true".to_owned(),
            Body::Real(turn) => turn.server.trust(),
        };
        kubeconfig(&server, &trust, token)
    }

    /// Writes the kubeconfig to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.kubeconfig_yaml())
    }
}

fn settings(options: &Options) -> Settings {
    let default = Settings::default();
    let network =
        if options.dual_stack { ServiceNetwork::dual_stack() } else { ServiceNetwork::single_stack() };
    Settings {
        port: options.port,
        network,
        history: options.history.unwrap_or(default.history),
        empties_namespaces: options.controller_manager,
    }
}

/// The folder of real programs, if there is one.
fn assets() -> Option<PathBuf> {
    std::env::var_os(ASSETS).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Says once that a double judges, and how to have the real one do it. People who run the sandbox did not ask.
fn say_who_judges() {
    static SAID: Once = Once::new();
    let program = std::env::current_exe().unwrap_or_default();
    let is_a_test = program.parent().is_some_and(|folder| folder.ends_with("deps"));
    if is_a_test {
        SAID.call_once(|| {
            // Past what the test harness holds back of a test that passes.
            let said = writeln!(
                io::stderr(),
                "these tests run on a double of the API server; the real one judges them with: \
                 {ASSETS}=$(tests/kubernetes/up | tail -1) cargo test --workspace"
            );
            drop(said);
        });
    }
}

fn client_of(url: &str, token: &str) -> Client {
    match Client::try_from(config_of(url, token)) {
        Ok(client) => client,
        Err(error) => panic!("a client for {url}: {error}"),
    }
}

fn config_of(url: &str, token: &str) -> Config {
    let parsed = match url.parse() {
        Ok(url) => url,
        Err(error) => panic!("{url} is a URL: {error}"),
    };
    let mut config = Config::new(parsed);
    config.accept_invalid_certs = true;
    config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    config
}

/// A kubeconfig for a server with this token; `trust` is what it says of the server's certificate.
fn kubeconfig(server: &str, trust: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: test\n  cluster:\n    server: {server}\n    {trust}\n\
         users:\n\
         - name: user\n  user:\n    token: {token}\n\
         contexts:\n\
         - name: test\n  context:\n    cluster: test\n    user: user\n    namespace: default\n\
         current-context: test\n"
    )
}
