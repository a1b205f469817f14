//! Bodies in Kubernetes' protobuf, of the kinds that clients send so: Secrets, in which Helm keeps its releases, the options
//! of a deletion, and what `kubectl create` and `kubectl auth` make by themselves. Numbers of fields are those of
//! `generated.proto` in Kubernetes' API packages.

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What every such body starts with; an `Unknown` follows, with the object inside.
const MAGIC: &[u8] = b"k8s\0";

/// The same as it would be in JSON; none for other kinds, and for what is no message.
pub(crate) fn parse(body: &[u8]) -> Option<Value> {
    let unknown = fields(body.strip_prefix(MAGIC)?)?;
    let types = fields(bytes(&unknown, 1)?)?;
    let mut object = match text(&types, 2)?.as_str() {
        "Secret" => secret(bytes(&unknown, 2)?)?,
        "DeleteOptions" => delete_options(bytes(&unknown, 2)?)?,
        "Namespace" => namespace(bytes(&unknown, 2)?)?,
        "Service" => service(bytes(&unknown, 2)?)?,
        "SelfSubjectAccessReview" => access_review(bytes(&unknown, 2)?)?,
        _ => return None,
    };
    object.insert("apiVersion".into(), text(&types, 1)?.into());
    object.insert("kind".into(), text(&types, 2)?.into());
    Some(object.into())
}

fn secret(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    let mut secret = Map::new();
    secret.insert("metadata".into(), metadata(bytes(&message, 1)?)?.into());
    let data = entries(&message, 2)?.into_iter().map(|(key, value)| (key, json!(ByteString(value.to_vec()))));
    secret.insert("data".into(), data.collect::<Map<_, _>>().into());
    insert_text(&mut secret, "type", &message, 3);
    Some(secret)
}

fn metadata(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    let mut metadata = Map::new();
    for (number, name) in
        [(1, "name"), (2, "generateName"), (3, "namespace"), (5, "uid"), (6, "resourceVersion")]
    {
        insert_text(&mut metadata, name, &message, number);
    }
    for (number, name) in [(11, "labels"), (12, "annotations")] {
        let pairs = entries(&message, number)?.into_iter();
        let pairs = pairs.map(|(key, value)| Some((key, String::from_utf8(value.to_vec()).ok()?.into())));
        let pairs: Map<String, Value> = pairs.collect::<Option<_>>()?;
        if !pairs.is_empty() {
            metadata.insert(name.into(), pairs.into());
        }
    }
    Some(metadata)
}

fn delete_options(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    let mut options = Map::new();
    insert_text(&mut options, "propagationPolicy", &message, 4);
    let dry_run = message.iter().filter(|field| field.number == 5);
    let dry_run: Vec<_> = dry_run.map(|field| String::from_utf8_lossy(field.bytes)).collect();
    if !dry_run.is_empty() {
        options.insert("dryRun".into(), json!(dry_run));
    }
    Some(options)
}

fn namespace(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    Some(Map::from_iter([("metadata".to_owned(), metadata(bytes(&message, 1)?)?.into())]))
}

/// What `kubectl create service` sets.
fn service(message: &[u8]) -> Option<Map<String, Value>> {
    let mut service = namespace(message)?;
    let message = fields(message)?;
    let message = fields(bytes(&message, 2)?)?;
    let mut spec = Map::new();
    let ports = message.iter().filter(|field| field.number == 1);
    let ports: Option<Vec<Value>> = ports.map(|field| port(field.bytes).map(Value::from)).collect();
    spec.insert("ports".into(), ports?.into());
    let selector = entries(&message, 2)?.into_iter();
    let selector = selector.map(|(key, value)| Some((key, String::from_utf8(value.to_vec()).ok()?.into())));
    spec.insert("selector".into(), selector.collect::<Option<Map<String, Value>>>()?.into());
    for (number, name) in [(3, "clusterIP"), (4, "type"), (10, "externalName")] {
        insert_text(&mut spec, name, &message, number);
    }
    service.insert("spec".into(), spec.into());
    Some(service)
}

