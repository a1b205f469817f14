//! Which flags somebody has set, for the first line of the log.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use cloud_provider::cut_short;

/// The flags that are not as by default, from wherever they come, as they would be written on the command line.
pub(crate) fn not_by_default(matches: &ArgMatches, command: &Command) -> Vec<String> {
    let mut given = Vec::new();
    for flag in command.get_arguments() {
        let (id, Some(name)) = (flag.get_id().as_str(), flag.get_long()) else { continue };
        let set =
            matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        if !set {
            continue;
        }
        if !flag.get_action().takes_values() {
            if matches.get_flag(id) {
                given.push(format!("--{name}"));
            }
            continue;
        }
        let values: Vec<_> = matches.get_raw(id).into_iter().flatten().collect();
        if values != flag.get_default_values().iter().map(clap::builder::OsStr::as_os_str).collect::<Vec<_>>()
        {
            let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
            given.push(format!("--{name}={}", cut_short(values.join(","))));
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::flags::RunFlags;

    #[test]
    fn what_is_as_by_default_is_not_told() {
        let command = RunFlags::augment_args(Command::new("test").no_binary_name(true));
        let arguments =
            ["--drain-timeout=30s", "--delete-orphans", "--cloud-provider=bare,aws", "--leader-elect=false"];
        let matches = command.clone().try_get_matches_from(arguments).unwrap();
        let mut given = not_by_default(&matches, &command);
        given.sort_unstable();
        assert_eq!(given, ["--cloud-provider=bare,aws", "--delete-orphans", "--leader-elect=false"]);
    }
}
