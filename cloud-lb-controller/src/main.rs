//! `cloud-lb-controller`: the service controller as a program.

use std::process::ExitCode;

/// One thread does all of it: what there is to do is small, and most of it waits for somebody. More of them wake each other
/// for every request, which took a fifth of the program's CPU, and each keeps memory of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cloud_lb_controller::main().await
}
