//! The in-memory cloud does what tests of a controller order.

use std::time::Duration;

use cloud_provider::testing::*;
use cloud_provider::{CloudLoadBalancer, Error, ErrorClass, Mistake, Outcome, Request, ServiceKey};
use futures::StreamExt;
use tokio::sync::oneshot;

async fn started(cloud: &MemoryCloud) -> std::sync::Arc<MemoryProvider> {
    let provider = cloud.provider();
    provider.resume(&[]).await.unwrap();
    provider
}

#[tokio::test]
async fn a_failure_is_ordered_by_call_and_by_point() {
    let cloud = MemoryCloud::new();
    let provider = started(&cloud).await;
    let wanted = request(&a_service().build(), &nodes(2));

    cloud.fail(Calls::of(Method::Ensure).nth(2), Point::Before, ErrorClass::Denied);
    cloud.fail(Calls::of(Method::Ensure).nth(3), Point::Midway, Fault::throttled_for(Duration::from_secs(7)));
    cloud.fail(Calls::of(Method::Ensure).nth(4), Point::After, ErrorClass::Transient);
    let other = request(&a_service_named("default", "api").build(), &nodes(2));
    assert!(provider.ensure(&other).await.is_ok());
    assert_eq!(provider.ensure(&wanted).await.unwrap_err().class(), ErrorClass::Denied);
    assert_eq!((cloud.load_balancers().len(), cloud.firewalls().len()), (1, 1));
    let throttled = provider.ensure(&wanted).await.unwrap_err();
    assert!(matches!(throttled, Error::Throttled { retry_after: Some(wait), .. } if wait.as_secs() == 7));
    assert_eq!((cloud.load_balancers().len(), cloud.firewalls().len()), (1, 2), "it died half-way");
    assert!(provider.ensure(&wanted).await.is_err());
    assert_eq!(cloud.load_balancers().len(), 2, "only the reply was lost");
    assert!(provider.ensure(&wanted).await.is_ok());
    assert_eq!(cloud.count(Method::Ensure), 5);
    assert_eq!(cloud.count_about(Method::Ensure, &ServiceKey::new("default", "web")), 4);
}

#[tokio::test]
async fn a_call_waits_at_a_gate_and_may_be_dropped_there() {
    let cloud = MemoryCloud::new();
    let provider = started(&cloud).await;
    let wanted = request(&a_service().build(), &nodes(2));
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Midway);

    let (give_up, gave_up) = oneshot::channel::<()>();
    let dropped = tokio::spawn({
        let (provider, wanted) = (provider.clone(), wanted.clone());
        async move {
            tokio::select! {
                _ = provider.ensure(&wanted) => panic!("the gate is closed"),
                _ = gave_up => {}
            }
        }
    });
    cloud.started(Method::Ensure, 1).await;
    assert_eq!(cloud.calls().last().unwrap().state, CallState::Running);
    give_up.send(()).unwrap();
    dropped.await.unwrap();
    assert_eq!(cloud.calls().last().unwrap().state, CallState::Dropped);
    gate.release();
    assert!(provider.ensure(&wanted).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_takes_its_time_by_tokios_clock() {
    let cloud = MemoryCloud::new();
    let provider = started(&cloud).await;
    cloud.slow(Calls::any(), Point::Before, Duration::from_secs(30));
    let before = tokio::time::Instant::now();
    provider.list().await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(30));
    cloud.heal();
}

#[tokio::test]
async fn a_load_balancer_that_becomes_active_wakes_its_service() {
    let cloud = MemoryCloud::with(Settings::with(|it| it.provisioning = Provisioning::UntilActivated));
    let provider = cloud.provider();
    let mut wakeups = provider.wakeups();
    provider.resume(&[]).await.unwrap();
    let wanted = request(&a_service().build(), &nodes(1));
    assert!(matches!(provider.ensure(&wanted).await, Ok(Outcome::Pending(_))));
    cloud.activate_all();
    assert_eq!(wakeups.next().await, Some(ServiceKey::new("default", "web")));
    assert!(matches!(provider.ensure(&wanted).await, Ok(Outcome::Ready(_))));
}

