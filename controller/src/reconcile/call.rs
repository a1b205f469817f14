//! One provider call.

use cloud_provider::{Error, ServiceId};
use tokio::time::{Instant, timeout};

use crate::context::{Context, Served};
use crate::decide::ProviderIndex;
use crate::metrics::Operation;

/// Deletes; "implemented elsewhere" means that nothing of this provider's is left, which is what was asked.
pub(super) async fn delete(context: &Context, provider: ProviderIndex, id: &ServiceId) -> Result<(), Error> {
    let served = &context.providers[provider];
    match call(context, served, Operation::delete, served.provider.delete(id)).await {
        Err(Error::ImplementedElsewhere) => Ok(()),
        other => other,
    }
}

/// One provider call: with a deadline, heeding and working the provider's brake.
pub(crate) async fn call<T>(
    context: &Context,
    served: &Served,
    operation: Operation,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if !context.fence.holds() {
        return Err(Error::transient("this process does not lead any more"));
    }
    let deadline = context.config.deadline;
    let began = Instant::now();
    let result = timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(Error::transient(format!("the provider did not answer within {} s", deadline.as_secs())))
    });
    let failed = result.as_ref().err().map(Error::class);
    context.metrics.called(served.provider.name(), operation, failed, began.elapsed());
    match &result {
        Err(Error::Throttled { retry_after, .. }) => {
            served.brake.press(Instant::now(), *retry_after);
        }
        Ok(_) => served.brake.ease(Instant::now()),
        Err(_) => {}
    }
    result
}
