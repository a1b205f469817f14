//! `cloud-lb-controller`: the service controller as a program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cloud_lb_controller::main().await
}
