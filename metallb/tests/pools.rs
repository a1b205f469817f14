//! Pools over time.

use metallb::crd::IPAddressPoolSpec;
use metallb::pools::Pools;
use metallb::written::Written;
use serde_json::{Value, json};

fn pool(name: &str, created: i64, labels: Value, addresses: &str) -> Written<IPAddressPoolSpec> {
    let object =
        json!({ "metadata": { "name": name, "labels": labels }, "spec": { "addresses": [addresses] } });
    Written { created: Some(created), ..Written::from_json(&object) }
}

#[test]
fn a_pool_that_gets_other_labels_has_them_and_keeps_its_place_before_an_older_one_that_overlaps_it() {
    let (before, _) = Pools::parse(&[pool("lan", 2, json!({}), "192.0.2.0/24")]);
    let labelled = pool("lan", 2, json!({ "net": "office" }), "192.0.2.0/24");
    let (after, mistakes) = before.update(&[labelled, pool("older", 1, json!({}), "192.0.2.0/25")]);
    assert_eq!(after.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["lan"]);
    assert_eq!(after.get("lan").unwrap().labels["net"], "office");
    assert_eq!(mistakes.len(), 1);
}
