//! The definitions of the resources are MetalLB's own.

mod metallbs;

use metallb::crd;
use serde_json::{Map, Value, json};

/// What a schema allows; what is only words is left out, and so is that lists are atomic, which they are unless something
/// else is said. Of a number MetalLB may leave the size open.
fn shape(schema: &Value, sized: bool) -> Value {
    let mut shape = Map::new();
    for key in [
        "type",
        "default",
        "required",
        "enum",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "format",
    ] {
        if let Some(value) = schema.get(key).filter(|_| sized || key != "format") {
            // 1 and 1.0 are one number.
            let value = value.as_f64().map_or(value.clone(), |number| json!(number));
            shape.insert(key.into(), value);
        }
    }
    let keys = "x-kubernetes-list-map-keys";
    shape.extend(schema.get(keys).map(|value| (keys.into(), value.clone())));
    if let Some(rules) = schema.get("x-kubernetes-validations").and_then(Value::as_array) {
        let rules = rules.iter().map(|rule| json!(rule["rule"].as_str().map(str::trim)));
        shape.insert("rules".into(), rules.collect());
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let fields = properties.iter().map(|(name, schema)| (name.clone(), self::shape(schema, sized)));
        shape.insert("properties".into(), Value::Object(fields.collect()));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(key) {
            shape.insert(key.into(), self::shape(schema, sized));
        }
    }
    Value::Object(shape)
}

/// Fields that the API server adds to every kind.
fn without_what_every_kind_has(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.retain(|name, _| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    }
    schema
}

fn columns(version: &Value) -> Vec<Value> {
    let columns = version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
    columns.iter().map(|c| json!([c["name"], c["jsonPath"], c["type"], c["priority"]])).collect()
}

#[test]
fn there_is_one_definition_for_each_kind() {
    let manifest = crd::manifest().unwrap();
    let documents: Vec<Value> =
        manifest.split("---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let names: Vec<&str> = documents.iter().map(|it| it["metadata"]["name"].as_str().unwrap()).collect();
    let kinds = [
        "bfdprofiles",
        "bgpadvertisements",
        "bgppeers",
        "communities",
        "configurationstates",
        "ipaddresspools",
        "l2advertisements",
        "servicebgpstatuses",
        "servicel2statuses",
    ];
    assert_eq!(names, kinds.map(|kind| format!("{kind}.metallb.io")));
}

#[test]
fn a_spec_is_required_where_a_kind_means_nothing_without_one() {
    for definition in crd::definitions() {
        let root = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let required = root.required.clone().unwrap_or_default();
        let expected: &[&str] = if definition.spec.names.kind == "IPAddressPool" { &["spec"] } else { &[] };
        assert_eq!(required, expected, "{}", definition.spec.names.kind);
    }
}

#[test]
fn each_definition_is_metallbs_field_by_field() {
    for definition in crd::definitions() {
        let ours = serde_json::to_value(definition).unwrap();
        let plural = ours["spec"]["names"]["plural"].as_str().unwrap();
        let Some(path) = metallbs::file(&format!("crds/metallb.io_{plural}.yaml")) else { return };
        let theirs: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for field in ["group", "scope"] {
            assert_eq!(ours["spec"][field], theirs["spec"][field], "{plural}: {field}");
        }
        for name in ["kind", "plural", "singular"] {
            assert_eq!(ours["spec"]["names"][name], theirs["spec"]["names"][name], "{plural}");
        }
        let our_version = &ours["spec"]["versions"][0];
        // Of BGPPeer they serve an older version, too.
        let mut versions = theirs["spec"]["versions"].as_array().unwrap().iter();
        let their_version = versions.find(|version| version["storage"] == true).unwrap();
        for field in ["name", "served", "storage", "subresources"] {
            assert_eq!(our_version[field], their_version[field], "{plural}: {field}");
        }
        assert_eq!(columns(our_version), columns(their_version), "{plural}");
        let schema = |version: &Value, sized| {
            shape(&without_what_every_kind_has(&version["schema"]["openAPIV3Schema"]), sized)
        };
        let sized = plural != "bgppeers" && plural != "ipaddresspools";
        assert_eq!(schema(our_version, sized), schema(their_version, sized), "{plural}");
    }
}
