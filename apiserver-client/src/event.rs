//! Events, as the core API has them and `kubectl describe` shows them.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::EventType;

/// The longest message, in bytes, that the API server takes (`NoteLengthLimit` in `pkg/apis/core/validation/events.go`).
const MAX_MESSAGE_BYTES: usize = 1_024;
/// Where events on objects without a namespace are.
const DEFAULT_NAMESPACE: &str = "default";
/// The longest name of an object, in bytes.
const MAX_NAME_BYTES: usize = 253;

/// An event about an object, of now: to be created in the namespace that it has, which is the object's. `reason` is a `CamelCase` word, `message` a
/// sentence, which is [cut](event_message) if need be, `component` who tells it.
///
/// Its name is that of the object and the time, as client-go names events.
pub fn event(about: ObjectReference, kind: EventType, reason: &str, message: &str, component: &str) -> Event {
    let now = Timestamp::now();
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(
                about.name.as_deref().unwrap_or_default(),
                &format!("{:x}", now.as_nanosecond()),
            )),
            namespace: Some(about.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())),
            ..ObjectMeta::default()
        },
        involved_object: about,
        type_: Some(match kind {
            EventType::Normal => "Normal".to_owned(),
            EventType::Warning => "Warning".to_owned(),
        }),
        reason: Some(reason.to_owned()),
        message: Some(event_message(message)),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

/// A message as an [`event`] has it: one that is too long is cut, with a sign that it was.
pub fn event_message(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES - "…".len());
    format!("{}…", &message[..end])
}

/// What an event about an object of this name is called: `NAME.END`, with as much of the name as there is room for beside
/// an end that tells it from others.
pub fn event_name(object: &str, end: &str) -> String {
    let room = object.floor_char_boundary(MAX_NAME_BYTES.saturating_sub(1 + end.len()));
    // What is left of a long name ends in a letter or a digit, or the dot behind it would not be allowed.
    format!("{}.{end}", object[..room].trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_cut_at_a_character_and_the_cut_is_seen() {
        assert_eq!(event_message(&"é".repeat(512)), "é".repeat(512));
        let cut = event_message(&"é".repeat(600));
        assert!(cut.len() <= MAX_MESSAGE_BYTES && cut.ends_with("é…"), "{cut}");
    }

    #[test]
    fn an_event_is_named_after_its_object_by_a_name_that_kubernetes_takes() {
        let end = "17979cfe362a0000";
        assert_eq!(event_name("web", end), "web.17979cfe362a0000");
        // The cut falls behind a dot.
        let long = format!("{}.{}", "a".repeat(235), "b".repeat(17));
        assert_eq!(event_name(&long, end), format!("{}.17979cfe362a0000", "a".repeat(235)));
        assert!(event_name(&"a".repeat(253), end).len() <= MAX_NAME_BYTES);
    }

    #[test]
    fn an_event_says_of_what_it_is_how_grave_and_from_whom() {
        let about = ObjectReference {
            kind: Some("Service".to_owned()),
            namespace: Some("shop".to_owned()),
            name: Some("web".to_owned()),
            ..ObjectReference::default()
        };
        let event = event(about, EventType::Warning, "Refused", "why", "me");
        assert_eq!(event.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!((event.type_.as_deref(), event.count), (Some("Warning"), Some(1)));
        assert_eq!(event.first_timestamp, event.last_timestamp);
        assert_eq!(event.source.and_then(|source| source.component).as_deref(), Some("me"));
        assert_eq!(event.reporting_component.as_deref(), Some("me"));
    }
}
