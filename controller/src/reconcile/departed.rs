//! Services that left: what they held is released though they are gone.

use std::sync::Arc;

use cloud_provider::ServiceKey;
use tokio::time::Instant;

use super::call::delete;
use crate::context::{Context, Departed};

/// Lets providers delete what they hold for Services of this key that left. Returns when to try again, if
/// something is left.
pub(super) async fn release(key: &ServiceKey, context: &Arc<Context>) -> Option<Instant> {
    let mut remaining = Departed::new();
    for (id, mut departure) in context.take_departed(key) {
        if let Some(memory) = context.take_memory(key) {
            if memory.id != id {
                context.put_memory(memory);
            } else if let Some(provider) = memory.last.provider {
                // What this process served is known best by its own memory.
                departure.holders.retain(|holder| *holder != provider);
                departure.holders.push(provider);
            }
        }
        if departure.again.is_none_or(|again| again <= Instant::now()) {
            let mut left = Vec::new();
            for holder in departure.holders {
                if let Err(error) = delete(context, holder, &id).await {
                    let provider = context.providers[holder].provider.name();
                    tracing::warn!(service = %id, provider, %error, "a departed Service is not released yet");
                    left.push(holder);
                }
            }
            departure.holders = left;
            departure.again = Some(Instant::now() + departure.backoff.failed());
        }
        if !departure.holders.is_empty() {
            remaining.insert(id, departure);
        }
    }
    let again = remaining.values().filter_map(|departure| departure.again).min();
    context.put_departed(key, remaining);
    again
}
