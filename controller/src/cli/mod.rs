//! The command line: flags to configuration, configuration to parts, and exit codes.
//!
//! Exit codes: 0 ended as asked; 1 cannot run, or leadership was lost; 2 the command line or a file is wrong.

mod flags;
mod leading;
mod providers;
mod run;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use flags::{LogFlags, LogFormat, RunFlags};

/// Gives every Kubernetes Service of type LoadBalancer an address
#[derive(Debug, Parser)]
#[command(name = "cloud-lb-controller", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller (the default)
    Run(Box<RunFlags>),
    /// Print the resource definitions the bare-metal provider needs
    #[cfg(feature = "bare")]
    Crds,
    /// Print the version
    Version,
}

/// Parses the command line and does what it says.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => run(arguments.run).await,
        Some(Command::Run(flags)) => run(*flags).await,
        #[cfg(feature = "bare")]
        Some(Command::Crds) => match provider_bare::crd::manifest() {
            Ok(manifest) => {
                print!("{manifest}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string(), 1),
        },
        Some(Command::Version) => {
            println!("cloud-lb-controller {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

async fn run(flags: RunFlags) -> ExitCode {
    start_logging(&flags.log);
    match run::run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), error.exit_code()),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("cloud-lb-controller: {message}");
    ExitCode::from(code)
}

fn start_logging(flags: &LogFlags) {
    let filter = EnvFilter::new(&flags.log_level);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
