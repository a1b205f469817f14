//! What a check found, and how it is printed.

use apiserver_client::in_words;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// There is nothing of the kind here that could be looked at.
    Skip,
    /// As it should be.
    Ok,
    /// It could not be looked at, which says nothing of the cluster.
    Blind,
    /// It works, or would; somebody should look.
    Warn,
    /// It cannot work like this.
    Fail,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Severity::Skip => "skip",
            Severity::Ok => "ok",
            Severity::Blind => "blind",
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

    /// There is nothing of the kind here.
    pub(crate) fn skip(subject: &'static str, says: impl Into<String>) -> Self {
        Finding { severity: Severity::Skip, subject, says: says.into() }
    }

    /// It could not be looked at; `mend` says what would help.
    pub(crate) fn blind(subject: &'static str, says: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Finding { severity: Severity::Blind, subject, says: format!("{says}; {mend}") }
    }

    /// Somebody should look.
    pub(crate) fn warn(subject: &'static str, says: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Finding { severity: Severity::Warn, subject, says: format!("{says}; {mend}") }
    }

    /// It cannot work like this.
    pub(crate) fn fail(subject: &'static str, says: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Finding { severity: Severity::Fail, subject, says: format!("{says}; {mend}") }
    }

    /// The API server did not show it.
    pub(crate) fn unseen(subject: &'static str, error: &kube::Error) -> Self {
        Finding::blind(subject, in_words(error), "not checked, run doctor with rights to read it")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:<14} {}", self.severity.word(), self.subject, self.says.replace('\n', " "))
    }
}

/// The last line of the report. What was not checked is not among what is well.
pub(crate) fn count(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counted =
        format!("{} ok, {} warn, {} fail", of(Severity::Ok), of(Severity::Warn), of(Severity::Fail));
    match of(Severity::Skip) + of(Severity::Blind) {
        0 => counted,
        unchecked => format!("{unchecked} not checked, {counted}"),
    }
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
        let findings = [Finding::ok("a", "b"), Finding::skip("a", "b"), Finding::blind("a", "b", "c")];
        assert_eq!(count(&findings), "2 not checked, 1 ok, 0 warn, 0 fail");
    }
}
