//! One provider call.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use cloud_provider::{Error, ServiceId};
use futures::FutureExt;
use tokio::time::{Instant, timeout};

use crate::context::Context;
use crate::decide::ProviderIndex;
use crate::metrics::Operation;
use crate::providers::ProviderHandle;

/// Deletes; "implemented elsewhere" means that nothing of this provider's is left, which is what was asked.
pub(super) async fn delete(context: &Context, provider: ProviderIndex, id: &ServiceId) -> Result<(), Error> {
    let handle = &context.providers[provider];
    match call(context, handle, Operation::delete, handle.provider.delete(id)).await {
        Ok(()) | Err(Error::ImplementedElsewhere) => {
            handle.resumption.is_asked_about(id);
            Ok(())
        }
        failed => failed,
    }
}

/// What comes of serving a Service; none when it is deleted, or is no load balancer any more, before that: whatever is under
/// way for it is dropped then, so that its deletion does not wait for what may be hopeless. To be cut short at any point is
/// what every provider call has to bear.
pub(super) async fn while_wanted<T>(
    context: &Context,
    id: &ServiceId,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = context.queue.until(|| !context.services.want(id)) => None,
    }
}

/// One provider call: with a deadline, heeding and tripping the provider's throttle gate. A panic inside it is its
/// failure, and nobody else's: other Services go on, and this one is retried as after any passing failure.
pub(crate) async fn call<T>(
    context: &Context,
    handle: &ProviderHandle,
    operation: Operation,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if !context.fence.holds() {
        return Err(Error::transient("this process does not lead any more"));
    }
    if operation != Operation::resume
        && let Some(obstacle) = handle.resumption.obstacle()
    {
        return Err(obstacle);
    }
    let deadline = context.config.provider_timeout;
    let began = Instant::now();
    // What a provider leaves behind when it panics is its own: its locks are poisoned or not, as it was written.
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = match timeout(deadline, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            Err(Error::transient(format!("the provider panicked: {}", panic_message(panic.as_ref()))))
        }
        Err(_) => {
            Err(Error::transient(format!("the provider did not answer within {} s", deadline.as_secs())))
        }
    };
    let failed = result.as_ref().err().map(Error::class);
    context.metrics.called(handle.provider.name(), operation, failed, began.elapsed());
    match &result {
        Err(Error::Throttled { retry_after, .. }) => {
            handle.throttle.trip(Instant::now(), *retry_after);
        }
        Ok(_) => handle.throttle.reset(Instant::now()),
        Err(_) => {}
    }
    result
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
