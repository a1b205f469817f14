//! A control plane for the end-to-end suites, with two bodies.
//!
//! Where `KUBEBUILDER_ASSETS` names a folder with `etcd` and `kube-apiserver`, [`ControlPlane::start`] runs
//! them; otherwise it runs the double in [`crate::apiserver`]. Suites do not need to know which.

mod real;

use std::io;
use std::path::{Path, PathBuf};

use kube::config::AuthInfo;
use kube::{Client, Config};

use crate::apiserver::{ADMIN_TOKEN, ApiServer, ServiceNetwork, Settings};
use real::RealControlPlane;

/// The variable that names the folder of the real binaries.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// A running control plane; it stops when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    body: Body,
}

/// The double, and what can be done to it only.
pub type DoubleHandle = ApiServer;

#[derive(Debug)]
enum Body {
    Double(Box<ApiServer>),
    Real(RealControlPlane),
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Give Services addresses of both families when they ask for them.
    pub dual_stack: bool,
    /// A port of the loopback address; any that is free when there is none.
    pub port: Option<u16>,
    /// The double even where there are real binaries: for suites that need its faults.
    pub double_only: bool,
    /// Let namespaces that are deleted go, as a controller manager does. Of the double only.
    pub empties_namespaces: bool,
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
        let assets = std::env::var_os(ASSETS).filter(|path| !path.is_empty() && !options.double_only);
        let body = match assets {
            Some(assets) => match RealControlPlane::start(&PathBuf::from(assets), &options).await {
                Ok(real) => Body::Real(real),
                Err(error) => panic!("the control plane in {ASSETS} does not start: {error}"),
            },
            None => match ApiServer::start(settings(&options)).await {
                Ok(double) => Body::Double(Box::new(double)),
                Err(error) => panic!("the double does not start: {error}"),
            },
        };
        Self { body }
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
            Body::Real(real) => real.url(),
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
        match Client::try_from(self.config_as(token)) {
            Ok(client) => client,
            Err(error) => panic!("a client for {}: {error}", self.url()),
        }
    }

    /// The configuration of a client that may do everything.
    pub fn kube_config(&self) -> Config {
        self.config_as(ADMIN_TOKEN)
    }

    fn config_as(&self, token: &str) -> Config {
        let url = match self.url().parse() {
            Ok(url) => url,
            Err(error) => panic!("{} is a URL: {error}", self.url()),
        };
        let mut config = Config::new(url);
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        config
    }

    /// A kubeconfig for kubectl and for programs that are run from a test, with all rights.
    pub fn kubeconfig_yaml(&self) -> String {
        self.kubeconfig_yaml_as(ADMIN_TOKEN)
    }

    /// The same with the rights of a token.
    pub fn kubeconfig_yaml_as(&self, token: &str) -> String {
        // kubectl leaves the token out of plain HTTP.
        let server = self.url().replacen("http://", "https://", 1);
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: test\n  cluster:\n    server: {server}\n    insecure-skip-tls-verify: true\n\
             users:\n\
             - name: user\n  user:\n    token: {token}\n\
             contexts:\n\
             - name: test\n  context:\n    cluster: test\n    user: user\n    namespace: default\n\
             current-context: test\n"
        )
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
        empties_namespaces: options.empties_namespaces,
    }
}
