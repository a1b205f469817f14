//! What the kube crates do beyond plain requests, on either body.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event as StoredEvent;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::discovery::Discovery;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizing, finalizer};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tests::control_plane::ControlPlane;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
const FINALIZER: &str = "example.com/hold";

fn service(name: &str) -> Service {
    let value =
        json!({"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    serde_json::from_value(value).expect("a Service")
}

#[tokio::test]
async fn a_streaming_watcher_knows_where_the_list_ends() {
    let plane = ControlPlane::start().await;
    let version = plane.client().apiserver_version().await.expect("a version");
    if version.minor == "33" {
        eprintln!("passed over: 1.33 has it switched off");
        return;
    }
    let api: Api<Service> = Api::default_namespaced(plane.client());
    let mut events = watcher(api.clone(), watcher::Config::default().streaming_lists()).boxed();
    let mut next =
        async || timeout(DEADLINE, events.next()).await.expect("in time").expect("more").expect("an event");
    assert!(matches!(next().await, watcher::Event::Init));
    assert!(matches!(next().await, watcher::Event::InitApply(s) if s.name_any() == "kubernetes"));
    assert!(matches!(next().await, watcher::Event::InitDone));
    api.create(&PostParams::default(), &service("a")).await.expect("created");
    assert!(matches!(next().await, watcher::Event::Apply(s) if s.name_any() == "a"));
    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    assert!(matches!(next().await, watcher::Event::Delete(s) if s.name_any() == "a"));
}

#[tokio::test]
async fn the_finalizer_of_kube_comes_and_goes() {
    let plane = ControlPlane::start().await;
    let api: Api<Service> = Api::default_namespaced(plane.client());
    api.create(&PostParams::default(), &service("a")).await.expect("created");
    let step = async || {
        let object = Arc::new(api.get("a").await.expect("it is there"));
        let done = finalizer(&api, FINALIZER, object, async |event| {
            let name = match event {
                Finalizing::Apply(_) => "apply",
                Finalizing::Cleanup(_) => "cleanup",
            };
            Ok::<_, Infallible>(Action::requeue(Duration::from_secs(name.len() as u64)))
        });
        done.await.expect("a step")
    };
    step().await;
    assert_eq!(api.get("a").await.expect("it is there").finalizers(), [FINALIZER]);
    assert_eq!(step().await, Action::requeue(Duration::from_secs(5)));
    api.delete("a", &DeleteParams::default()).await.expect("deleting");
    assert_eq!(step().await, Action::requeue(Duration::from_secs(7)));
    assert!(api.get_opt("a").await.expect("an answer").is_none());
}

#[tokio::test]
async fn a_repeated_event_becomes_a_series() {
    let plane = ControlPlane::start().await;
    let api: Api<Service> = Api::default_namespaced(plane.client());
    let object = api.create(&PostParams::default(), &service("a")).await.expect("created");
    let recorder = Recorder::new(plane.client(), Reporter::from("example.com/test"));
    let event = Event {
        type_: EventType::Normal,
        reason: "Done".to_owned(),
        note: Some("it is".to_owned()),
        action: "Test".to_owned(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder.publish(&event, &object.object_ref(&())).await.expect("published");
    }
    let events: Api<StoredEvent> = Api::default_namespaced(plane.client());
    let all = events.list(&ListParams::default().fields("regarding.name=a")).await.expect("a list");
    let counts: Vec<_> = all.iter().map(|event| event.series.as_ref().map(|series| series.count)).collect();
    assert_eq!(counts, [Some(2)]);
}

#[tokio::test]
async fn discovery_comes_in_two_forms() {
    let plane = ControlPlane::start().await;
    let plain = Discovery::new(plane.client()).run().await.expect("plain discovery");
    let aggregated = Discovery::new(plane.client()).run_aggregated().await.expect("aggregated discovery");
    for found in [plain, aggregated] {
        assert!(found.has_group("coordination.k8s.io"));
        let core = found.get("").expect("the core group");
        assert!(core.resources_by_stability().iter().any(|(resource, _)| resource.plural == "services"));
    }
}
