//! `doctor`: what usually goes wrong, looked at before it does.
//!
//! Every check has a rim that fetches and a plain function that judges what was fetched.

#[cfg(feature = "aws")]
mod aws;
mod check;
mod class;
mod kube_proxy;
mod lease;
mod nodes;
#[cfg(feature = "bare")]
mod overlap;
#[cfg(feature = "bare")]
mod pools;
mod rbac;
mod server;

use clap::{Args, ValueEnum};

use super::error::{CliError, DONE, FOUND};
use super::flags::RunFlags;
use super::{connection, providers};
use check::{Finding, Verdict};

/// Nothing of its own: it checks what `run` would do with the same flags.
#[derive(Args, Clone, Debug)]
pub struct DoctorFlags {
    #[command(flatten)]
    pub run: RunFlags,
}

/// Prints one line a check and a count. The exit code: 0 nothing fails, 2 something does.
///
/// # Errors
/// When the flags are wrong or name no cluster. What is wrong with the cluster is a finding.
pub async fn run(flags: DoctorFlags) -> Result<u8, CliError> {
    let flags = flags.run;
    providers::check(&flags)?;
    let client = connection::client(&flags.cluster).await?;
    let findings = examine(&client, &flags).await;
    for finding in &findings {
        println!("{finding}");
    }
    println!("{}", check::count(&findings));
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { FOUND } else { DONE })
}

/// Whether a provider was chosen; by name, because which providers there are depends on the features.
fn chose(flags: &RunFlags, name: &str) -> bool {
    let mut chosen = flags.service.cloud_provider.iter().filter_map(ValueEnum::to_possible_value);
    chosen.any(|provider| provider.get_name() == name)
}

async fn examine(client: &kube::Client, flags: &RunFlags) -> Vec<Finding> {
    let server = server::look(client).await;
    if server.verdict == Verdict::Fail {
        // Without it every other check would only say the same again.
        return vec![server];
    }
    let mut findings = vec![server];
    findings.extend(rbac::look(client, flags).await);
    findings.extend(lease::look(client, &flags.election).await);
    #[cfg(feature = "bare")]
    if chose(flags, "bare") {
        findings.extend(pools::look(client, &flags.bare).await);
    }
    findings.extend(nodes::look(client, nodes::needed_by(flags)).await);
    #[cfg(feature = "aws")]
    if chose(flags, "aws") {
        findings.extend(aws::look(client, &flags.aws).await);
    }
    findings.extend(class::look(client, &class::ours(flags)).await);
    if chose(flags, "bare") {
        // Only addresses on the local network are asked for by ARP.
        findings.push(kube_proxy::look(client).await);
    }
    findings
}
