//! Sets of fields: who set what, in the form in which `managedFields` carries it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::apiserver::lists::ListRule;

pub(crate) type Rules<'a> = &'a dyn Fn(&[&str]) -> ListRule;

/// A tree of path elements: `f:name`, `k:{"port":80}`, `v:"a"`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSet {
    /// The field itself is in the set, not only some inside of it.
    member: bool,
    children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// All fields of a value.
    pub(crate) fn of(value: &Value, rules: Rules<'_>) -> Self {
        let mut set = Self::of_value(value, &mut Vec::new(), rules);
        set.member = false;
        set
    }

    fn of_value(value: &Value, path: &mut Vec<String>, rules: Rules<'_>) -> Self {
        match (value, rule_at(path, rules)) {
            (Value::Object(map), rule) if rule != ListRule::Atomic && !map.is_empty() => {
                let mut set = Self::default();
                for (key, value) in map {
                    path.push(key.clone());
                    set.children.insert(format!("f:{key}"), Self::of_value(value, path, rules));
                    path.pop();
                }
                set
            }
            (Value::Array(items), rule @ (ListRule::Set | ListRule::Map(_))) => {
                let mut set = Self::default();
                path.push("_".to_owned());
                for item in items {
                    let mut inner = match rule {
                        ListRule::Map(_) => Self::of_value(item, path, rules),
                        _ => Self::default(),
                    };
                    inner.member = true;
                    set.children.insert(element(item, &rule), inner);
                }
                path.pop();
                set
            }
            _ => Self::leaf(),
        }
    }

    /// The same with everything that holds some of them.
    fn with_holders(mut self) -> Self {
        self.member = true;
        self.children = self.children.into_iter().map(|(key, set)| (key, set.with_holders())).collect();
        self
    }

    /// The fields in which `new` differs from `old`: those it has otherwise or anew, and those it lacks.
    pub(crate) fn changes(old: &Value, new: &Value, rules: Rules<'_>) -> (Self, Self) {
        let found = Comparison { rules, path: Vec::new() }.compare(old, new);
        (found.set, found.removed)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (key, set) in &other.children {
            self.children.entry(key.clone()).or_default().union(set);
        }
    }

    /// Takes out the fields of `other`.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (key, set) in &other.children {
            if let Some(mine) = self.children.get_mut(key) {
                mine.subtract(set);
            }
        }
        self.children.retain(|_, set| !set.is_empty());
    }

    /// Takes out the fields of `other`, and those that hold some of them: who has a port has the list of ports.
    pub(crate) fn subtract_with_holders(&mut self, other: &Self) {
        self.member &= other.is_empty();
        for (key, set) in &other.children {
            if let Some(mine) = self.children.get_mut(key) {
                mine.subtract_with_holders(set);
            }
        }
        self.children.retain(|_, set| !set.is_empty());
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let both = self.children.iter().filter_map(|(key, set)| {
            let shared = set.intersection(other.children.get(key)?);
            (!shared.is_empty()).then(|| (key.clone(), shared))
        });
        Self { member: self.member && other.member, children: both.collect() }
    }

    /// Takes out everything below a path.
    pub(crate) fn remove_below(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.children.remove(*last)),
            [first, rest @ ..] => {
                if let Some(inner) = self.children.get_mut(*first) {
                    inner.remove_below(rest);
                }
            }
        }
        self.children.retain(|_, set| !set.is_empty());
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let inner = map.iter().filter(|(key, _)| *key != ".");
        let children: BTreeMap<_, _> =
            inner.map(|(key, value)| (key.clone(), Self::from_json(value))).collect();
        Self { member: children.is_empty() || map.contains_key("."), children }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".into(), Map::new().into());
        }
        map.extend(self.children.iter().map(|(key, set)| (key.clone(), set.to_json())));
        map.into()
    }

    /// The paths in the set as an error message shows them: `.spec.ports[port=80].name`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect("", &mut all);
        all
    }

    fn collect(&self, path: &str, all: &mut Vec<String>) {
        if self.member && !path.is_empty() {
            all.push(path.to_owned());
        }
        for (key, set) in &self.children {
            let shown = match key.split_at(2) {
                ("f:", name) => format!("{path}.{name}"),
                ("k:", keys) => {
                    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                    let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    format!("{path}[{}]", pairs.join(","))
                }
                (_, value) => format!("{path}[={value}]"),
            };
            set.collect(&shown, all);
        }
    }

    /// Takes the fields of the set out of a value.
    pub(crate) fn remove_from(&self, value: &mut Value, rules: Rules<'_>) {
        self.remove_at(value, &mut Vec::new(), rules);
    }

    fn remove_at(&self, value: &mut Value, path: &mut Vec<String>, rules: Rules<'_>) {
        let rule = rule_at(path, rules);
        match value {
            Value::Object(map) => {
                for (key, set) in &self.children {
                    let Some(name) = key.strip_prefix("f:") else { continue };
                    if set.member {
                        map.remove(name);
                    } else if let Some(inner) = map.get_mut(name) {
                        path.push(name.to_owned());
                        set.remove_at(inner, path, rules);
                        path.pop();
                    }
                }
            }
            Value::Array(items) => {
                path.push("_".to_owned());
                items.retain_mut(|item| match self.children.get(&element(item, &rule)) {
                    Some(set) if set.member => false,
                    Some(set) => {
                        set.remove_at(item, path, rules);
                        true
                    }
                    None => true,
                });
                path.pop();
            }
            _ => {}
        }
    }
}

