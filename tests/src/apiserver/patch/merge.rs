//! JSON merge patches (RFC 7386).

use serde_json::Value;

use crate::apiserver::object::as_map;

pub(crate) fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    let map = as_map(target);
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            apply(map.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn null_deletes_and_lists_are_replaced() {
        let mut object = json!({"a": {"b": 1, "c": [1, 2]}});
        super::apply(&mut object, &json!({"a": {"b": null, "c": [3], "d": {"e": null}}}));
        assert_eq!(object, json!({"a": {"c": [3], "d": {}}}));
    }
}
