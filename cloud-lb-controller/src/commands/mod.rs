//! The command line: flags to configuration, configuration to parts, and exit codes.
//!
//! Exit codes: 0 done; 1 it cannot run; 2 `plan`, `doctor` or `orphans` found something; 3 `doctor` could not look at
//! everything; 64 the command line or a file is wrong; 130 told to stop a second time.

pub(crate) mod doctor;
mod orphans;
mod output;
mod plan;
mod remove_conditions;
mod run;
mod why;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cloud_provider::cut_short;

use crate::error::{CliError, EXIT_CODE_DONE, EXIT_CODE_USAGE};
use crate::flags::{RunFlags, file, given, order};
use crate::traces::Traces;
use crate::{build_info, logging, providers};

/// What the program is called as a plugin of kubectl, which makes `kubectl lb` of it.
const PLUGIN: &str = "kubectl-lb";

/// Gives every Kubernetes Service of type LoadBalancer an address
#[derive(Debug, Parser)]
#[command(
    name = "cloud-lb-controller",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller (the default)
    #[command(args_override_self = true)]
    Run(Box<RunFlags>),
    /// Show what would change, and why; never writes
    #[command(args_override_self = true)]
    Plan(Box<plan::PlanFlags>),
    /// Say why a Service has, or lacks, its address: condition, events, what its provider makes of it, who announces it
    #[command(args_override_self = true)]
    Why(Box<why::WhyFlags>),
    /// Check what usually goes wrong, and say how to mend it
    #[command(args_override_self = true)]
    Doctor(Box<doctor::DoctorFlags>),
    /// List, or delete, what belongs to this cluster and to no Service of it
    #[command(args_override_self = true)]
    Orphans(Box<orphans::OrphanFlags>),
    /// Take our conditions off every Service, for a way back to another controller; what is published stays
    #[command(args_override_self = true)]
    RemoveConditions(Box<remove_conditions::RemoveConditionsFlags>),
    /// Print the resource definitions the bare-metal provider needs
    Crds,
    /// Print the version, the commit it was built from, and its features
    Version,
}

/// Parses the command line and does what it says.
pub async fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let result = match arguments.command {
        Some(Command::Run(flags)) => run(*flags).await,
        Some(Command::Plan(flags)) => with_logs(&flags.run.clone(), plan::run(*flags)).await,
        Some(Command::Why(flags)) => with_logs(&flags.run.clone(), why::run(*flags)).await,
        Some(Command::Doctor(flags)) => with_logs(&flags.run.clone(), doctor::run(*flags)).await,
        Some(Command::Orphans(flags)) => with_logs(&flags.run.clone(), orphans::run(*flags)).await,
        Some(Command::RemoveConditions(flags)) => {
            with_logs(&flags.run.clone(), remove_conditions::run(*flags)).await
        }
        Some(Command::Crds) => crds(),
        Some(Command::Version) => {
            println!("cloud-lb-controller {}", build_info::VERSION);
            println!("commit: {}", build_info::COMMIT);
            println!("features: {}", build_info::features());
            Ok(EXIT_CODE_DONE)
        }
        None => run(arguments.run).await,
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error.to_string(), error.exit_code()),
    }
}

/// Reads a file of flags as `--config` does, with the values in it.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn read_flags_of(file: &str) -> Result<(), String> {
    // To make it takes longer than to read most files.
    static COMMAND: LazyLock<clap::Command> = LazyLock::new(Arguments::command);
    let flags = file::read(file, &[], &COMMAND)?;
    let arguments = std::iter::once("cloud-lb-controller".to_owned()).chain(flags);
    let matches = COMMAND.clone().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map(drop).map_err(|error| one_line(&error))
}

/// As a plugin of kubectl the program asks and does not run: without a command it shows its help.
fn as_plugin(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(Path::new).and_then(Path::file_stem).and_then(OsStr::to_str);
    if arguments.len() == 1 && name == Some(PLUGIN) {
        arguments.push("help".into());
    }
    arguments
}

