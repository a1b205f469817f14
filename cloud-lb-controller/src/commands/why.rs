//! `why`: why a Service has, or lacks, its address, in one screen. Never writes.

use std::sync::Arc;

use apiserver_client::{Lean, Watches, in_words};
use clap::Args;
use cloud_provider::kubernetes::{node_view, service_view};
use cloud_provider::{CloudLoadBalancer, NodeSet, Request, ServiceView};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, Node, Service};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use crate::error::{CliError, EXIT_CODE_DONE, EXIT_CODE_FOUND};
use crate::flags::RunFlags;
use crate::{connection, providers};

/// The end of a condition's type; before it stands the provider's name.
const CONDITION: &str = ".cloud-lb-controller/Ready";

/// How many events are shown, the newest last.
const EVENTS_SHOWN: usize = 8;

/// Which Service.
#[derive(Args, Clone, Debug)]
pub(super) struct WhyFlags {
    /// A Service of the cluster
    #[arg(value_name = "NAMESPACE/NAME")]
    service: String,

    /// Its namespace, where the name has none
    #[arg(short, long)]
    namespace: Option<String>,

    #[command(flatten)]
    pub run: RunFlags,
}

/// Prints what is known. The exit code: 0 it has its address and nothing is to be done, 2 otherwise.
///
/// # Errors
/// When the cluster cannot be asked, or has no such Service.
pub(super) async fn run(flags: WhyFlags) -> Result<u8, CliError> {
    let client = connection::client(&flags.run.cluster, "why").await?;
    let namespace = flags.namespace.as_deref().unwrap_or("default");
    let (namespace, name) = flags.service.split_once('/').unwrap_or((namespace, &flags.service));
    let services: Api<Lean<Service>> = Api::namespaced(client.clone(), namespace);
    let found = services.get_opt(name).await.map_err(|e| api("asking for the Service", e))?;
    let Some(Lean(service)) = found else {
        return Err(CliError::Usage(format!("there is no Service {namespace}/{name}")));
    };
    let view = Arc::new(service_view(&service));
    println!("{}", summary(&service, &view));
    let conditions = conditions(&service);
    for condition in &conditions {
        println!("condition     {condition}");
    }
    if conditions.is_empty() {
        println!("condition     none of ours: no controller of this program has looked at it");
    }
    for line in events(&client, &service).await {
        println!("event         {line}");
    }
    let mut flags = flags.run;
    if flags.service.cloud_provider.is_empty() {
        flags.service.cloud_provider = recorded(&service);
    }
    let settled = match flags.service.cloud_provider.is_empty() {
        true => {
            println!("provider      not known: --cloud-provider says whom to ask what it would do");
            false
        }
        false => tell_plans(&client, &flags, view.clone()).await?,
    };
    for line in announced(&client, &view).await {
        println!("announced     {line}");
    }
    let has_address = !view.published.is_empty();
    Ok(if has_address && settled { EXIT_CODE_DONE } else { EXIT_CODE_FOUND })
}

fn api(doing: &str, source: kube::Error) -> CliError {
    CliError::Api { doing: doing.into(), source: Box::new(source) }
}

fn summary(service: &Service, view: &ServiceView) -> String {
    let spec = service.spec.as_ref();
    let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
    let class = match view.class.as_deref() {
        Some(class) => format!("class {class}"),
        None => "without a class".to_owned(),
    };
    let shown: Vec<String> = view.published.iter().map(ToString::to_string).collect();
    let shown = if shown.is_empty() { "no address".to_owned() } else { shown.join(", ") };
    format!("{}: type {kind}, {class}\naddress       {shown}", view.id.key)
}

/// What our conditions say, a line each.
fn conditions(service: &Service) -> Vec<String> {
    let all = service.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ours = all.iter().filter(|condition| condition.type_.ends_with(CONDITION));
    let line = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        let age = age(c.last_transition_time.0, Timestamp::now());
        format!("{}: {} {} for {age}: {}", c.type_.trim_end_matches(CONDITION), c.status, c.reason, c.message)
    };
    ours.map(line).collect()
}

/// The providers that have served it, as its conditions say.
fn recorded(service: &Service) -> Vec<String> {
    let all = service.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let name = |type_: &str| type_.strip_suffix(CONDITION).map(str::to_owned);
    let known = |name: &String| providers::kinds().any(|kind| kind.name == name);
    all.iter().filter_map(|condition| name(&condition.type_)).filter(known).collect()
}

async fn events(client: &kube::Client, service: &Service) -> Vec<String> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
    let uid = service.metadata.uid.as_deref().unwrap_or_default();
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let events = match Api::<Event>::namespaced(client.clone(), namespace).list(&about).await {
        Ok(events) => events.items,
        Err(error) => return vec![format!("not shown: {}", in_words(&error))],
    };
    lines(events, Timestamp::now())
}

/// A line for each, the newest last.
fn lines(events: Vec<Event>, now: Timestamp) -> Vec<String> {
    let at = |event: &Event| event.last_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let mut events = events;
    events.sort_by_key(at);
    let newest = events.iter().rev().take(EVENTS_SHOWN).rev();
    let line = |event: &Event| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let times = event.count.filter(|count| *count > 1).map(|count| format!(" x{count}"));
        let ago =
            event.last_timestamp.as_ref().map_or("at some time".into(), |time| age(time.0, now) + " ago");
        let (kind, reason, message) = (text(&event.type_), text(&event.reason), text(&event.message));
        format!("{kind} {reason}{}, {ago}: {message}", times.unwrap_or_default())
    };
    newest.map(line).collect()
}

