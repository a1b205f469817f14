//! Holds a real control plane until it is killed, for the suite `control_plane`: says `ready` when there is one, and why
//! there is none when it does not start.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::control_plane::{ControlPlane, Options};

#[derive(Parser)]
struct Args {
    /// The folder of the programs.
    assets: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { assets } = Args::parse();
    let options = Options { controller_manager: true, ..Options::default() };
    match ControlPlane::start_from(Some(&assets), &options).await {
        Ok(_plane) => {
            println!("ready");
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
