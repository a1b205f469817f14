//! Kubernetes' own objects, for tests of what is made of them.

use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::{Value, json};

/// The Service `ns/web` of type `LoadBalancer` as the API server would store it: TCP port 80 on node port 30080, one
/// IPv4 cluster IP. The fields of `spec` take the place of these.
///
/// # Panics
/// If it is no Service then.
pub fn service_object(spec: Value) -> Service {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "ns", "uid": "u1" },
        "spec": {
            "type": "LoadBalancer",
            "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP", "targetPort": 8080 }],
            "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"], "externalTrafficPolicy": "Cluster",
        },
    });
    put(&mut object["spec"], spec);
    serde_json::from_value(object).expect("a Service")
}

/// A Node with nothing but a name, and in `metadata`, `spec` and `status` what `changes` says.
///
/// # Panics
/// If it is no Node then.
pub fn node_object(name: &str, mut changes: Value) -> Node {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": {}, "status": {},
    });
    for part in ["metadata", "spec", "status"] {
        put(&mut object[part], changes[part].take());
    }
    serde_json::from_value(object).expect("a Node")
}

fn put(into: &mut Value, fields: Value) {
    if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
        into.extend(fields);
    }
}
