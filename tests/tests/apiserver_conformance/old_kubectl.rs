//! What a kubectl before 1.24 reads of a server: OpenAPI v2, as protobuf.

use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};
use tests::openapi_v2::{Document, NamedAny, Schema};
use tests::session::Session;
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

/// What kubectl 1.20 asks with; later ones write a dot for the `@`.
const ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

async fn document(s: &Session) -> Document {
    let reply = s.get_as("/openapi/v2", ACCEPT).await;
    assert_eq!(reply.code, 200, "{}", reply.text);
    Document::decode(reply.bytes).expect("a document")
}

fn is_for(extensions: &[NamedAny], kind: &str) -> bool {
    let kinds = extensions.iter().filter(|it| it.name == tests::openapi_v2::KIND);
    kinds.filter_map(|it| it.value.as_ref()).any(|it| {
        let said: Value = serde_saphyr::from_str(&it.yaml).expect("YAML");
        let all = said.as_array().cloned().unwrap_or_else(|| vec![said]);
        all.iter().any(|one| one["kind"] == kind)
    })
}

#[tokio::test]
async fn case_63_an_old_kubectl_reads_which_kinds_take_a_dry_run() {
    let s = Session::start().await;
    let document = document(&s).await;
    let paths = document.paths.expect("paths").path;
    let operations: Vec<_> = paths.into_iter().filter_map(|path| path.value?.patch).collect();
    for kind in ["Service", "Node", "Namespace", "Deployment", "CustomResourceDefinition"] {
        let mut of_the_kind = operations.iter().filter(|it| is_for(&it.vendor_extension, kind)).peekable();
        assert!(of_the_kind.peek().is_some(), "{kind}");
        assert!(of_the_kind.all(|it| it.parameters().any(|name| name == "dryRun")), "{kind}");
    }
}

#[tokio::test]
async fn case_64_an_old_kubectl_reads_what_a_custom_kind_is_made_of() {
    let s = Session::start().await;
    let size = json!({"type": "integer", "description": "How much fits in."});
    let names = json!({"type": "array", "items": {"type": "string"}});
    let labels = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let spec = json!({
        "type": "object", "required": ["size"], "properties": {"size": size, "names": names, "labels": labels},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "lakes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "lakes", "kind": "Lake"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}],
        },
    });
    s.post(definitions, &definition).await.is(201);
    let deadline = Instant::now() + DEADLINE;
    let lake = loop {
        let document = document(&s).await;
        let all = document.definitions.expect("definitions").schema;
        let found = all.into_iter().filter_map(|it| it.value).find(|it| is_for(&it.vendor_extension, "Lake"));
        if let Some(found) = found {
            break found;
        }
        assert!(Instant::now() < deadline, "the new kind is described in time");
    };
    let property = |schema: &Schema, name: &str| {
        let all = schema.properties.clone().expect("properties").schema;
        all.into_iter()
            .find(|it| it.name == name)
            .and_then(|it| it.value)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    let spec = property(&lake, "spec");
    assert_eq!(spec.required, ["size"]);
    let size = property(&spec, "size");
    assert_eq!(size.description, "How much fits in.");
    assert_eq!(size.r#type.expect("a type").value, ["integer"]);
    assert_eq!(property(&spec, "names").items.expect("items").schema.len(), 1);
    assert!(property(&spec, "labels").additional_properties.is_some());
    s.delete(&format!("{definitions}/lakes.example.com")).await.is(200);
}
