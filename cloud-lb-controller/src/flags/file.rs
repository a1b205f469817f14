//! `--config FILE`: flags from a YAML file.
//!
//! A file is a list of flags written as a map, so there is one set of names, one parser and one set of messages:
//! `leader-elect-lease-duration: 30s` is `--leader-elect-lease-duration=30s`. What the command line or the
//! environment says wins over the file.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use cloud_provider::cut_short;
use serde_json::Value;

/// The arguments, with those of a file put in front.
#[derive(Debug)]
pub(crate) struct Merged {
    /// All of them.
    pub arguments: Vec<OsString>,
    /// The file, as it was named, and what came from it.
    file: Option<(String, Vec<String>)>,
}

impl Merged {
    /// Whether the file is to blame for what is wrong with the arguments: the line that says so, with the key.
    pub(crate) fn blame(
        &self,
        command: &Command,
        in_words: impl Fn(&clap::Error) -> String,
    ) -> Option<String> {
        let (file, flags) = self.file.as_ref()?;
        flags.iter().find_map(|flag| {
            let alone = command.clone().try_get_matches_from(["", flag]);
            let error = alone.err().filter(clap::Error::use_stderr)?;
            let key = flag.trim_start_matches("--").split('=').next().unwrap_or_default();
            Some(format!("--config {file}: {key}: {}", in_words(&error)))
        })
    }
}

/// The arguments, with those of the file that `--config` names put in front.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub(crate) fn with_file(arguments: Vec<OsString>, command: &Command) -> Result<Merged, String> {
    let Some(path) = path_in(&arguments) else { return Ok(Merged { arguments, file: None }) };
    let name = path.display().to_string();
    let wrong = |reason: String| format!("--config {name}: {reason}");
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let given: Vec<String> = arguments.iter().filter_map(|a| a.to_str().map(str::to_owned)).collect();
    let from_file = read(&text, &given, command).map_err(wrong)?;
    // After a subcommand's name, if there is one, and before everything else that was given.
    let subcommand =
        given.iter().position(|a| command.get_subcommands().any(|s| s.get_name() == a)).unwrap_or_default();
    let mut all = arguments.clone();
    all.splice((subcommand + 1)..=subcommand, from_file.iter().map(OsString::from));
    Ok(Merged { arguments: all, file: Some((name, from_file)) })
}

/// The flags of a file, but those that are given or in the environment.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(text: &str, given: &[String], command: &Command) -> Result<Vec<String>, String> {
    let map = match serde_saphyr::from_str(text) {
        Ok(Value::Object(map)) => map,
        // All of it is comments.
        Ok(Value::Null) => return Ok(Vec::new()),
        Ok(other) => return Err(format!("not a map of flags: {}", cut_short(other.to_string()))),
        Err(error) => return Err(format!("not a map of flags: {error}")),
    };
    let mut from_file = Vec::new();
    for (name, value) in &map {
        let flag = command
            .get_arguments()
            .find(|a| a.get_long() == Some(name) && name != "config")
            .ok_or_else(|| unknown(name, command))?;
        let in_environment = flag.get_env().is_some_and(|key| std::env::var_os(key).is_some());
        let on_command_line =
            given.iter().any(|a| a.strip_prefix("--").is_some_and(|a| a.split('=').next() == Some(name)));
        if in_environment || on_command_line {
            continue;
        }
        match (value, flag.get_action().takes_values()) {
            (Value::Bool(false), false) => {}
            (Value::Bool(true), false) => from_file.push(format!("--{name}")),
            _ => from_file.push(format!("--{name}={}", written(value).ok_or_else(|| no_value(name, value))?)),
        }
    }
    Ok(from_file)
}

/// A value as it is written on the command line; none for what is no value of a flag.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(values) => {
            let each: Option<Vec<String>> = values.iter().map(written).collect();
            each.map(|each| each.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn no_value(name: &str, value: &Value) -> String {
    let value = cut_short(value.to_string());
    format!("{name}: {value} is no value of a flag; write a word, a number, true or false, or a list of them")
}

fn path_in(arguments: &[OsString]) -> Option<&Path> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(Path::new);
        }
        if let Some(path) = argument.to_str().and_then(|a| a.strip_prefix("--config=")) {
            return Some(Path::new(path));
        }
    }
    None
}

fn unknown(name: &str, command: &Command) -> String {
    let name = cut_short(name);
    let names = command.get_arguments().filter_map(|a| a.get_long());
    let nearest = names
        .map(|known| (strsim::levenshtein(&name, known), known))
        .filter(|(distance, _)| *distance <= name.len() / 3 + 1)
        .min();
    match nearest {
        Some((_, known)) => format!("unknown key {name:?}; did you mean {known:?}?"),
        None => format!(
            "unknown key {name:?}; the keys are the flags that `--help` lists, without dashes in front"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Args;

    use super::*;
    use crate::flags::RunFlags;

    fn merged(file: &str, arguments: &[&str]) -> Result<Vec<String>, String> {
        let mut path = std::env::temp_dir();
        path.push(format!("cloud-lb-controller-{:x}.yaml", fastrand::u64(..)));
        std::fs::File::create(&path).unwrap().write_all(file.as_bytes()).unwrap();
        let mut all: Vec<OsString> = vec!["cloud-lb-controller".into()];
        all.extend(arguments.iter().map(OsString::from));
        all.extend(["--config".into(), path.clone().into_os_string()]);
        let merged = with_file(all, &RunFlags::augment_args(Command::new("test")));
        std::fs::remove_file(path).unwrap();
        let count = |all: Vec<OsString>| all.len().saturating_sub(2);
        merged.map(|merged| {
            let all = merged.arguments;
            let keep = count(all.clone());
            all.into_iter().skip(1).take(keep - 1).map(|a| a.into_string().unwrap()).collect()
        })
    }

    #[test]
    fn a_file_is_flags_in_another_form() {
        let file = "cloud-provider: [bare]\nleader-elect: false\nkube-api-qps: 0.5\nconcurrent-service-syncs: 4\nverify-interval: 1h\n";
        assert_eq!(
            merged(file, &[]).unwrap(),
            [
                "--cloud-provider=bare",
                "--concurrent-service-syncs=4",
                "--kube-api-qps=0.5",
                "--leader-elect=false",
                "--verify-interval=1h"
            ]
        );
    }

    #[test]
    fn the_command_line_wins() {
        assert_eq!(
            merged("verify-interval: 1h\n", &["--verify-interval=2h"]).unwrap(),
            ["--verify-interval=2h"]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion() {
        let error = merged("leader-elekt: true\n", &[]).unwrap_err();
        assert!(error.ends_with("unknown key \"leader-elekt\"; did you mean \"leader-elect\"?"), "{error}");
        assert!(merged("colour: red\n", &[]).unwrap_err().contains("the keys are the flags"));
    }

    #[test]
    fn a_long_key_is_told_back_cut_short() {
        let error = merged(&format!("{}: true\n", "k".repeat(900)), &[]).unwrap_err();
        assert!(error.contains("… (cut: 900 characters)") && error.len() < 600, "{error}");
        assert!(error.contains("the keys are the flags"), "{error}");
    }

    #[test]
    fn what_is_no_value_is_refused_by_its_key() {
        let error = merged("verify-interval: {minutes: 5}\n", &[]).unwrap_err();
        assert!(error.contains("verify-interval: {\"minutes\":5} is no value of a flag"), "{error}");
        assert!(merged("http-address:\n", &[]).unwrap_err().contains("http-address: null is no value"));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert!(merged("- just\n- a list\n", &[]).unwrap_err().contains("not a map of flags"));
    }
}
