//! What a provider would do, as data that prints well.

use std::fmt;

use serde::Serialize;

use crate::error::Mistakes;

/// What happens to one resource. Whoever prints a plan shows each, so this stays exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It does not exist and will.
    Create,
    /// It exists and is changed in place.
    Change,
    /// It exists and cannot be changed in place: made anew, then the old one goes.
    Replace,
    /// It exists and will not.
    Delete,
}

impl Verb {
    /// The sign shown before a step, as plans are commonly printed.
    pub fn sign(self) -> &'static str {
        match self {
            Verb::Create => "+",
            Verb::Change => "~",
            Verb::Replace => "±",
            Verb::Delete => "-",
        }
    }
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The field, in the platform's own words.
    pub field: String,
    /// What it holds now; empty when nothing.
    pub from: String,
    /// What it will hold; empty when nothing.
    pub to: String,
}

impl Change {
    /// A field that differs.
    pub fn new(field: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        Change { field: field.into(), from: from.into(), to: to.into() }
    }
}

/// One step: one resource, one verb, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What happens.
    pub verb: Verb,
    /// The kind of resource, in the platform's own words: `target group`, `address`.
    pub kind: String,
    /// Which one: a name, an ARN, an address.
    pub resource: String,
    /// Why.
    pub reason: String,
    /// What differs; empty where the verb says it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Step {
    /// A step without field changes.
    pub fn new(
        verb: Verb,
        kind: impl Into<String>,
        resource: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Step {
            verb,
            kind: kind.into(),
            resource: resource.into(),
            reason: reason.into(),
            changes: Vec::new(),
        }
    }

    /// With these fields that differ.
    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.verb.sign(), self.kind, self.resource, self.reason)?;
        for change in &self.changes {
            write!(f, "\n    {}: {:?} -> {:?}", change.field, change.from, change.to)?;
        }
        Ok(())
    }
}

/// Ordered steps. An empty plan means no write would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// In the order they would be carried out; every prefix is safe to stop after.
    pub steps: Vec<Step>,
    /// What keeps more from being done, where the steps are all that depends on none of it.
    #[serde(skip)]
    pub mistakes: Option<Mistakes>,
}

impl Plan {
    /// These steps, in the order they would be carried out.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Plan { steps: steps.into_iter().collect(), mistakes: None }
    }

    /// The steps are all that depends on none of these mistakes.
    pub fn beside(mut self, mistakes: Mistakes) -> Self {
        self.mistakes = Some(mistakes);
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing to do");
        }
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{step}")?;
        }
        match &self.mistakes {
            Some(mistakes) => write!(f, "\nand no more, because of {mistakes}"),
            None => Ok(()),
        }
    }
}
