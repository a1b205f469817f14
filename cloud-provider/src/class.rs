//! Which Services a provider claims, by `spec.loadBalancerClass`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The class rule of one provider
/// ([KEP-1959](https://github.com/kubernetes/enhancements/issues/1959)).
///
/// A Service with a class belongs to whoever answers to exactly that class; a Service without one belongs to
/// the cluster's default implementation. An empty class counts as a class, as Kubernetes' own controller has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClassRule {
    /// Only Services without a class: we are the cluster's default.
    #[default]
    Unset,
    /// Only Services with exactly this class.
    Exactly(String),
    /// Services with this class and Services without one.
    ExactlyOrUnset(String),
    /// No Service: the provider is switched off, except for cleaning up what it once served.
    Nobody,
}

impl ClassRule {
    /// Whether a Service with this class (none: the field is unset) is claimed.
    pub fn matches(&self, class: Option<&str>) -> bool {
        match (self, class) {
            (ClassRule::Unset | ClassRule::ExactlyOrUnset(_), None) => true,
            (ClassRule::Exactly(ours) | ClassRule::ExactlyOrUnset(ours), Some(class)) => ours == class,
            (ClassRule::Unset, Some(_)) | (ClassRule::Exactly(_), None) | (ClassRule::Nobody, _) => false,
        }
    }
}

/// Reads a flag: empty is [`ClassRule::Unset`], `NAME` is [`ClassRule::Exactly`], `NAME,` (a trailing comma:
/// "or none") is [`ClassRule::ExactlyOrUnset`].
impl FromStr for ClassRule {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.trim() {
            "" => ClassRule::Unset,
            text => match text.strip_suffix(',') {
                Some(name) => ClassRule::ExactlyOrUnset(name.to_owned()),
                None => ClassRule::Exactly(text.to_owned()),
            },
        })
    }
}

impl fmt::Display for ClassRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassRule::Unset => Ok(()),
            ClassRule::Exactly(name) => f.write_str(name),
            ClassRule::ExactlyOrUnset(name) => write!(f, "{name},"),
            ClassRule::Nobody => f.write_str("(nobody)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_matched_exactly_and_an_empty_one_is_a_class() {
        let table = [
            ("", None, true),
            ("", Some(""), false),
            ("", Some("a"), false),
            ("a", Some("a"), true),
            ("a", Some("a/b"), false),
            ("a", None, false),
            ("a,", None, true),
            ("a,", Some("a"), true),
            ("a,", Some("b"), false),
        ];
        for (rule, class, claimed) in table {
            let rule: ClassRule = rule.parse().unwrap();
            assert_eq!(rule.matches(class), claimed, "rule {rule:?}, class {class:?}");
        }
        assert!(!ClassRule::Nobody.matches(None));
    }
}
