//! What the controller writes on a Service: addresses, annotations and one condition, in one patch.
//!
//! # The condition is also the record
//!
//! For each provider that serves a Service there is one condition of type `<provider>.cloud-lb-controller/Ready`.
//! It tells the user how things stand, and it tells the next process who serves the Service: the API server
//! keeps it when the type changes away from `LoadBalancer` (which drops the class), and it is written together
//! with the finalizer, before the first cloud call. So what we once served is known after any crash, and a
//! finalizer of the same name that belongs to another controller is never mistaken for ours.
//!
//! With the condition goes an annotation, `<provider>.cloud-lb-controller/class`, that says under which class the
//! Service is served; it is empty where there is none. Two installations that run the same provider for different
//! classes tell each other's records by it. Records of versions before have none.

use cloud_provider::{Ingress, IpMode, ProviderCondition, Published, ServiceView, SortedMap};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

/// The finalizer that keeps a Service until its load balancer is gone. Kubernetes' own service controller uses the same:
/// tools and people know it ([KEP-980](https://github.com/kubernetes/enhancements/issues/980)).
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// What follows the provider's name in the type of each condition of ours.
const CONDITION_DOMAIN: &str = ".cloud-lb-controller/";

/// What follows the provider's name in our condition's type.
const CONDITION_SUFFIX: &str = ".cloud-lb-controller/Ready";

/// The reason of a record whose provider could not delete what it holds.
pub(crate) const DELETE_FAILED: &str = "DeleteFailed";

/// Whether the load balancer is as the Service wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// It is.
    True,
    /// It is not, and the reason says what it waits for.
    False,
    /// Work has begun and nothing is known yet.
    Unknown,
}

impl Readiness {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Readiness::True => "True",
            Readiness::False => "False",
            Readiness::Unknown => "Unknown",
        }
    }
}

/// Our condition on a Service: who serves it and how things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The provider's name.
    pub provider: String,
    /// The condition's status.
    pub ready: Readiness,
    /// One `CamelCase` word.
    pub reason: String,
    /// One or a few sentences.
    pub message: String,
}

impl Record {
    /// A record in the given provider's name.
    pub fn new(provider: &str, ready: Readiness, reason: &str, message: impl Into<String>) -> Self {
        // A reason that breaks the field's rule would make the API server refuse the address with it.
        let reason = if reason.is_empty() { "Unknown" } else { reason };
        Record { provider: provider.into(), ready, reason: reason.into(), message: message.into() }
    }

    fn condition_type(&self) -> String {
        condition_type(&self.provider)
    }
}

/// The type of the condition a provider's record is kept in.
pub fn condition_type(provider: &str) -> String {
    format!("{provider}{CONDITION_SUFFIX}")
}

/// What follows the provider's name in the annotation that says under which class it serves a Service.
const CLASS_ANNOTATION_SUFFIX: &str = ".cloud-lb-controller/class";

/// The annotation in which a provider records the class under which it serves a Service.
pub fn class_annotation(provider: &str) -> String {
    format!("{provider}{CLASS_ANNOTATION_SUFFIX}")
}

/// Whether an annotation is such a record, whosoever: it is never a user's wish.
pub fn is_class_annotation(key: &str) -> bool {
    key.ends_with(CLASS_ANNOTATION_SUFFIX)
}

/// Our records on a Service.
pub fn records(service: &Service) -> Box<[Record]> {
    let conditions = service.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().filter_map(record).collect()
}

/// The conditions on a Service that a provider of ours published, each with its type. Our records are not among them.
pub fn published_conditions(service: &Service) -> Box<[(String, ProviderCondition)]> {
    let conditions = service.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let ours = conditions
        .iter()
        .filter(|it| it.type_.contains(CONDITION_DOMAIN) && !it.type_.ends_with(CONDITION_SUFFIX));
    ours.map(|it| {
        let holds = match it.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        };
        (it.type_.clone(), ProviderCondition::new(holds, &*it.reason, &*it.message))
    })
    .collect()
}

