//! OpenAPI v2 as protobuf, as far as clients of Kubernetes read it. Numbers of fields are those of gnostic's
//! [`OpenAPIv2.proto`](https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto).

use prost::{Message, Oneof};
use serde_json::Value;

/// The extension that says which kinds an operation or a schema is for.
pub const KIND: &str = "x-kubernetes-group-version-kind";

/// The whole description of a server.
#[derive(Clone, PartialEq, Message)]
pub struct Document {
    #[prost(string, tag = "1")]
    pub swagger: String,
    #[prost(message, optional, tag = "2")]
    pub info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    pub paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    pub definitions: Option<Schemas>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Info {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Paths {
    #[prost(message, repeated, tag = "2")]
    pub path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedPathItem {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PathItem {
    #[prost(message, optional, tag = "8")]
    pub patch: Option<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    #[prost(message, repeated, tag = "8")]
    pub parameters: Vec<ParametersItem>,
    #[prost(message, repeated, tag = "13")]
    pub vendor_extension: Vec<NamedAny>,
}

// A parameter of the query is wrapped four times.
#[derive(Clone, PartialEq, Message)]
pub struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    pub parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    #[prost(message, optional, tag = "2")]
    pub non_body_parameter: Option<NonBodyParameter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NonBodyParameter {
    #[prost(message, optional, tag = "3")]
    pub query: Option<QueryParameter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct QueryParameter {
    #[prost(string, tag = "2")]
    pub r#in: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "6")]
    pub r#type: String,
}

/// Schemas by name: the definitions, and the properties of a schema.
#[derive(Clone, PartialEq, Message)]
pub struct Schemas {
    #[prost(message, repeated, tag = "1")]
    pub schema: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedSchema {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Schema {
    #[prost(string, tag = "2")]
    pub format: String,
    #[prost(string, tag = "4")]
    pub description: String,
    #[prost(string, repeated, tag = "19")]
    pub required: Vec<String>,
    #[prost(message, optional, boxed, tag = "21")]
    pub additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "22")]
    pub r#type: Option<Types>,
    #[prost(message, optional, tag = "23")]
    pub items: Option<Items>,
    #[prost(message, optional, tag = "25")]
    pub properties: Option<Schemas>,
    #[prost(message, repeated, tag = "31")]
    pub vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AdditionalProperties {
    #[prost(oneof = "Additional", tags = "1, 2")]
    pub which: Option<Additional>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Additional {
    #[prost(message, tag = "1")]
    Schema(Box<Schema>),
    #[prost(bool, tag = "2")]
    Any(bool),
}

#[derive(Clone, PartialEq, Message)]
pub struct Types {
    #[prost(string, repeated, tag = "1")]
    pub value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Items {
    #[prost(message, repeated, tag = "1")]
    pub schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedAny {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "2")]
    pub yaml: String,
}

impl Operation {
    /// An operation on objects of a kind, with these parameters in its query.
    #[must_use]
    pub fn on(kind: &Value, parameters: &[&str]) -> Self {
        let query = |name: &&str| QueryParameter {
            r#in: "query".to_owned(),
            name: (*name).to_owned(),
            r#type: "string".to_owned(),
        };
        let wrapped = |query| ParametersItem {
            parameter: Some(Parameter { non_body_parameter: Some(NonBodyParameter { query: Some(query) }) }),
        };
        Operation {
            parameters: parameters.iter().map(query).map(wrapped).collect(),
            vendor_extension: vec![NamedAny::kind(kind)],
        }
    }

    /// The names of the parameters in its query.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter_map(|item| {
            let query = item.parameter.as_ref()?.non_body_parameter.as_ref()?.query.as_ref()?;
            Some(query.name.as_str())
        })
    }
}

impl NamedAny {
    /// The extension [`KIND`]; JSON is YAML.
    #[must_use]
    pub fn kind(kind: &Value) -> Self {
        NamedAny { name: KIND.to_owned(), value: Some(Any { yaml: kind.to_string() }) }
    }
}

impl Schema {
    /// The same as a schema of OpenAPI v3, as far as a client reads it.
    #[must_use]
    pub fn of(schema: &Value) -> Self {
        let text = |name: &str| schema[name].as_str().unwrap_or_default().to_owned();
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let properties = schema["properties"].as_object().map(|properties| Schemas {
            schema: properties
                .iter()
                .map(|(name, property)| NamedSchema { name: name.clone(), value: Some(Schema::of(property)) })
                .collect(),
        });
        let additional = match &schema["additionalProperties"] {
            Value::Bool(any) => Some(Additional::Any(*any)),
            schema @ Value::Object(_) => Some(Additional::Schema(Box::new(Schema::of(schema)))),
            _ => None,
        };
        Schema {
            format: text("format"),
            description: text("description"),
            required: texts(&schema["required"]),
            additional_properties: additional
                .map(|which| Box::new(AdditionalProperties { which: Some(which) })),
            r#type: schema["type"].as_str().map(|one| Types { value: vec![one.to_owned()] }),
            items: schema.get("items").map(|items| Items { schema: vec![Schema::of(items)] }),
            properties,
            vendor_extension: schema.get(KIND).map(NamedAny::kind).into_iter().collect(),
        }
    }
}