/// Roughly, as kubectl shows it.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds =
        SignedDuration::from_nanos((now.as_nanosecond() - then.as_nanosecond()).max(0) as i64).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What each provider makes of it: whether it is theirs, and what they would do. Whether there is nothing to do.
async fn tell_plans(
    client: &kube::Client,
    flags: &RunFlags,
    view: Arc<ServiceView>,
) -> Result<bool, CliError> {
    let providers =
        providers::build(&flags.chosen_providers()?, client, &Watches::new(client.clone())).await?;
    let all = Api::<Lean<Service>>::all(client.clone()).list(&ListParams::default()).await;
    let all = all.map_err(|e| api("listing Services", e))?;
    let existing: Vec<Arc<ServiceView>> = all
        .items
        .iter()
        .map(|it| Arc::new(service_view(&it.0)))
        .filter(|it| it.wants_load_balancer)
        .collect();
    let nodes = Api::<Lean<Node>>::all(client.clone()).list(&ListParams::default()).await;
    let nodes =
        NodeSet::of(nodes.map_err(|e| api("listing Nodes", e))?.items.iter().map(|node| node_view(&node.0)));
    let mut settled = true;
    for provider in providers {
        let (lines, nothing_to_do) = plan(provider.as_ref(), &existing, &view, &nodes).await;
        for line in lines {
            println!("{:<13} {line}", provider.name());
        }
        settled &= nothing_to_do;
    }
    Ok(settled)
}

async fn plan(
    provider: &dyn CloudLoadBalancer,
    existing: &[Arc<ServiceView>],
    view: &Arc<ServiceView>,
    nodes: &NodeSet,
) -> (Vec<String>, bool) {
    if !view.wants_load_balancer {
        return (vec!["it is of another type than LoadBalancer, which nobody here serves".into()], false);
    }
    if !provider.claims(view) {
        return (vec!["not claimed: its class is another than the provider's".into()], false);
    }
    if let Err(error) = provider.resume(existing).await {
        return (vec![format!("cannot say: {error}")], false);
    }
    match Request::to(provider, view.clone(), nodes.clone()) {
        Err(mistakes) => (vec![format!("refuses: {mistakes}")], false),
        Ok(request) => match provider.plan(&request).await {
            Err(error) => (vec![format!("refuses, or waits: {error}")], false),
            Ok(plan) if plan.is_empty() => {
                (vec!["all is as the Service wants it; nothing to do".into()], true)
            }
            Ok(plan) => (plan.to_string().lines().map(|line| format!("would {line}")).collect(), false),
        },
    }
}

/// The labels by which MetalLB's statuses name their Service.
const STATUS_LABELS: [&str; 2] = ["metallb.io/service-namespace", "metallb.io/service-name"];

/// Who announces it, as far as an announcer has written it down.
async fn announced(client: &kube::Client, view: &ServiceView) -> Vec<String> {
    let key = &view.id.key;
    let of_it = format!("{}={},{}={}", STATUS_LABELS[0], key.namespace, STATUS_LABELS[1], key.name);
    let mut lines = Vec::new();
    for kind in ["ServiceL2Status", "ServiceBGPStatus"] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("metallb.io", "v1beta1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        // Where there are no such resources, nobody has written any.
        let found = api.list(&ListParams::default().labels(&of_it)).await.map(|list| list.items);
        for object in found.unwrap_or_default() {
            let node = object.data["status"]["node"].as_str().unwrap_or("an unknown node").to_owned();
            let peers: Vec<&str> = object.data["status"]["peers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_str)
                .collect();
            lines.push(match (kind, peers.as_slice()) {
                ("ServiceL2Status", _) => format!("on the local network by {node}"),
                (_, []) => format!("to no peer by {node}"),
                (_, peers) => format!("to {} by {node}", peers.join(", ")),
            });
        }
    }
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use cloud_provider::Mistake;
    use cloud_provider::testing::{MemoryCloud, Settings, a_service, nodes, request};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_would_be_done_beside_a_mistake_is_told_and_the_mistake() {
        let cloud = MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = true));
        let provider = cloud.provider();
        provider.resume(&[]).await.unwrap();
        provider.ensure(&request(&a_service().build(), &nodes(1))).await.unwrap();
        let mistake = Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network");
        let mistaken = Arc::new(a_service().mistake(mistake).build());
        let (lines, nothing_to_do) =
            plan(provider.as_ref(), std::slice::from_ref(&mistaken), &mistaken, &nodes(2)).await;
        assert!(!nothing_to_do && lines[0].starts_with("would "), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("everybody")), "{lines:?}");
    }

    #[test]
    fn the_newest_events_come_last_with_their_count_and_age() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let event = |minutes: i64, count: i32| -> Event {
            let at = now - SignedDuration::from_mins(minutes);
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "type": "Warning", "reason": "AllocationFailed",
                "message": "no free address", "count": count, "lastTimestamp": at.to_string(),
            }))
            .unwrap()
        };
        let shown = lines(vec![event(1, 7), event(200, 1)], now);
        let expected = [
            "Warning AllocationFailed, 3 h ago: no free address",
            "Warning AllocationFailed x7, 60 s ago: no free address",
        ];
        assert_eq!(shown, expected);
        assert_eq!(lines((0..20).map(|it| event(it, 1)).collect(), now).len(), EVENTS_SHOWN);
    }
}
