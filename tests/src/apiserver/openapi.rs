//! The OpenAPI documents: as much of them as kubectl needs for `apply`, `create`, `replace`, `diff` and `explain`.
//! Built-in kinds show their outline only; custom ones the schema of their definition. Of OpenAPI v2, which kubectl before
//! 1.24 reads alone, there is what it asks for: which kinds take a dry run, and what custom kinds are made of. Of built-in
//! ones it gets no schema, since by an outline it would merge lists in another way than the server does.

use hyper::body::Bytes;
use prost::Message;
use serde_json::{Map, Value, json};

use super::discovery::{GIT_VERSION, hash};
use super::kinds::{Resource, crd};
use super::object::{list_at, str_at};
use super::state::State;
use crate::openapi_v2::{
    Document, Info, NamedPathItem, NamedSchema, Operation, PathItem, Paths, Schema, Schemas,
};

/// The media type of OpenAPI v2 as protobuf.
pub(crate) const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What every operation takes in its query.
const PARAMETERS: [&str; 5] = ["dryRun", "fieldManager", "fieldValidation", "force", "pretty"];

/// Whether somebody wants protobuf; before Kubernetes 1.23 the name of it was written another way.
pub(crate) fn is_asked_for_protobuf(accept: &str) -> bool {
    accept.split(',').any(|range| range.trim().replace('@', ".") == PROTOBUF)
}

/// `/openapi/v2`, for those who ask for JSON: the frame.
pub(crate) fn v2() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": GIT_VERSION}, "paths": {}})
}

/// `/openapi/v2`, for those who ask for protobuf.
pub(crate) fn v2_in_protobuf(state: &State) -> Bytes {
    let (mut paths, mut definitions) = (Vec::new(), Vec::new());
    for resource in state.resources() {
        let kind = kind(resource);
        let patch = Some(Operation::on(&kind, &PARAMETERS));
        paths.push(NamedPathItem { name: path_of_one(resource), value: Some(PathItem { patch }) });
        if defined_schema(state, resource).is_some() {
            let value = Some(Schema::of(&schema(state, resource, kind)));
            definitions.push(NamedSchema { name: schema_name(resource), value });
        }
    }
    let info = Info { title: "Kubernetes".to_owned(), version: GIT_VERSION.to_owned() };
    let document = Document {
        swagger: "2.0".to_owned(),
        info: Some(info),
        paths: Some(Paths { path: paths }),
        definitions: Some(Schemas { schema: definitions }),
    };
    document.encode_to_vec().into()
}

/// `/openapi/v3`: where the document of each group version is.
pub(crate) fn index(state: &State) -> Value {
    let mut paths = Map::new();
    for resource in state.resources() {
        let path = document_path(&resource.group, &resource.version);
        // The definition of a custom kind may change under the same name.
        let version = state.store.get(crd::PLURAL, &resource.table).map_or(0, |stored| stored.version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(&[&path, &version.to_string()]));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The document behind `/openapi/v3/…`.
pub(crate) fn document(state: &State, path: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in state.resources().filter(|r| document_path(&r.group, &r.version) == path) {
        let kind = kind(resource);
        let name = schema_name(resource);
        let content =
            json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}});
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let parameters: Vec<Value> = PARAMETERS.map(parameter).into();
        let operation = |action: &str| {
            json!({
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
                "parameters": parameters, "responses": {"200": {"description": "OK", "content": content}},
            })
        };
        paths.insert(
            path_of_one(resource),
            json!({
                "get": operation("get"), "put": operation("put"), "patch": operation("patch"),
                "delete": operation("delete"),
            }),
        );
        paths.insert(path_of_all(resource), json!({"get": operation("list"), "post": operation("post")}));
        schemas.insert(name, schema(state, resource, kind.clone()));
    }
    let document = json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": paths, "components": {"schemas": schemas},
    });
    (!paths.is_empty()).then_some(document)
}

fn kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn path_of_all(resource: &Resource) -> String {
    let scope = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
    format!("/{}/{scope}{}", document_path(&resource.group, &resource.version), resource.plural)
}

fn path_of_one(resource: &Resource) -> String {
    format!("{}/{{name}}", path_of_all(resource))
}

fn schema_name(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    format!("{group}.{}.{}", resource.version, resource.kind)
}

fn schema(state: &State, resource: &Resource, kind: Value) -> Value {
    let mut schema = defined_schema(state, resource).unwrap_or_else(|| {
        json!({"type": "object", "properties": {"spec": {"type": "object"}, "status": {"type": "object"}}})
    });
    let text = |description: &str| json!({"type": "string", "description": description});
    schema["properties"]["apiVersion"] = text("The versioned schema of this representation of an object.");
    schema["properties"]["kind"] = text("The REST resource that this object represents.");
    schema["properties"]["metadata"] = json!({"type": "object", "description": "Standard object metadata."});
    schema["x-kubernetes-group-version-kind"] = json!([kind]);
    schema
}

/// The schema that the definition of a custom kind gives for this version.
fn defined_schema(state: &State, resource: &Resource) -> Option<Value> {
    let definition = state.store.get(crd::PLURAL, &resource.table)?;
    let versions = list_at(&definition.value, &["spec", "versions"]);
    let version = versions.iter().find(|v| str_at(v, &["name"]) == Some(&resource.version))?;
    Some(version["schema"]["openAPIV3Schema"].clone())
}
