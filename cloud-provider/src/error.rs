//! What can go wrong, by what has to happen before it is worth trying again.

use std::fmt;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::listing::and_more;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// One thing a user got wrong, in words that let them mend it.
///
/// Prints as one sentence: which field, what it holds, what is wrong with it, what would be right, and what
/// happens until then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Mistake {
    /// The field as the user wrote it: `spec.loadBalancerIP`, `metadata.annotations[metallb.io/address-pool]`.
    pub field: String,
    /// What it holds, cut short where it is long.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub allowed: String,
    /// What happens now: `"no address is assigned until it is corrected"`, `"10.0.0.1 stays published"`.
    pub until_then: String,
}

impl Mistake {
    /// A mistake in `field`; add [`allowed`](Mistake::allowing) and [`until_then`](Mistake::meanwhile).
    pub fn new(field: impl Into<String>, value: impl Into<String>, problem: impl Into<String>) -> Self {
        Mistake {
            field: field.into(),
            value: cut(value.into(), MAX_VALUE_CHARS),
            problem: cut(problem.into(), MAX_SENTENCE_CHARS),
            allowed: String::new(),
            until_then: String::new(),
        }
    }

    /// A mistake in an annotation's value.
    pub fn in_annotation(key: &str, value: impl Into<String>, problem: impl Into<String>) -> Self {
        Mistake::new(format!("metadata.annotations[{key}]"), value, problem)
    }

    /// Says what would be right.
    pub fn allowing(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = cut(allowed.into(), MAX_SENTENCE_CHARS);
        self
    }

    /// Says what happens until it is mended.
    pub fn meanwhile(mut self, until_then: impl Into<String>) -> Self {
        self.until_then = cut(until_then.into(), MAX_SENTENCE_CHARS);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {}", self.field, self.value, self.problem)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if !self.until_then.is_empty() {
            write!(f, "; until then {}", self.until_then)?;
        }
        Ok(())
    }
}

/// How many characters of what a user wrote are told back. A condition that holds it all is refused by the API server,
/// and then nothing is told.
const MAX_VALUE_CHARS: usize = 200;

/// How many characters a part of a mistake's sentence has at most: it may quote what the user wrote, too.
const MAX_SENTENCE_CHARS: usize = 500;

/// How many mistakes are told; the others are counted.
const MAX_MISTAKES: usize = 10;

/// What a user wrote, as a [`Mistake`] tells it back: cut at 200 characters, and the cut is said.
pub fn cut_short(text: impl Into<String>) -> String {
    cut(text.into(), MAX_VALUE_CHARS)
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        let count = text.chars().count();
        text.truncate(end);
        text.push_str(&format!("… (cut: {count} characters)"));
    }
    text
}

/// Every mistake found in one Service, reported together so that a user mends them in one edit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// None when there is no mistake, so that an empty report cannot exist.
    pub fn new(mistakes: Vec<Mistake>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Mistakes(mistakes))
    }

    /// These and more.
    pub fn and(mut self, more: Mistakes) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Says of all of them what happens until they are mended.
    pub fn meanwhile(self, until_then: &str) -> Self {
        Mistakes(self.0.into_iter().map(|mistake| mistake.meanwhile(until_then)).collect())
    }

    /// The mistakes, in the order found; never empty.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Mistakes(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().take(MAX_MISTAKES).enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{mistake}")?;
        }
        match self.0.len().saturating_sub(MAX_MISTAKES) {
            0 => Ok(()),
            // Apart from the last of them, whose sentence it would seem to belong to.
            more => write!(f, " |{}", and_more(more)),
        }
    }
}

/// Why a provider could not do what was asked. The controller acts on the [class](Error::class) alone.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The user must change the Service, and nothing of it was carried out: what serves is as it was. Not tried again until
    /// it changes, until the provider [wakes](crate::CloudLoadBalancer::wakeups) it, or until the next resync, at which
    /// what serves is [ensured](crate::CloudLoadBalancer::ensure) first as it was when the Service was last valid.
    #[error("{0}")]
    Invalid(Mistakes),
    /// The user must change the Service, and meanwhile all that depends on none of its mistakes was carried out, as the
    /// Service asks now; what depends on one is as it was found. Tried again as [`Invalid`](Self::Invalid) is, at the next
    /// resync with the Service as it is: as it was when it was last valid would take back what was carried out since.
    #[error("{0}")]
    InvalidInPart(Mistakes),
    /// The provider's API asks everybody to slow down. All calls to the provider pause, not this Service's alone.
    #[error("the provider's API is throttling: {message}")]
    #[non_exhaustive]
    Throttled {
        /// What the API said.
        message: String,
        /// How long it asked us to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// A limit of the account or installation is reached. Retried slowly: somebody has to raise it or free something.
    #[error("a quota is reached: {message}")]
    #[non_exhaustive]
    Quota {
        /// Which limit, and how to raise it.
        message: String,
    },
    /// The credentials do not allow the call. Retried slowly: somebody has to grant it.
    #[error("not allowed: {message}")]
    #[non_exhaustive]
    Denied {
        /// The action and resource that were refused.
        message: String,
    },
    /// Anything that may pass by itself. Retried with exponential backoff.
    #[error("{message}")]
    #[non_exhaustive]
    Transient {
        /// What failed.
        message: String,
        /// The underlying failure, if there is one.
        #[source]
        source: Option<Source>,
    },
    /// Another controller serves this Service on purpose. Counts as success; nothing is published.
    #[error("implemented elsewhere")]
    ImplementedElsewhere,
}

