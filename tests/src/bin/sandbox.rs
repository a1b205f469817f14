//! `sandbox`: watch Services get addresses, with no cluster and no cloud.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::sandbox::{Backend, Sandbox, SandboxError, network, usual_kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A control plane, a controller and a provider in one process: nothing to install, nothing left behind.
#[derive(Debug, Parser)]
#[command(name = "sandbox")]
struct Arguments {
    /// Show the whole job once, then exit: 0 when everything happened as it should
    #[arg(long)]
    demo: bool,

    /// Show a network too, made of namespaces of this machine: a page is fetched by an announced address, and the node that
    /// answers is cut off
    #[arg(long, requires = "demo")]
    network: bool,

    /// Who makes load balancers
    #[arg(long, default_value = "bare")]
    provider: Backend,

    /// Where to write the kubeconfig while the sandbox stays up; sandbox.kubeconfig in cargo's target folder if unset
    #[arg(long)]
    kubeconfig: Option<PathBuf>,

    /// The folder of example manifests; deploy/examples, or the provider's folder in it
    #[arg(long)]
    examples: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.network && network::is_entered().is_none() {
        if let Some(missing) = network::missing() {
            println!("There is no network to show: {missing}. The demonstration goes on without.\n");
        } else {
            return match network::enter() {
                Ok(status) if status.success() => ExitCode::SUCCESS,
                Ok(_) => ExitCode::FAILURE,
                Err(error) => failed(&SandboxError::Network(error)),
            };
        }
    }
    serve(arguments)
}

#[tokio::main]
async fn serve(arguments: Arguments) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &SandboxError) -> ExitCode {
    eprintln!("sandbox: {error}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> Result<(), SandboxError> {
    let examples = arguments.examples.unwrap_or_else(|| arguments.provider.examples());
    let sandbox = Sandbox::start(arguments.provider, &examples).await?;
    if arguments.demo {
        return sandbox.demonstrate().await;
    }
    // Before anybody is told of Ctrl-C, so that none comes too early.
    let mut interrupts = signal(SignalKind::interrupt()).map_err(SandboxError::Signals)?;
    let ctrl_c = async {
        interrupts.recv().await;
    };
    sandbox.stay(&arguments.kubeconfig.unwrap_or_else(usual_kubeconfig), ctrl_c).await
}
