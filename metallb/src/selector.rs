//! Label selectors, checked once.
//!
//! kube has a selector too. It is not this one: it takes what MetalLB refuses (values given twice, operators without
//! theirs), says of an unknown operator nothing that names its field, and is matched against maps, which the views of nodes
//! and Services are not made of.

use std::collections::BTreeSet;
use std::fmt;

use cloud_provider::{Mistake, NodeView, Ordered, SortedMap};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Labels of an object.
pub type Labels = SortedMap<String>;

/// A label selector whose operators and values are known to be right. All requirements must hold; none at all
/// selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Reads a selector as Kubernetes writes it.
    ///
    /// # Errors
    /// One sentence per mistake: an unknown operator, values where none belong or none where some do, values
    /// given twice.
    pub fn parse(selector: &LabelSelector) -> Result<Self, Vec<String>> {
        let mut requirements: Vec<Requirement> = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| Requirement::In(key.clone(), BTreeSet::from([value.clone()])))
            .collect();
        let mut problems = Vec::new();
        for expression in selector.match_expressions.iter().flatten() {
            match requirement(expression) {
                Ok(requirement) => requirements.push(requirement),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Selector(requirements)) } else { Err(problems) }
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &impl Label) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.label(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.label(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.label(key).is_some(),
            Requirement::DoesNotExist(key) => labels.label(key).is_none(),
        })
    }
}

/// As `kubectl --selector` takes it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        for (i, requirement) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values))?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", list(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

/// What has labels.
pub trait Label {
    /// The value of a label; none if it is not there.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Label for Labels {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Label for NodeView {
    fn label(&self, key: &str) -> Option<&str> {
        NodeView::label(self, key)
    }
}

/// Selectors of which one must fit. None at all means that nothing is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnyOf(Vec<Selector>);

impl AnyOf {
    /// Reads a field that is a list of selectors. Those with a mistake are left out.
    pub fn parse(field: &str, written: &[LabelSelector], mistakes: &mut Vec<Mistake>) -> Self {
        let mut selectors: Vec<Selector> = Vec::with_capacity(written.len());
        for (i, written) in written.iter().enumerate() {
            let wrong = |problem: &str| {
                let value = serde_json::to_string(written).unwrap_or_default();
                Mistake::new(format!("{field}[{i}]"), value, problem).allowing("a label selector, once")
            };
            match Selector::parse(written) {
                Ok(selector) if selectors.contains(&selector) => mistakes.push(wrong("is listed twice")),
                Ok(selector) => selectors.push(selector),
                Err(problems) => mistakes.extend(problems.iter().map(|problem| wrong(problem))),
            }
        }
        AnyOf(selectors)
    }

    /// Whether no selector is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is meant: a selector fits, or there is none.
    pub fn matches(&self, labels: &impl Label) -> bool {
        self.is_empty() || self.is_fitted_by(labels)
    }

    /// Whether a selector fits. Nothing fits where there is none.
    pub fn is_fitted_by(&self, labels: &impl Label) -> bool {
        self.0.iter().any(|selector| selector.matches(labels))
    }

    /// The selectors that fit none of these, each with its position in the field.
    pub fn idle<'a, L: Label + 'a>(
        &self,
        all: impl Iterator<Item = &'a L> + Clone,
    ) -> impl Iterator<Item = (usize, &Selector)> {
        let fits_none =
            move |(_, selector): &(usize, &Selector)| !all.clone().any(|one| selector.matches(one));
        self.0.iter().enumerate().filter(fits_none)
    }
}

fn requirement(expression: &LabelSelectorRequirement) -> Result<Requirement, String> {
    let LabelSelectorRequirement { key, operator, values } = expression;
    let listed = values.as_deref().unwrap_or_default();
    let values: BTreeSet<String> = listed.iter().cloned().ordered();
    if key.is_empty() {
        return Err("has a requirement without a key".into());
    }
    if values.len() < listed.len() {
        return Err(format!("lists a value of {key:?} twice"));
    }
    let requirement = match operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            return Err(format!("has operator {operator} for {key:?} without values"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            return Err(format!("has operator {operator} for {key:?} with values, which it does not take"));
        }
        "In" => Requirement::In(key.clone(), values),
        "NotIn" => Requirement::NotIn(key.clone(), values),
        "Exists" => Requirement::Exists(key.clone()),
        "DoesNotExist" => Requirement::DoesNotExist(key.clone()),
        _ => {
            return Err(format!(
                "has operator {operator:?} for {key:?}; there are In, NotIn, Exists and DoesNotExist"
            ));
        }
    };
    Ok(requirement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.into(),
                operator: operator.into(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            }]),
            match_labels: None,
        }
    }

    #[test]
    fn operators_follow_kubernetes() {
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        let table = [
            ("app", "In", vec!["web", "db"], true),
            ("app", "In", vec!["db"], false),
            ("tier", "In", vec!["web"], false),
            ("app", "NotIn", vec!["web"], false),
            ("app", "NotIn", vec!["db"], true),
            ("tier", "NotIn", vec!["web"], true),
            ("app", "Exists", vec![], true),
            ("tier", "Exists", vec![], false),
            ("app", "DoesNotExist", vec![], false),
            ("tier", "DoesNotExist", vec![], true),
        ];
        for (key, operator, values, matches) in table {
            let selector = Selector::parse(&expression(key, operator, &values)).unwrap();
            assert_eq!(selector.matches(&labels), matches, "{key} {operator} {values:?}");
        }
        assert!(Selector::parse(&LabelSelector::default()).unwrap().matches(&labels));
    }

    #[test]
    fn a_selector_is_told_as_kubectl_takes_it() {
        let mut selector = expression("tier", "In", &["web", "db"]);
        for (key, operator, values) in [
            ("zone", "In", vec!["a"]),
            ("old", "DoesNotExist", vec![]),
            ("rack", "NotIn", vec!["r1"]),
            ("new", "Exists", vec![]),
        ] {
            let more = expression(key, operator, &values).match_expressions;
            selector
                .match_expressions
                .iter_mut()
                .for_each(|all| all.extend(more.clone().unwrap_or_default()));
        }
        let told = Selector::parse(&selector).unwrap().to_string();
        assert_eq!(told, "tier in (db,web),zone=a,!old,rack notin (r1),new");
    }

    #[test]
    fn a_selector_with_a_mistake_is_refused() {
        let table = [
            ("app", "Equals", vec!["a"], "operator \"Equals\""),
            ("app", "In", vec![], "without values"),
            ("app", "NotIn", vec![], "without values"),
            ("app", "Exists", vec!["a"], "with values"),
            ("app", "In", vec!["a", "a"], "twice"),
            ("", "Exists", vec![], "without a key"),
        ];
        for (key, operator, values, says) in table {
            let problems = Selector::parse(&expression(key, operator, &values)).unwrap_err();
            assert!(problems[0].contains(says), "{key} {operator} {values:?}: {problems:?}");
        }
    }
}
