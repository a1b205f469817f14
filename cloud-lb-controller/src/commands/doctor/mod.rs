//! `doctor`: what usually goes wrong, looked at before it does.
//!
//! Every check has a rim that fetches and a plain function that judges what was fetched.

mod class;
mod installed;
mod lease;
mod nodes;
mod rbac;
mod server;

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use crate::connection;
use crate::error::{CliError, EXIT_CODE_BLIND, EXIT_CODE_DONE, EXIT_CODE_FOUND};
use crate::finding::{self, Finding, Severity};
use crate::flags::RunFlags;
use crate::providers::Provider;

/// It checks what `run` would do with the same flags.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorFlags {
    /// For people or for machines
    #[arg(short, long, default_value = "text")]
    output: Output,

    #[command(flatten)]
    pub run: RunFlags,
}

/// Prints one line a check and a count. The exit code: 0 nothing fails, 2 something does, 3 nothing does, as far as it
/// could look.
///
/// # Errors
/// When the flags are wrong or name no cluster. What is wrong with the cluster is a finding.
pub(crate) async fn run(flags: DoctorFlags) -> Result<u8, CliError> {
    let DoctorFlags { output, run: flags } = flags;
    let providers = flags.chosen_providers()?;
    let client = connection::client(&flags.cluster, "doctor").await?;
    let findings = examine(&client, &flags, &providers).await;
    match output {
        Output::Text => {
            findings.iter().for_each(|finding| println!("{finding}"));
            println!("{}", finding::count(&findings));
        }
        Output::Json => println!("{:#}", findings.iter().map(as_json).collect::<Value>()),
    }
    let has = |severity| findings.iter().any(|finding| finding.severity == severity);
    Ok(match (has(Severity::Fail), has(Severity::Blind)) {
        (true, _) => EXIT_CODE_FOUND,
        (false, true) => EXIT_CODE_BLIND,
        (false, false) => EXIT_CODE_DONE,
    })
}

fn as_json(finding: &Finding) -> Value {
    json!({ "verdict": finding.severity.word(), "subject": finding.subject, "says": finding.says })
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
