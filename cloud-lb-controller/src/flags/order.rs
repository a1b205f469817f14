//! A flag may stand before the command, as in other programs.

use std::ffi::OsString;

use clap::{Arg, Command};

/// The arguments with the command in front of its flags.
pub(crate) fn command_first(mut arguments: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let mut at = 1;
    while let Some(argument) = arguments.get(at).and_then(|argument| argument.to_str()) {
        if command.get_subcommands().any(|known| known.get_name() == argument) {
            arguments[1..=at].rotate_right(1);
            break;
        }
        if !argument.starts_with('-') || argument == "--" {
            break;
        }
        at += 1 + usize::from(takes_the_next(argument, command));
    }
    arguments
}

/// Whether what follows is a flag's value.
fn takes_the_next(argument: &str, command: &Command) -> bool {
    if argument.contains('=') {
        return false;
    }
    let is_it = |flag: &&Arg| match argument.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => flag.get_short().is_some_and(|short| argument == format!("-{short}")),
    };
    let flag = command.get_arguments().find(is_it);
    flag.is_some_and(|flag| flag.get_action().takes_values() && !flag.is_require_equals_set())
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::flags::RunFlags;

    fn ordered(arguments: &[&str]) -> Vec<String> {
        let command = RunFlags::augment_args(Command::new("test").subcommand(Command::new("plan")));
        let all = std::iter::once("program").chain(arguments.iter().copied()).map(OsString::from).collect();
        command_first(all, &command).into_iter().skip(1).map(|it| it.into_string().unwrap()).collect()
    }

    #[test]
    fn flags_before_a_command_are_flags_of_it() {
        for before in [
            &["--cloud-provider", "bare", "--delete-orphans", "-v", "2", "plan", "--all"][..],
            &["--cloud-provider=bare", "--leader-elect", "-v=2", "plan", "--all"],
            &["plan", "--cloud-provider", "bare"],
        ] {
            let after = ordered(before);
            assert_eq!(after[0], "plan", "{after:?}");
            let rest: Vec<_> = before.iter().copied().filter(|it| *it != "plan").collect();
            assert_eq!(after[1..], rest);
        }
    }

    #[test]
    fn a_value_is_no_command() {
        assert_eq!(ordered(&["--kubeconfig", "plan"]), ["--kubeconfig", "plan"]);
        assert_eq!(ordered(&["web", "plan"]), ["web", "plan"]);
    }
}
