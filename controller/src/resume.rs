//! Letting each provider rebuild what it knows, beside the others.

use std::sync::Arc;
use std::time::Duration;

use cloud_provider::ErrorClass;
use tokio::time::{sleep, timeout};

use crate::context::Context;
use crate::decide::ProviderIndex;
use crate::follow;
use crate::health::Health;
use crate::metrics::ProviderOperation;
use crate::reconcile::call;
use crate::retry::Backoff;

/// How long Services wait for the first answer of a provider before they are told that it is not at work.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Has a provider rebuild what it knows, and tries until it can: nothing may be asked of it before. Never ends.
pub(crate) async fn resume(context: Arc<Context>, provider: ProviderIndex, health: Health) {
    let handle = &context.providers[provider];
    let name = handle.provider.name();
    let mut backoff = Backoff::default();
    loop {
        let shown = context.services.all();
        let views: Vec<_> = shown.iter().filter(|t| t.is_load_balancer).map(|t| t.view.clone()).collect();
        let own = views.iter().filter(|view| context.providers.claimer(view) == Some(provider));
        handle.resumption.is_told_of(own.map(|view| view.id.clone()));
        let mut attempt =
            std::pin::pin!(call(&context, handle, ProviderOperation::resume, handle.provider.resume(&views)));
        let result = match timeout(FIRST_ANSWER_TIMEOUT, &mut attempt).await {
            Ok(result) => result,
            Err(_) => {
                let why =
                    format!("provider {name} has not resumed within {} s", FIRST_ANSWER_TIMEOUT.as_secs());
                blocked(&context, provider, &health, ErrorClass::Transient, &why);
                attempt.await
            }
        };
        match result {
            Ok(()) => {
                follow::observe_again(&context, &shown);
                break;
            }
            Err(error) => {
                let why = format!("provider {name} cannot resume: {error}");
                blocked(&context, provider, &health, error.class(), &why);
            }
        }
        sleep(backoff.failed(context.config.retry)).await;
    }
    handle.resumption.is_done();
    health.provider(name, None);
    tracing::info!(provider = name, "at work");
    wake(&context, provider);
    // Its end is no reason to stop.
    std::future::pending::<()>().await;
}

fn blocked(context: &Context, provider: ProviderIndex, health: &Health, class: ErrorClass, why: &str) {
    let handle = &context.providers[provider];
    if handle.resumption.blocked(class, why) {
        tracing::warn!(provider = handle.provider.name(), "{why}");
        health.provider(handle.provider.name(), Some(why.to_owned()));
        wake(context, provider);
    }
}

/// A reconcile for whoever waits for this provider: its Services ask it again, of who is gone it may hold something.
fn wake(context: &Context, provider: ProviderIndex) {
    for tracked in context.services.all() {
        let key = &tracked.view.id.key;
        if context.providers.claimer(&tracked.view) == Some(provider) && tracked.is_load_balancer {
            context.queue.add_woken(key);
        } else {
            context.wake(key);
        }
    }
    for key in context.releases.keys() {
        context.wake(&key);
    }
}
