//! Strategic merge patches: merge patches that know how the items of a list are told apart.

use serde_json::{Map, Value};

use crate::apiserver::lists::ListRule;
use crate::apiserver::object::as_map;
use crate::apiserver::status::{ApiError, Result};

const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";

type Rules<'a> = &'a dyn Fn(&[&str]) -> ListRule;

/// Applies the patch; `rules` tells for each path how a list merges.
pub(crate) fn apply(target: &mut Value, patch: &Value, rules: Rules<'_>) -> Result<()> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("error decoding patch: a strategic merge patch is an object"));
    };
    merge_map(as_map(target), patch, &mut Vec::new(), rules)
}

fn merge_map<'p>(
    target: &mut Map<String, Value>,
    patch: &'p Map<String, Value>,
    path: &mut Vec<&'p str>,
    rules: Rules<'_>,
) -> Result<()> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            target.clear();
            target.extend(patch.iter().filter(|(k, _)| *k != DIRECTIVE).map(|(k, v)| (k.clone(), v.clone())));
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type found: {other}"))),
    }
    if let Some(Value::Array(kept)) = patch.get(RETAIN) {
        target.retain(|key, _| kept.iter().any(|k| k == key));
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        path.push(key);
        merge_field(target, key, value, patch, path, rules)?;
        path.pop();
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(Value::Array(items)) = target.get_mut(field) {
                items.retain(|item| !gone.contains(item));
            }
        }
        if let Some(field) = key.strip_prefix(ORDER).filter(|field| !patch.contains_key(*field)) {
            path.push(field);
            let rule = rules(path);
            path.pop();
            if let Some(Value::Array(items)) = target.get_mut(field) {
                let order = value.as_array().map_or(&[][..], Vec::as_slice);
                let server = items.clone();
                *items = reorder(std::mem::take(items), order, &server, &rule);
            }
        }
    }
    Ok(())
}

fn merge_field<'p>(
    target: &mut Map<String, Value>,
    key: &'p str,
    value: &'p Value,
    patch: &'p Map<String, Value>,
    path: &mut Vec<&'p str>,
    rules: Rules<'_>,
) -> Result<()> {
    match value {
        Value::Null => drop(target.remove(key)),
        Value::Object(inner) => {
            merge_map(as_map(target.entry(key).or_insert(Value::Null)), inner, path, rules)?;
            if inner.get(DIRECTIVE).is_some_and(|d| d == "delete") {
                target.remove(key);
            }
        }
        Value::Array(items) => {
            let rule = rules(path);
            if !matches!(rule, ListRule::Set | ListRule::Map(_)) {
                target.insert(key.to_owned(), value.clone());
                return Ok(());
            }
            let before = target.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            let merged = merge_list(before.clone(), items, &rule, path, rules)?;
            let order = patch.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
            let order = order.map_or(items.as_slice(), Vec::as_slice);
            let merged = reorder(merged, order, &before, &rule);
            target.insert(key.to_owned(), merged.into());
        }
        scalar => drop(target.insert(key.to_owned(), scalar.clone())),
    }
    Ok(())
}

fn merge_list<'p>(
    mut target: Vec<Value>,
    patch: &'p [Value],
    rule: &ListRule,
    path: &mut Vec<&'p str>,
    rules: Rules<'_>,
) -> Result<Vec<Value>> {
    let directive = |item: &Value, wanted: &str| item.get(DIRECTIVE).is_some_and(|d| d == wanted);
    if patch.iter().any(|item| directive(item, "replace")) {
        return Ok(patch.iter().filter(|item| !directive(item, "replace")).cloned().collect());
    }
    for item in patch {
        let same = |other: &Value| identity(other, rule) == identity(item, rule);
        if directive(item, "delete") {
            target.retain(|other| !same(other));
            continue;
        }
        if let ListRule::Map(keys) = rule
            && identity(item, rule).is_null()
        {
            let key = keys.first().map_or("", |k| k.name.as_str());
            return Err(ApiError::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        }
        match (target.iter_mut().find(|other| same(other)), item) {
            (Some(Value::Object(existing)), Value::Object(item)) => {
                path.push("_");
                merge_map(existing, item, path, rules)?;
                path.pop();
            }
            (Some(_), _) => {}
            (None, Value::Object(fields)) => {
                let mut new = Map::new();
                path.push("_");
                merge_map(&mut new, fields, path, rules)?;
                path.pop();
                target.push(new.into());
            }
            (None, scalar) => target.push(scalar.clone()),
        }
    }
    Ok(target)
}

/// What tells the item apart: its first key, or itself.
fn identity<'a>(item: &'a Value, rule: &ListRule) -> &'a Value {
    match (rule, item) {
        (ListRule::Map(keys), Value::Object(_)) => keys.first().map_or(item, |key| &item[&key.name]),
        _ => item,
    }
}

/// The items that the client names come in its order, the others keep theirs; new ones come first.
fn reorder(items: Vec<Value>, order: &[Value], server: &[Value], rule: &ListRule) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| {
        list.iter().position(|other| identity(other, rule) == identity(item, rule))
    };
    let (mut named, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut all = Vec::new();
    while let (Some(left), Some(right)) = (named.peek(), others.peek()) {
        let later = matches!((place(server, left), place(server, right)), (Some(l), Some(r)) if l > r);
        all.extend(if later { others.next() } else { named.next() });
    }
    all.extend(named);
    all.extend(others);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::lists::service_rule;

    fn patched(mut object: Value, patch: Value) -> Value {
        apply(&mut object, &patch, &|path| service_rule(path)).expect("the patch applies");
        object
    }

    #[test]
    fn ports_merge_by_number() {
        let object = json!({"spec": {"ports": [{"port": 80, "nodePort": 30000}]}});
        let patch = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 90, "name": "b"}]}});
        let ports = json!([{"port": 80, "nodePort": 30000, "name": "a"}, {"port": 90, "name": "b"}]);
        assert_eq!(patched(object, patch)["spec"]["ports"], ports);
    }

    #[test]
    fn an_item_is_deleted_by_its_key() {
        let object = json!({"spec": {"ports": [{"port": 80}, {"port": 90}]}});
        let patch = json!({"spec": {"ports": [{"port": 90, "$patch": "delete"}], "$setElementOrder/ports": [{"port": 80}]}});
        assert_eq!(patched(object, patch)["spec"]["ports"], json!([{"port": 80}]));
    }

    #[test]
    fn finalizers_are_a_set() {
        let object = json!({"metadata": {"finalizers": ["a"]}});
        let more = patched(object, json!({"metadata": {"finalizers": ["b", "a"]}}));
        assert_eq!(more["metadata"]["finalizers"], json!(["b", "a"]));
        let less = patched(more, json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}));
        assert_eq!(less["metadata"]["finalizers"], json!(["b"]));
    }

    #[test]
    fn plain_lists_are_replaced_and_null_deletes() {
        let object = json!({"spec": {"externalIPs": ["1.1.1.1"], "type": "NodePort"}});
        let spec = json!({"externalIPs": ["2.2.2.2"]});
        assert_eq!(
            patched(object, json!({"spec": {"externalIPs": ["2.2.2.2"], "type": null}}))["spec"],
            spec
        );
    }
}
