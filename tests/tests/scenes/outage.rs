//! An API server that is away for as long as docs/operate.md makes a promise for.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, sleep_until};

use super::install::{service, with_a_pool};
use super::stage::{SCENE_TIMEOUT, Stage, until};

/// How long it is away.
const OUTAGE: Duration = Duration::from_secs(60);

/// How long a new Service may wait once it is ready.
const SERVED_WITHIN: Duration = Duration::from_secs(2);

pub(crate) async fn after_a_minute_without_an_api_server_a_new_service_is_served_within_two_seconds(
    stage: &Stage,
) {
    with_a_pool(stage);
    stage.namespace("outage");
    stage.apply(&service("outage", "before", "ipFamilyPolicy: RequireDualStack"));
    let published = stage.published("outage", "before", 2).await;

    stage.cluster.kill_api_server().expect("it runs");
    // Far longer than a Lease lasts, which nobody can renew: that time passes is what is tried.
    sleep_until(Instant::now() + OUTAGE).await;
    stage.cluster.start_api_server().expect("it starts");
    until("the API server is ready", SCENE_TIMEOUT, async || {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
        stage.cluster.client().request_text(request).await.map_err(|error| error.to_string())
    })
    .await;

    let back = Instant::now();
    let new: Service = serde_saphyr::from_str(&service("outage", "after", "")).expect("a Service");
    let services: Api<Service> = stage.services("outage");
    services.create(&PostParams::default(), &new).await.expect("it is made");
    stage.published("outage", "after", 1).await;
    let waited = back.elapsed();
    assert!(waited < SERVED_WITHIN, "it waited for {waited:?}");
    assert_eq!(stage.published("outage", "before", 2).await, published);
}
