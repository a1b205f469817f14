//! Which Services a provider claims, by `spec.loadBalancerClass`.

use std::fmt;
use std::str::FromStr;

use crate::error::Mistake;

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
    Disabled,
}

impl ClassRule {
    /// Whether a Service with this class (none: the field is unset) is claimed.
    pub fn matches(&self, class: Option<&str>) -> bool {
        match (self, class) {
            (ClassRule::Unset | ClassRule::ExactlyOrUnset(_), None) => true,
            (ClassRule::Exactly(ours) | ClassRule::ExactlyOrUnset(ours), Some(class)) => ours == class,
            (ClassRule::Unset, Some(_)) | (ClassRule::Exactly(_), None) | (ClassRule::Disabled, _) => false,
        }
    }
}

/// A rule with a class that the API server lets no Service have: nobody would ever be served, and a typing error in a
/// rule that was right before would leave everybody alone whom it served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidClass(pub Mistake);

/// Reads a flag: empty is [`ClassRule::Unset`], `NAME` is [`ClassRule::Exactly`], `NAME,` (a trailing comma:
/// "or none") is [`ClassRule::ExactlyOrUnset`].
impl FromStr for ClassRule {
    type Err = InvalidClass;

    fn from_str(text: &str) -> Result<Self, InvalidClass> {
        let text = text.trim();
        let (name, or_unset) = text.strip_suffix(',').map_or((text, false), |name| (name, true));
        match (name, or_unset) {
            ("", false) => Ok(ClassRule::Unset),
            (name, _) if !is_qualified_name(name) => {
                let mistake = Mistake::new("class", text, "is no class that a Service can have");
                let allowed = "a name such as lb or example.com/lb (letters, digits and -_. of at most 63 characters, \
                               behind an optional domain name and a slash), a comma behind it for Services without a \
                               class as well, or nothing for those alone";
                Err(InvalidClass(mistake.allowing(allowed).meanwhile("the program does not start")))
            }
            (name, true) => Ok(ClassRule::ExactlyOrUnset(name.to_owned())),
            (name, false) => Ok(ClassRule::Exactly(name.to_owned())),
        }
    }
}

/// What the API server asks of `spec.loadBalancerClass`: `ValidateQualifiedName` of `k8s.io/apimachinery`
/// (`pkg/util/validation`), which also holds for the keys of labels.
fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    is_name(name, 63, |c| c.is_ascii_alphanumeric(), "-_.")
        && domain.is_none_or(|domain| {
            let is_label = |label| is_name(label, 253, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "-");
            domain.len() <= 253 && domain.split('.').all(is_label)
        })
}

/// Whether a name has these characters, and none of `inside` at either end.
fn is_name(name: &str, longest: usize, outside: impl Fn(char) -> bool, inside: &str) -> bool {
    let ends = name.starts_with(&outside) && name.ends_with(&outside);
    ends && name.len() <= longest && name.chars().all(|c| outside(c) || inside.contains(c))
}

impl fmt::Display for ClassRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassRule::Unset => Ok(()),
            ClassRule::Exactly(name) => f.write_str(name),
            ClassRule::ExactlyOrUnset(name) => write!(f, "{name},"),
            ClassRule::Disabled => f.write_str("(nobody)"),
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
        assert!(!ClassRule::Disabled.matches(None));
    }

    #[test]
    fn a_class_that_no_service_can_have_is_refused() {
        let long = format!("example.com/{}", "a".repeat(63));
        for right in ["", "lb", "a.b/c", "example.com/LB_1.x,", "service.k8s.aws/nlb", &long] {
            assert!(right.parse::<ClassRule>().is_ok(), "{right}");
        }
        let too_long = format!("{long}a");
        for wrong in [
            ",my.example/lb",
            ",",
            "a b",
            "a/b/c",
            "/lb",
            "a/",
            "-a",
            "a-",
            "A.b/c",
            "a..b/c",
            "a,b",
            &too_long,
        ] {
            let refused = wrong.parse::<ClassRule>().expect_err(wrong).to_string();
            assert!(refused.contains("is no class that a Service can have"), "{refused}");
        }
    }
}
