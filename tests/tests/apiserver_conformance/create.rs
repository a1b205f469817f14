//! Create, and what is filled in.

use serde_json::{Value, json};

use crate::session::*;

#[tokio::test]
async fn case_01_a_new_balancer_gets_all_defaults() {
    let s = Session::start().await;
    let made = s.balancer("a", &json!({})).await;
    let spec = &made["spec"];
    let port = &spec["ports"][0];
    assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("TCP"), &json!(80)));
    assert!((30_000..=32_767).contains(&port["nodePort"].as_u64().expect("a node port")));
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    let defaults = json!({
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
        "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
        "allocateLoadBalancerNodePorts": true,
    });
    for (field, value) in defaults.as_object().expect("a map") {
        assert_eq!(&spec[field], value, "{field}");
    }
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    assert!(made["metadata"].get("generation").is_none());
}

#[tokio::test]
async fn case_02_local_traffic_gets_a_health_check_port_for_as_long_as_it_is_local() {
    let s = Session::start().await;
    let spec = json!({"externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"});
    let made = s.balancer("a", &spec).await;
    assert!(made["spec"]["healthCheckNodePort"].is_u64());
    assert_eq!(made["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    let patched =
        s.merge(&service_path("a"), &json!({"spec": {"externalTrafficPolicy": "Cluster"}})).await.is(200);
    assert!(patched["spec"].get("healthCheckNodePort").is_none());
}

#[tokio::test]
async fn case_03_node_ports_can_be_declined_and_are_shared_between_protocols() {
    let s = Session::start().await;
    let without = s.balancer("a", &json!({"allocateLoadBalancerNodePorts": false})).await;
    assert!(without["spec"]["ports"][0].get("nodePort").is_none());
    let dns = json!({"ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]});
    let ports = &s.balancer("b", &dns).await["spec"]["ports"];
    assert_eq!(ports[0]["nodePort"], ports[1]["nodePort"]);
}

#[tokio::test]
async fn case_04_a_new_object_has_neither_status_nor_version() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
    assert_eq!(s.post(&services(), &new).await.is(201)["status"], json!({"loadBalancer": {}}));
    let mut new = service("b", &json!({}));
    new["metadata"]["resourceVersion"] = "1".into();
    let refused = s.post(&services(), &new).await;
    refused.is(500);
    refused.says("resourceVersion should not be set");
}

#[tokio::test]
async fn case_05_a_name_is_taken_once() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let status = s.post(&services(), &service("a", &json!({}))).await.refuses(409, "AlreadyExists");
    assert_eq!(status["message"], "services \"a\" already exists");
    assert_eq!(status["details"], json!({"name": "a", "kind": "services"}));
}

#[tokio::test]
async fn case_06_a_namespace_must_exist_and_agree() {
    let s = Session::start().await;
    let new = service("a", &json!({}));
    let absent = s.post("/api/v1/namespaces/absent/services", &new).await;
    assert_eq!(absent.refuses(404, "NotFound")["message"], "namespaces \"absent\" not found");
    let mut elsewhere = new;
    elsewhere["metadata"]["namespace"] = "other".into();
    s.post(&services(), &elsewhere).await.refuses(400, "BadRequest");
}

#[tokio::test]
async fn case_07_a_name_is_made_up_on_request() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["metadata"] = json!({"generateName": "g-"});
    let made = s.post(&services(), &new).await.is(201);
    let name = made["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("g-") && name.len() == 7, "{name}");
}

#[tokio::test]
async fn case_08_all_mistakes_are_reported_at_once() {
    let s = Session::start().await;
    let ports = json!([{"port": 0}, {"port": 70_000, "protocol": "FOO", "name": "UP"}]);
    let reply = s.post(&services(), &service("a", &json!({"ports": ports, "sessionAffinity": "x"}))).await;
    for field in [
        "spec.ports[0].port",
        "spec.ports[0].name",
        "spec.ports[1].port",
        "spec.ports[1].protocol",
        "spec.sessionAffinity",
    ] {
        assert_eq!(reply.refuses_field(field)["details"]["kind"], "Service");
    }
}

#[tokio::test]
async fn case_09_a_node_port_must_be_free_and_in_range() {
    let s = Session::start().await;
    let port = s.balancer("a", &json!({})).await["spec"]["ports"][0]["nodePort"].clone();
    let asking = |port: Value| service("b", &json!({"ports": [{"port": 80, "nodePort": port}]}));
    let taken = s.post(&services(), &asking(port)).await;
    taken.refuses_field("spec.ports[0].nodePort");
    taken.says("already allocated");
    let outside = s.post(&services(), &asking(json!(80))).await;
    outside.refuses_field("spec.ports[0].nodePort");
    outside.says("30000-32767");
}

#[tokio::test]
async fn case_10_unknown_fields_are_warned_of_refused_or_ignored() {
    let s = Session::start().await;
    let warned = s.post(&services(), &service("a", &json!({"bogus": 1}))).await;
    warned.is(201);
    assert_eq!(warned.header("warning"), Some(r#"299 - "unknown field \"spec.bogus\"""#));
    let strict = format!("{}?fieldValidation=Strict", services());
    let refused = s.post(&strict, &service("b", &json!({"bogus": 1}))).await.refuses(400, "BadRequest");
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("strict decoding error: unknown field \"spec.bogus\""), "{message}");
    let ignore = format!("{}?fieldValidation=Ignore", services());
    assert_eq!(s.post(&ignore, &service("c", &json!({"bogus": 1}))).await.header("warning"), None);
}

#[tokio::test]
async fn case_11_class_and_source_ranges_are_for_balancers() {
    let s = Session::start().await;
    let post = async |spec: Value| s.post(&services(), &service("a", &spec)).await;
    post(json!({"type": "ClusterIP", "loadBalancerClass": "a/b"}))
        .await
        .refuses_field("spec.loadBalancerClass");
    post(json!({"type": "ClusterIP", "loadBalancerSourceRanges": ["10.0.0.0/8"]}))
        .await
        .refuses_field("spec.LoadBalancerSourceRanges");
    post(json!({"loadBalancerSourceRanges": ["1.2.3.4/33"]}))
        .await
        .refuses_field("spec.LoadBalancerSourceRanges[0]");
}

#[tokio::test]
async fn case_57_a_name_is_a_label_that_may_begin_with_a_digit() {
    let s = Session::start().await;
    if !s.is_at_least(37).await {
        eprintln!("passed over: older servers wanted a letter first");
        return;
    }
    let longest = "1".repeat(63);
    for name in ["1a", "9", longest.as_str()] {
        s.balancer(name, &json!({})).await;
    }
    for name in ["-a", "a-", "a.b", "A", "1".repeat(64).as_str()] {
        s.post(&services(), &service(name, &json!({}))).await.refuses_field("metadata.name");
    }
}