impl Error {
    /// The API asks everybody to slow down, for this long if it said.
    pub fn throttled(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Error::Throttled { message: message.into(), retry_after }
    }

    /// A limit is reached: which, and how to raise it.
    pub fn quota(message: impl Into<String>) -> Self {
        Error::Quota { message: message.into() }
    }

    /// The credentials do not allow it: the action and the resource.
    pub fn denied(message: impl Into<String>) -> Self {
        Error::Denied { message: message.into() }
    }

    /// A passing failure described in words.
    pub fn transient(message: impl Into<String>) -> Self {
        Error::Transient { message: message.into(), source: None }
    }

    /// A passing failure with its cause.
    pub fn transient_from(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Error::Transient { message: message.into(), source: Some(source.into()) }
    }

    /// What the controller acts on.
    pub fn class(&self) -> ErrorClass {
        match self {
            Error::Invalid(_) | Error::InvalidInPart(_) => ErrorClass::Invalid,
            Error::Throttled { .. } => ErrorClass::Throttled,
            Error::Quota { .. } => ErrorClass::Quota,
            Error::Denied { .. } => ErrorClass::Denied,
            Error::Transient { .. } => ErrorClass::Transient,
            Error::ImplementedElsewhere => ErrorClass::ImplementedElsewhere,
        }
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Self {
        Error::Invalid(mistake.into())
    }
}

impl From<Mistakes> for Error {
    fn from(mistakes: Mistakes) -> Self {
        Error::Invalid(mistakes)
    }
}

/// The class of an [`Error`]: all the controller needs to know to decide when to try again. A class without a rule for
/// that cannot be, so this stays exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// See [`Error::Invalid`] and [`Error::InvalidInPart`].
    Invalid,
    /// See [`Error::Throttled`].
    Throttled,
    /// See [`Error::Quota`].
    Quota,
    /// See [`Error::Denied`].
    Denied,
    /// See [`Error::Transient`].
    Transient,
    /// See [`Error::ImplementedElsewhere`].
    ImplementedElsewhere,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 6] = [
        ErrorClass::Invalid,
        ErrorClass::Throttled,
        ErrorClass::Quota,
        ErrorClass::Denied,
        ErrorClass::Transient,
        ErrorClass::ImplementedElsewhere,
    ];

    /// The class as one `CamelCase` word: a condition's reason, a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::Invalid => "Invalid",
            ErrorClass::Throttled => "Throttled",
            ErrorClass::Quota => "QuotaReached",
            ErrorClass::Denied => "Denied",
            ErrorClass::Transient => "ProviderFailed",
            ErrorClass::ImplementedElsewhere => "ImplementedElsewhere",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_wrote_is_told_back_cut_short_and_the_cut_is_said() {
        let long = "é".repeat(300_000);
        let mistake = Mistake::in_annotation("a", &*long, format!("has {long:?}, which is no port"))
            .allowing(&*long)
            .meanwhile(&*long);
        let many = Mistakes::new(vec![mistake; 50]).unwrap().to_string();
        assert!(many.contains("… (cut: 300000 characters)") && many.ends_with(" | and 40 more"), "{many}");
        // A condition's message has room for 32,768 characters.
        assert!(many.chars().count() < 32_768, "{}", many.chars().count());
        let short = Mistake::new("f", "x".repeat(MAX_VALUE_CHARS), "is wrong");
        assert_eq!(short.value.len(), MAX_VALUE_CHARS);
    }

    #[test]
    fn a_mistake_names_field_value_what_is_allowed_and_what_happens_now() {
        let mistake = Mistake::in_annotation("example.com/scheme", "publik", "is not a scheme")
            .allowing("internal or internet-facing")
            .meanwhile("the load balancer stays as it is");
        assert_eq!(
            Error::from(mistake).to_string(),
            "metadata.annotations[example.com/scheme]: \"publik\" is not a scheme; \
             allowed: internal or internet-facing; until then the load balancer stays as it is"
        );
    }

    #[test]
    fn mistakes_are_reported_together_and_never_empty() {
        assert_eq!(Mistakes::new(vec![]), None);
        let two = Mistakes::new(vec![Mistake::new("a", "1", "is odd"), Mistake::new("b", "2", "is even")]);
        assert_eq!(two.unwrap().to_string(), "a: \"1\" is odd | b: \"2\" is even");
    }
}