pub(crate) fn rule_at(path: &[String], rules: Rules<'_>) -> ListRule {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    rules(&path)
}

/// The path element of an item of a list.
pub(crate) fn element(item: &Value, rule: &ListRule) -> String {
    match rule {
        ListRule::Map(keys) => {
            let pairs: Map<String, Value> = keys
                .iter()
                .filter_map(|key| {
                    let value = item.get(&key.name).cloned().or_else(|| key.default.clone())?;
                    Some((key.name.clone(), value))
                })
                .collect();
            format!("k:{}", Value::Object(pairs))
        }
        _ => format!("v:{item}"),
    }
}

/// One side-by-side walk of two values.
struct Comparison<'a> {
    rules: Rules<'a>,
    path: Vec<String>,
}

/// What a walk finds: fields set otherwise or anew, and fields gone.
#[derive(Default)]
struct Difference {
    set: FieldSet,
    removed: FieldSet,
}

impl Comparison<'_> {
    fn compare(&mut self, old: &Value, new: &Value) -> Difference {
        let mut found = Difference::default();
        if old == new {
            return found;
        }
        match (old, new, rule_at(&self.path, self.rules)) {
            (Value::Object(before), Value::Object(after), rule) if rule != ListRule::Atomic => {
                let gone = before.iter().map(|(key, value)| (key, Some(value), after.get(key)));
                let fresh = after.iter().filter(|(key, _)| !before.contains_key(*key));
                for (key, old, new) in gone.chain(fresh.map(|(key, value)| (key, None, Some(value)))) {
                    self.step(key, format!("f:{key}"), old, new, &mut found);
                }
            }
            (Value::Array(before), Value::Array(after), rule @ (ListRule::Set | ListRule::Map(_))) => {
                let find = |list: &[Value], wanted: &str| {
                    list.iter().position(|item| element(item, &rule) == wanted)
                };
                for item in before {
                    let key = element(item, &rule);
                    let other = find(after, &key).map(|i| &after[i]);
                    self.step("_", key, Some(item), other, &mut found);
                }
                for item in after {
                    let key = element(item, &rule);
                    if find(before, &key).is_none() {
                        self.step("_", key, None, Some(item), &mut found);
                    }
                }
            }
            _ => found.set.member = true,
        }
        found
    }

    fn step(
        &mut self,
        name: &str,
        key: String,
        old: Option<&Value>,
        new: Option<&Value>,
        found: &mut Difference,
    ) {
        self.path.push(name.to_owned());
        let mut inner = Difference::default();
        match (old, new) {
            (None, Some(new)) => {
                inner.set = FieldSet::of_value(new, &mut self.path, self.rules).with_holders();
                // What is new is there as a whole, too; only the parts of an object always are.
                inner.set.member &= self.path.len() > 1 || inner.set.children.is_empty();
            }
            (Some(old), None) => {
                inner.removed = FieldSet::of_value(old, &mut self.path, self.rules).with_holders();
            }
            (Some(old), Some(new)) => inner = self.compare(old, new),
            (None, None) => {}
        }
        self.path.pop();
        if !inner.set.is_empty() {
            found.set.children.insert(key.clone(), inner.set);
        }
        if !inner.removed.is_empty() {
            found.removed.children.insert(key, inner.removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::lists::service_rule;

    #[test]
    fn a_set_survives_its_written_form() {
        let value =
            json!({"metadata": {"finalizers": ["a"]}, "spec": {"ports": [{"port": 80, "name": "x"}]}});
        let set = FieldSet::of(&value, &|path| service_rule(path));
        assert_eq!(FieldSet::from_json(&set.to_json()), set);
        let ports = &set.to_json()["f:spec"]["f:ports"];
        assert!(ports.get(r#"k:{"port":80,"protocol":"TCP"}"#).is_some(), "{ports}");
    }

    #[test]
    fn changes_are_told_from_removals() {
        let old = json!({"a": 1, "b": {"c": 1, "d": 1}});
        let new = json!({"a": 2, "b": {"d": 1, "e": 1}});
        let (set, removed) = FieldSet::changes(&old, &new, &|path| service_rule(path));
        assert_eq!(set.paths(), [".a", ".b.e"]);
        assert_eq!(removed.paths(), [".b.c"]);
    }

    #[test]
    fn removing_a_set_from_a_value_leaves_the_rest() {
        let mut value =
            json!({"spec": {"ports": [{"port": 80, "name": "x"}, {"port": 90}], "type": "NodePort"}});
        let gone = json!({"f:spec": {"f:type": {}, "f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:port": {}}}}});
        FieldSet::from_json(&gone).remove_from(&mut value, &|path| service_rule(path));
        assert_eq!(value, json!({"spec": {"ports": [{"port": 90}]}}));
    }
}
