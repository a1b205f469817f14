//! The kustomization gives the same objects as the chart.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

use super::render::{ANNOUNCED, AWS, BARE, chart, overlay, title};

/// What Helm says about itself.
const HELMS_OWN: [&str; 3] = ["helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy"];

/// The objects by kind and name, without what must differ.
fn alike(objects: &[DynamicObject]) -> BTreeMap<String, Value> {
    let config =
        objects.iter().map(title).find_map(|title| title.strip_prefix("ConfigMap ").map(str::to_owned));
    let config = config.expect("a ConfigMap");
    let mut alike = BTreeMap::new();
    for object in objects {
        let text = serde_json::to_string(object).expect("JSON");
        // Behind the name stands a hash of the content, of which each has its own.
        let text = text.replace(&format!("{config:?}"), "\"cloud-lb-controller-config\"");
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        without(&mut value, &HELMS_OWN);
        if value["kind"] == "ConfigMap" {
            // Comments and the order of keys mean nothing.
            let file = value["data"]["config.yaml"].as_str().expect("a file");
            value["data"] = serde_saphyr::from_str(file).expect("YAML");
        }
        alike.insert(title(object).replace(&config, "cloud-lb-controller-config"), value);
    }
    alike
}

/// Takes keys out wherever they are, and maps that are empty afterwards.
fn without(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|key, inner| {
                let was_empty = inner.as_object().is_some_and(serde_json::Map::is_empty);
                without(inner, keys);
                let is_empty = inner.as_object().is_some_and(serde_json::Map::is_empty);
                !keys.contains(&key.as_str()) && (was_empty || !is_empty)
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, keys)),
        _ => {}
    }
}

#[track_caller]
fn are_the_same(overlay: &[DynamicObject], chart: &[DynamicObject]) {
    let (mut overlay, chart) = (alike(overlay), alike(chart));
    // Helm makes it from the command line (--create-namespace).
    assert!(overlay.remove("Namespace cloud-lb-controller").is_some());
    assert_eq!(overlay.keys().collect::<Vec<_>>(), chart.keys().collect::<Vec<_>>());
    for (title, object) in &overlay {
        assert_eq!(object, &chart[title], "kustomize (left) and the chart (right) differ in {title}");
    }
}

#[test]
fn on_bare_metal() {
    // Definitions are a kustomization of their own: the chart asks the cluster which are there, kustomize cannot.
    are_the_same(&overlay("bare"), &chart(&[BARE, &["bare.installDefinitions=false"]].concat()));
}

#[test]
fn on_bare_metal_with_announcers() {
    are_the_same(
        &overlay("bare-announced"),
        &chart(&[ANNOUNCED, &["bare.installDefinitions=false"]].concat()),
    );
}

#[test]
fn on_aws() {
    let role = "aws.roleArn=arn:aws:iam::111122223333:role/cloud-lb-controller";
    are_the_same(&overlay("aws"), &chart(&[AWS, &[role]].concat()));
}