fn parse() -> Result<Arguments, ExitCode> {
    let command = Arguments::command();
    let arguments = order::command_first(as_plugin(std::env::args_os().collect()), &command);
    let merged = file::with_file(arguments, &command).map_err(|e| fail(&e, EXIT_CODE_USAGE))?;
    let parsed = command.clone().try_get_matches_from(&merged.arguments);
    let parsed = parsed.and_then(|m| Arguments::from_arg_matches(&m).map(|arguments| (arguments, m)));
    let (mut arguments, matches) = parsed.map_err(|error| {
        // Help and version are "errors" that go to standard output and are none.
        if error.use_stderr() {
            let blamed = merged.blame(&command, one_line);
            return fail(&blamed.unwrap_or_else(|| one_line(&error)), EXIT_CODE_USAGE);
        }
        let _ = error.print();
        ExitCode::from(EXIT_CODE_DONE)
    })?;
    // The default is `run`, whether it is written or not.
    match (&mut arguments.command, matches.subcommand_matches("run"), command.find_subcommand("run")) {
        (Some(Command::Run(flags)), Some(matches), Some(run)) => {
            flags.given = given::not_by_default(matches, run);
        }
        (None, ..) => arguments.run.given = given::not_by_default(&matches, &command),
        _ => {}
    }
    Ok(arguments)
}

async fn run(flags: RunFlags) -> Result<u8, CliError> {
    let traces = Traces::from_environment().map_err(CliError::Usage)?;
    let log_level = start_logging(&flags, traces.as_ref())?;
    #[cfg(not(feature = "otel"))]
    crate::traces::report_if_asked_for();
    let result = run::run(flags, log_level).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    result.map(|()| EXIT_CODE_DONE)
}

async fn with_logs(
    flags: &RunFlags,
    work: impl Future<Output = Result<u8, CliError>>,
) -> Result<u8, CliError> {
    let mut flags = flags.clone();
    // The default is for the controller. A command prints its own result, and says by itself what failed.
    if flags.log.log_level == "info" {
        flags.log.log_level = "warn,kube_client=off".into();
    }
    start_logging(&flags, None)?;
    work.await
}

fn start_logging(flags: &RunFlags, traces: Option<&Traces>) -> Result<logging::LogLevel, CliError> {
    let level = logging::start(&flags.log, traces)
        .map_err(|reason| CliError::Usage(format!("--log-level: {reason}")))?;
    flags.compatibility.report();
    Ok(level)
}

fn crds() -> Result<u8, CliError> {
    for kind in providers::kinds() {
        print!("{}", (kind.definitions)()?);
    }
    Ok(EXIT_CODE_DONE)
}

/// What is wrong and what would be right, without the usage that `--help` shows better.
fn one_line(error: &clap::Error) -> String {
    let mut text = error.to_string();
    // What was given may be a whole file by mistake.
    let told = [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    for given in told.into_iter().filter_map(|kind| error.get(kind)) {
        if let ContextValue::String(given) = given {
            text = text.replace(given.as_str(), &cut_short(given));
        }
    }
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    said.join("; ").trim_start_matches("error: ").to_owned() + "; see --help"
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Behind the first line of a YAML error comes a picture of the place, which a log would tear apart.
    let said: Vec<&str> = message.lines().take_while(|line| !line.trim_start().starts_with("-->")).collect();
    eprintln!("cloud-lb-controller: {}", said.join("; "));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_told_back_cut_short_with_the_reason() {
        let long = "5".repeat(9_000);
        for arguments in [["program", "--verify-interval", &long], ["program", &long, ""]] {
            let said = one_line(&Arguments::command().try_get_matches_from(arguments).unwrap_err());
            assert!(said.contains("… (cut: 9000 characters)") && said.len() < 1_500, "{said}");
        }
        let said =
            Arguments::command().try_get_matches_from(["program", "--verify-interval", &long]).unwrap_err();
        assert!(one_line(&said).contains("is not a duration; write it as"), "{said}");
    }

    #[test]
    fn the_flags_fit_together() {
        Arguments::command().debug_assert();
    }
}