fn record(condition: &Condition) -> Option<Record> {
    Some(Record {
        provider: condition.type_.strip_suffix(CONDITION_SUFFIX)?.to_owned(),
        ready: match condition.status.as_str() {
            "True" => Readiness::True,
            "False" => Readiness::False,
            _ => Readiness::Unknown,
        },
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

/// What a Service shows of what a provider published, as the provider would say it. `declared`: the annotations that it may
/// publish; `seen`: the Service's [`published_conditions`].
pub fn shown(
    provider: &str,
    declared: &[&str],
    view: &ServiceView,
    seen: &[(String, ProviderCondition)],
) -> Published {
    let mut published = Published::new(view.published.iter().cloned());
    for key in declared {
        if let Some(value) = view.annotations.get(key) {
            published = published.with_annotation(*key, value);
        }
    }
    let prefix = format!("{provider}{CONDITION_DOMAIN}");
    for (type_, condition) in seen {
        if let Some(word) = type_.strip_prefix(&prefix) {
            published = published.with_condition(word, condition.clone());
        }
    }
    published
}

/// One write to a Service's status subresource, put together piece by piece. Strategic merge; never names the
/// spec; carries the UID.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusPatch {
    metadata: Map<String, Value>,
    load_balancer: Option<Value>,
    conditions: Vec<Value>,
}

impl StatusPatch {
    /// Publishes these addresses; an empty list clears them.
    pub fn ingress(&mut self, entries: &[Ingress]) {
        let entries: Vec<Value> = entries.iter().map(ingress_json).collect();
        let ingress = if entries.is_empty() { Value::Null } else { Value::Array(entries) };
        self.load_balancer = Some(json!({ "ingress": ingress }));
    }

    /// Sets (`Some`) or removes (`None`) an annotation.
    pub fn annotation(&mut self, key: &str, value: Option<&str>) {
        let annotations = self.metadata.entry("annotations").or_insert_with(|| json!({}));
        annotations[key] = value.map_or(Value::Null, Value::from);
    }

    /// Sets our condition. `now` becomes its transition time if the status changed from `before`.
    pub fn record(&mut self, record: &Record, before: Option<&Record>, now: jiff::Timestamp) {
        let is_new = before.is_none_or(|b| b.ready != record.ready);
        let (status, reason, message) = (record.ready.as_str(), &record.reason, &record.message);
        self.condition(&record.condition_type(), (status, reason, message), is_new.then_some(now));
    }

    fn condition(
        &mut self,
        type_: &str,
        (status, reason, message): (&str, &str, &str),
        changed: Option<jiff::Timestamp>,
    ) {
        let mut condition = json!({ "type": type_, "status": status, "reason": reason, "message": message });
        if let Some(now) = changed {
            // Whole seconds: Kubernetes' Time has no fraction.
            let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
            condition["lastTransitionTime"] = json!(now.to_string());
        }
        self.conditions.push(condition);
    }

    /// Makes the conditions that a provider publishes besides its record these, of those that were `seen` on the Service.
    pub fn publish_conditions(
        &mut self,
        provider: &str,
        published: &SortedMap<ProviderCondition>,
        seen: &[(String, ProviderCondition)],
        now: jiff::Timestamp,
    ) {
        let prefix = format!("{provider}{CONDITION_DOMAIN}");
        for (type_, _) in seen {
            if type_.strip_prefix(&prefix).is_some_and(|word| !published.contains_key(word)) {
                self.conditions.push(json!({ "$patch": "delete", "type": type_ }));
            }
        }
        for (word, condition) in published {
            let type_ = format!("{prefix}{word}");
            let before = seen.iter().find(|(seen, _)| *seen == type_).map(|(_, before)| before);
            if before == Some(condition) {
                continue;
            }
            let status = match condition.holds {
                Some(true) => Readiness::True,
                Some(false) => Readiness::False,
                None => Readiness::Unknown,
            };
            let is_new = before.is_none_or(|before| before.holds != condition.holds);
            let said = (status.as_str(), &*condition.reason, &*condition.message);
            self.condition(&type_, said, is_new.then_some(now));
        }
    }

    /// Records the class, if any, under which a provider serves the Service.
    pub fn class(&mut self, provider: &str, class: Option<&str>) {
        self.annotation(&class_annotation(provider), Some(class.unwrap_or_default()));
    }

    /// Removes a provider's condition, and the class that was recorded with it: it serves the Service no more.
    pub fn forget(&mut self, provider: &str) {
        self.annotation(&class_annotation(provider), None);
        self.conditions.push(json!({ "$patch": "delete", "type": condition_type(provider) }));
    }

    /// Adds our finalizer: a set union on the server's side, so that one that somebody else adds meanwhile is not wiped.
    pub fn add_finalizer(&mut self) {
        self.metadata.insert("finalizers".into(), json!([FINALIZER]));
    }

    /// Removes our finalizer, and no other.
    pub fn remove_finalizer(&mut self) {
        self.metadata.insert("$deleteFromPrimitiveList/finalizers".into(), json!([FINALIZER]));
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.load_balancer.is_none() && self.conditions.is_empty()
    }

    /// The body, with the UID it is meant for: the server refuses it (409) for any other.
    pub fn body(self, uid: &str) -> Value {
        let mut metadata = self.metadata;
        metadata.insert("uid".into(), uid.into());
        let mut body = json!({ "metadata": metadata });
        if let Some(load_balancer) = self.load_balancer {
            body["status"]["loadBalancer"] = load_balancer;
        }
        if !self.conditions.is_empty() {
            body["status"]["conditions"] = self.conditions.into();
        }
        body
    }
}

/// Adds to `patch` what `published` says and the Service, as last seen, does not say yet. Of the annotations that the
/// provider may publish (`declared`), those that it does not publish now are taken off.
pub fn publish(patch: &mut StatusPatch, published: &Published, declared: &[&str], seen: &ServiceView) {
    if !published.agrees_with(&seen.published) {
        patch.ingress(&published.ingress);
    }
    let is_over = |key: &str| seen.annotations.contains_key(key) && !published.annotations.contains_key(key);
    for key in declared.iter().filter(|key| is_over(key)) {
        patch.annotation(key, None);
    }
    for (key, value) in &published.annotations {
        if seen.annotations.get(key) != Some(value) {
            patch.annotation(key, Some(value));
        }
    }
}

fn ingress_json(entry: &Ingress) -> Value {
    let mut json = Map::new();
    if let Some(ip) = entry.ip {
        json.insert("ip".into(), ip.to_string().into());
        // What the server would fill in; said by us so that what we compare is what we wrote.
        let mode = match entry.ip_mode.unwrap_or(IpMode::Vip) {
            IpMode::Vip => "VIP",
            IpMode::Proxy => "Proxy",
        };
        json.insert("ipMode".into(), mode.into());
    }
    if let Some(hostname) = &entry.hostname {
        json.insert("hostname".into(), hostname.as_str().into());
    }
    if !entry.ports.is_empty() {
        let ports = entry.ports.iter().map(|p| {
            let mut port = json!({ "port": p.port, "protocol": p.protocol.as_str() });
            if let Some(error) = &p.error {
                port["error"] = error.as_str().into();
            }
            port
        });
        json.insert("ports".into(), ports.collect());
    }
    Value::Object(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn ensured() -> Record {
        Record::new("memory", Readiness::True, "Ensured", "192.0.2.1")
    }

    #[test]
    fn an_address_is_written_with_the_mode_the_server_would_fill_in() {
        let mut patch = StatusPatch::default();
        patch.ingress(&[Ingress::ip("192.0.2.1".parse().unwrap()), Ingress::hostname("lb.example.com")]);
        assert_eq!(
            patch.body("u1"),
            json!({
                "metadata": { "uid": "u1" },
                "status": { "loadBalancer": { "ingress": [
                    { "ip": "192.0.2.1", "ipMode": "VIP" }, { "hostname": "lb.example.com" },
                ] } },
            })
        );
    }

    #[test]
    fn weakness_13_what_is_wrong_with_a_port_is_written_beside_the_address() {
        let mut entry = Ingress::ip("192.0.2.1".parse().unwrap());
        entry.ports = vec![cloud_provider::PortStatus::failed(
            80,
            cloud_provider::Protocol::Tcp,
            "example.com/PortInUse",
        )];
        let mut patch = StatusPatch::default();
        patch.ingress(&[entry]);
        assert_eq!(
            patch.body("u1")["status"]["loadBalancer"]["ingress"][0]["ports"],
            json!([{ "port": 80, "protocol": "TCP", "error": "example.com/PortInUse" }])
        );
    }

    #[test]
    fn no_address_clears_the_list() {
        let mut patch = StatusPatch::default();
        patch.ingress(&[]);
        assert_eq!(patch.body("u1")["status"]["loadBalancer"], json!({ "ingress": null }));
    }

    #[test]
    fn the_finalizer_and_the_record_are_one_write_and_name_nobody_elses() {
        let mut patch = StatusPatch::default();
        patch.add_finalizer();
        patch.record(&ensured(), None, NOW);
        let body = patch.body("u1");
        assert_eq!(body["metadata"], json!({ "uid": "u1", "finalizers": [FINALIZER] }));
        assert_eq!(body["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert!(body.get("spec").is_none());
    }

    #[test]
    fn removing_takes_off_ours_alone() {
        let mut patch = StatusPatch::default();
        patch.remove_finalizer();
        patch.forget("memory");
        patch.annotation("example.com/pool", None);
        assert_eq!(
            patch.body("u1"),
            json!({
                "metadata": {
                    "uid": "u1",
                    "$deleteFromPrimitiveList/finalizers": [FINALIZER],
                    "annotations": { "example.com/pool": null, "memory.cloud-lb-controller/class": null },
                },
                "status": { "conditions": [
                    { "$patch": "delete", "type": "memory.cloud-lb-controller/Ready" },
                ] },
            })
        );
    }

    #[test]
    fn a_condition_of_a_provider_is_written_where_it_differs_and_taken_off_when_it_is_published_no_more() {
        let announced = |message: &str| ProviderCondition::new(Some(true), "Announced", message);
        let seen = [
            ("bare.cloud-lb-controller/Announced".to_owned(), announced("by a")),
            ("bare.cloud-lb-controller/Before".to_owned(), announced("")),
            ("other.cloud-lb-controller/Announced".to_owned(), announced("")),
        ];
        let mut patch = StatusPatch::default();
        patch.publish_conditions("bare", &[("Announced".to_owned(), announced("by b"))].into(), &seen, NOW);
        assert_eq!(
            patch.body("u1")["status"]["conditions"],
            json!([
                { "$patch": "delete", "type": "bare.cloud-lb-controller/Before" },
                {
                    "type": "bare.cloud-lb-controller/Announced", "status": "True", "reason": "Announced",
                    "message": "by b",
                },
            ])
        );
        let mut patch = StatusPatch::default();
        let seen = [("bare.cloud-lb-controller/Announced".to_owned(), announced("by b"))];
        patch.publish_conditions("bare", &[("Announced".to_owned(), announced("by b"))].into(), &seen, NOW);
        assert!(patch.is_empty());
        let no_more = ProviderCondition::new(Some(false), "Announced", "by b");
        patch.publish_conditions("bare", &[("Announced".to_owned(), no_more)].into(), &seen, NOW);
        let condition = &patch.body("u1")["status"]["conditions"][0];
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:00Z", "{condition}");
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let before = Record { message: "192.0.2.7".into(), ..ensured() };
        let mut patch = StatusPatch::default();
        patch.record(&ensured(), Some(&before), NOW);
        assert_eq!(patch.body("u1")["status"]["conditions"][0].get("lastTransitionTime"), None);
    }

    #[test]
    fn nothing_is_written_that_the_service_says_already() {
        let published = Published::addresses(["192.0.2.1".parse().unwrap()]);
        let mut seen = cloud_provider::testing::a_service().published_ips(["192.0.2.1"]).build();
        seen.published[0].ip_mode = Some(IpMode::Vip);
        let mut patch = StatusPatch::default();
        publish(&mut patch, &published, &[], &seen);
        assert!(patch.is_empty());
    }

    #[test]
    fn an_annotation_that_is_published_no_more_is_taken_off_and_others_stay() {
        let seen = cloud_provider::testing::a_service()
            .annotation("example.com/pool", "a")
            .annotation("team", "red")
            .build();
        let mut patch = StatusPatch::default();
        publish(&mut patch, &Published::default(), &["example.com/pool", "example.com/other"], &seen);
        let body = patch.body("uid");
        assert_eq!(body["metadata"]["annotations"], json!({ "example.com/pool": null }));
    }
}