#[tokio::test]
async fn a_quota_is_kept_and_nothing_half_made_is_left() {
    let cloud = MemoryCloud::with(Settings::with(|it| it.quota = Some(0)));
    let provider = started(&cloud).await;
    let wanted = request(&a_service().build(), &nodes(1));
    assert_eq!(provider.ensure(&wanted).await.unwrap_err().class(), ErrorClass::Quota);
    assert!(cloud.is_empty());
    cloud.change(|settings| settings.quota = Some(1));
    assert!(provider.ensure(&wanted).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_breaks_the_contract_is_complained_about() {
    let cloud = MemoryCloud::new();
    let provider = cloud.provider();
    let wanted = request(&a_service().build(), &nodes(1));
    provider.ensure(&wanted).await.unwrap();
    assert_eq!(cloud.complaints().len(), 1, "{:?}", cloud.complaints());
    provider.resume(&[]).await.unwrap();
    let (first, second) = futures::join!(provider.ensure(&wanted), provider.delete(&wanted.service().id));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(cloud.complaints().len(), 2, "{:?}", cloud.complaints());
}

#[tokio::test]
async fn what_is_implemented_elsewhere_is_not_made() {
    let service = a_service().build();
    let cloud = MemoryCloud::new();
    cloud.change(|settings| {
        settings.implemented_elsewhere.insert(service.id.key.clone());
    });
    let provider = started(&cloud).await;
    let refused = provider.ensure(&request(&service, &nodes(1))).await.unwrap_err();
    assert_eq!(refused.class(), ErrorClass::ImplementedElsewhere);
    assert!(cloud.is_empty());
}

#[tokio::test]
async fn what_somebody_deletes_is_made_again() {
    let cloud = MemoryCloud::new();
    let provider = started(&cloud).await;
    let wanted = request(&a_service().build(), &nodes(1));
    provider.ensure(&wanted).await.unwrap();
    cloud.vandalise(&wanted.service().id.key);
    assert!(!provider.plan(&wanted).await.unwrap().is_empty());
    provider.ensure(&wanted).await.unwrap();
    assert_eq!(cloud.load_balancer_of(&wanted.service().id.key).unwrap().forwarding.nodes, ["n1"]);
}

#[tokio::test]
async fn a_source_range_is_planned_and_goes_to_the_firewall() {
    let cloud = MemoryCloud::new();
    let provider = started(&cloud).await;
    provider.ensure(&request(&a_service().build(), &nodes(1))).await.unwrap();
    let narrowed = request(&a_service().source_ranges(["10.0.0.0/8"]).build(), &nodes(1));
    let plan = provider.plan(&narrowed).await.unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.kind.as_str()).collect::<Vec<_>>(), ["firewall"]);
    provider.ensure(&narrowed).await.unwrap();
    let firewall = cloud.firewalls().into_values().next().unwrap();
    assert_eq!(firewall.lets_through, narrowed.service().source_ranges);
}

#[test]
fn who_serves_beside_mistakes_is_asked_for_a_service_that_has_some_and_nobody_else() {
    let valid = std::sync::Arc::new(a_service().build());
    let mistake = Mistake::new("spec.ports[0].port", "0", "is not understood");
    let mistaken = std::sync::Arc::new(a_service().mistake(mistake).build());
    for serves_beside_mistakes in [false, true] {
        let cloud =
            MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = serves_beside_mistakes));
        let provider = cloud.provider();
        assert!(Request::to(provider.as_ref(), valid.clone(), nodes(1)).is_ok());
        let asked = Request::to(provider.as_ref(), mistaken.clone(), nodes(1));
        assert_eq!(asked.is_ok(), serves_beside_mistakes);
        assert!(Request::new(mistaken.clone(), nodes(1)).is_err());
    }
}
