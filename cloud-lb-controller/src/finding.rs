//! What a check found, and how it is printed.

use apiserver_client::in_words;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// As it should be.
    Ok,
    /// It works, or would; somebody should look.
    Warn,
    /// It cannot work like this.
    Fail,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "fail",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found, and, where it is not well, how to mend it.
    pub says: String,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(subject: &'static str, says: impl Into<String>) -> Self {
        Finding { severity: Severity::Ok, subject, says: says.into() }
    }

    /// Somebody should look.
    pub(crate) fn warn(subject: &'static str, says: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Finding { severity: Severity::Warn, subject, says: format!("{says}; {mend}") }
    }

    /// It cannot work like this.
    pub(crate) fn fail(subject: &'static str, says: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Finding { severity: Severity::Fail, subject, says: format!("{says}; {mend}") }
    }

    /// The check could not look. That says nothing of the cluster, so it does not fail.
    pub(crate) fn unseen(subject: &'static str, error: &kube::Error) -> Self {
        Finding::warn(subject, in_words(error), "not checked, run doctor with rights to read it")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:<14} {}", self.severity.word(), self.subject, self.says.replace('\n', " "))
    }
}

/// The last line of the report.
pub(crate) fn count(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    format!("{} ok, {} warn, {} fail", of(Severity::Ok), of(Severity::Warn), of(Severity::Fail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::fail("pools", "two\nlines", "mend it");
        assert_eq!(finding.to_string(), "fail  pools          two lines; mend it");
    }

    #[test]
    fn the_count_names_every_verdict() {
        let findings = [Finding::ok("a", "b"), Finding::warn("a", "b", "c"), Finding::ok("a", "b")];
        assert_eq!(count(&findings), "2 ok, 1 warn, 0 fail");
    }
}
