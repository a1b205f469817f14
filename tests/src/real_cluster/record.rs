//! What a cluster writes down before it makes anything, so that whoever comes later knows whether it is to be removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ClusterError;

const FILE: &str = "record";

/// A process, as nothing else can be taken for it: numbers are given again, start times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// When it started, in ticks since the host did.
    pub started: u64,
}

impl Process {
    /// This one.
    pub(super) fn this() -> Self {
        let id = std::process::id();
        Process { id, started: started(id).unwrap_or_default() }
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        started(self.id) == Some(self.started)
    }
}

/// When a process started; None where there is none, or only its end is left.
fn started(id: u32) -> Option<u64> {
    from_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The start time in a line of `/proc/ID/stat`. The program's name in it may hold spaces and brackets.
fn from_stat(line: &str) -> Option<u64> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    match fields.first()? {
        &"Z" | &"X" => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

/// A cluster's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Who keeps the cluster up. When that process has ended, the cluster is to go.
    pub owner: Process,
}

impl Record {
    /// Writes it into a cluster's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ClusterError> {
        let path = folder.join(FILE);
        fs::write(&path, self.to_string()).map_err(ClusterError::file(&path))
    }

    /// Reads it from a cluster's folder.
    ///
    /// # Errors
    /// When there is none, or it is none: its writer ended before the first line was written, and made nothing.
    pub(super) fn read(folder: &Path) -> Result<Self, ClusterError> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(ClusterError::file(&path))?;
        let broken = || ClusterError::File { path, source: std::io::ErrorKind::InvalidData.into() };
        Record::parse(&text).ok_or_else(broken)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n')?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["owner", id, started] => {
                Some(Record { owner: Process { id: id.parse().ok()?, started: started.parse().ok()? } })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "owner {} {}", self.owner.id, self.owner.started)
    }
}

/// A cluster's folder that was found, and what it says of itself.
#[derive(Debug)]
pub struct Found {
    /// The folder.
    pub folder: PathBuf,
    /// Who keeps the cluster up; None where that has ended.
    pub owner: Option<Process>,
}

/// All clusters of this host, under the folder that they have in common.
pub(super) fn all(parent: &Path) -> Vec<Found> {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = |folder: PathBuf| {
        let owner = Record::read(&folder).ok().map(|record| record.owner).filter(Process::runs);
        Found { folder, owner }
    };
    folders.filter(|path| path.is_dir()).map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record { owner: Process { id: 4711, started: 815 } }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Record::parse(&record().to_string()), Some(record()));
    }

    #[test]
    fn a_record_that_was_cut_off_or_is_something_else_is_none() {
        for text in [
            "",
            "owner 4711",
            "owner 4711 8",
            "owner 4711\n",
            "owner x 815\n",
            "owner 4711 815\nmore\n",
            "hello\n",
        ] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_runs_until_it_ends_and_its_number_alone_does_not_make_it() {
        let this = Process::this();
        assert!(this.runs());
        assert!(!Process { started: this.started + 1, ..this }.runs());
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let line = |name: &str, state: &str| {
            let zeros = "0 ".repeat(18);
            format!("4711 ({name}) {state} {zeros}815 1 2")
        };
        assert_eq!(from_stat(&line("sh", "S")), Some(815));
        assert_eq!(from_stat(&line("a b) (c", "R")), Some(815));
        assert_eq!(from_stat(&line("sh", "Z")), None, "it has ended, and its parent does not know yet");
    }
}
