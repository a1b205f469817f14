//! `doctor`: what usually goes wrong, looked at before it does.
//!
//! Every check has a rim that fetches and a plain function that judges what was fetched.

mod class;
mod lease;
mod nodes;
mod rbac;
mod server;

use std::sync::Arc;

use clap::Args;

use crate::connection;
use crate::error::{CliError, DONE, FOUND};
use crate::finding::{self, Finding, Severity};
use crate::flags::RunFlags;
use crate::providers::Provider;

/// Nothing of its own: it checks what `run` would do with the same flags.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorFlags {
    #[command(flatten)]
    pub run: RunFlags,
}

/// Prints one line a check and a count. The exit code: 0 nothing fails, 2 something does.
///
/// # Errors
/// When the flags are wrong or name no cluster. What is wrong with the cluster is a finding.
pub(crate) async fn run(flags: DoctorFlags) -> Result<u8, CliError> {
    let flags = flags.run;
    let providers = flags.chosen_providers()?;
    let client = connection::client(&flags.cluster, "doctor").await?;
    let findings = examine(&client, &flags, &providers).await;
    for finding in &findings {
        println!("{finding}");
    }
    println!("{}", finding::count(&findings));
    let failed = findings.iter().any(|finding| finding.severity == Severity::Fail);
    Ok(if failed { FOUND } else { DONE })
}

async fn examine(client: &kube::Client, flags: &RunFlags, providers: &[Arc<dyn Provider>]) -> Vec<Finding> {
    let server = server::look(client).await;
    if server.severity == Severity::Fail {
        // Without it every other check would only say the same again.
        return vec![server];
    }
    let mut findings = vec![server];
    findings.extend(rbac::look(client, &rbac::rights(flags, providers)).await);
    findings.extend(lease::look(client, &flags.election).await);
    findings.extend(nodes::look(client, nodes::needed_by(providers)).await);
    for provider in providers {
        findings.extend(provider.doctor(client).await);
    }
    let ours: Vec<_> = providers.iter().map(|provider| provider.class().clone()).collect();
    findings.extend(class::look(client, &ours).await);
    findings
}