fn port(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    let mut port = Map::new();
    insert_text(&mut port, "name", &message, 1);
    insert_text(&mut port, "protocol", &message, 2);
    for (number, name) in [(3, "port"), (5, "nodePort")] {
        if let Some(value) = value(&message, number).filter(|value| *value > 0) {
            port.insert(name.into(), value.into());
        }
    }
    if let Some(target) = bytes(&message, 4) {
        let target = fields(target)?;
        // Type 0 is a number, 1 a name.
        let target_port = match value(&target, 1) {
            Some(1) => text(&target, 3)?.into(),
            _ => value(&target, 2).unwrap_or_default().into(),
        };
        port.insert("targetPort".into(), target_port);
    }
    Some(port)
}

fn access_review(message: &[u8]) -> Option<Map<String, Value>> {
    let message = fields(message)?;
    let message = fields(bytes(&message, 2)?)?;
    let mut spec = Map::new();
    if let Some(attributes) = bytes(&message, 1) {
        let attributes = fields(attributes)?;
        let names = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
        let mut of_a_resource = Map::new();
        for (number, name) in (1..).zip(names) {
            insert_text(&mut of_a_resource, name, &attributes, number);
        }
        spec.insert("resourceAttributes".into(), of_a_resource.into());
    }
    Some(Map::from_iter([("spec".to_owned(), spec.into())]))
}

/// A field of a message: of a number its value, of all else its bytes.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

fn fields(mut message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let mut value = 0;
        let length = match key & 7 {
            0 => {
                value = varint(&mut message)?;
                0
            }
            1 => {
                message = message.get(8..)?;
                0
            }
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => {
                message = message.get(4..)?;
                0
            }
            _ => return None,
        };
        let (bytes, rest) = message.split_at_checked(length)?;
        fields.push(Field { number: key >> 3, value, bytes });
        message = rest;
    }
    Some(fields)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn bytes<'a>(message: &[Field<'a>], number: u64) -> Option<&'a [u8]> {
    message.iter().find(|field| field.number == number).map(|field| field.bytes)
}

fn value(message: &[Field<'_>], number: u64) -> Option<u64> {
    message.iter().find(|field| field.number == number).map(|field| field.value)
}

fn text(message: &[Field<'_>], number: u64) -> Option<String> {
    String::from_utf8(bytes(message, number)?.to_vec()).ok()
}

/// The entries of a map: each is a message of a key and a value.
fn entries<'a>(message: &[Field<'a>], number: u64) -> Option<Vec<(String, &'a [u8])>> {
    let entries = message.iter().filter(|field| field.number == number);
    let entries = entries.map(|entry| {
        let entry = fields(entry.bytes)?;
        Some((text(&entry, 1)?, bytes(&entry, 2).unwrap_or_default()))
    });
    entries.collect()
}

fn insert_text(map: &mut Map<String, Value>, name: &str, message: &[Field<'_>], number: u64) {
    if let Some(text) = text(message, number).filter(|text| !text.is_empty()) {
        map.insert(name.into(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes in it.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
        field.extend(bytes);
        field
    }

    fn body(kind: &[u8], object: &[u8]) -> Vec<u8> {
        let types = [field(1, b"v1"), field(2, kind)].concat();
        [MAGIC.to_vec(), field(1, &types), field(2, object), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_secret_is_the_same_as_in_json() {
        let label = [field(1, b"owner"), field(2, b"helm")].concat();
        // A generation, which is a number, between.
        let metadata = [field(1, b"web"), vec![7 << 3, 0x96, 0x01], field(11, &label)].concat();
        let data = [field(1, b"release"), field(2, b"abc")].concat();
        let secret = [field(1, &metadata), field(2, &data), field(3, b"helm.sh/release.v1")].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": { "release": "YWJj" },
            "metadata": { "name": "web", "labels": { "owner": "helm" } },
        });
        assert_eq!(parse(&body(b"Secret", &secret)), Some(expected));
    }

    #[test]
    fn options_of_a_deletion_are_read() {
        let expected =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
        assert_eq!(parse(&body(b"DeleteOptions", &field(4, b"Background"))), Some(expected));
    }

    #[test]
    fn what_is_neither_is_not_read() {
        assert_eq!(parse(&body(b"Pod", &[])), None);
        assert_eq!(parse(b"{}"), None);
        let cut = body(b"Secret", &field(1, b"web"));
        assert_eq!(parse(&cut[..cut.len() - 6]), None);
    }
}
