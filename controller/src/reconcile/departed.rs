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
                    context.metrics.retried(provider, error.class().as_str());
                    tracing::warn!(uid = id.uid, provider, %error, "a departed Service is not released yet");
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

#[cfg(test)]
mod tests {
    use cloud_provider::testing::{MemoryCloud, Method, a_service};
    use cloud_provider::{CloudLoadBalancer, ServiceId};
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::Config;
    use crate::context::{Fence, Memory, Parts};
    use crate::events::Events;

    fn context(cloud: &MemoryCloud) -> Arc<Context> {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let providers: Vec<Arc<dyn CloudLoadBalancer>> = vec![cloud.provider()];
        let (events, _) = Events::new(client.clone(), "test".into());
        let parts = Parts {
            client,
            config: Config::default(),
            nodes: watch::channel(None).1,
            events,
            metrics: Arc::default(),
            fence: Fence::new(|| true),
            commands: mpsc::unbounded_channel().0,
            queue: mpsc::unbounded_channel().0,
        };
        let context = Context::new(parts, &providers);
        context.activate();
        Arc::new(context)
    }

    fn served(id: &ServiceId, context: &Context) -> Memory {
        let mut memory = Memory::new(id.clone(), context);
        memory.last.provider = Some(0);
        memory
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_service_goes_with_it() {
        let cloud = MemoryCloud::new();
        let context = context(&cloud);
        let id = a_service().build().id;
        context.put_memory(served(&id, &context));
        context.departed_id(id.clone());

        assert_eq!(release(&id.key, &context).await, None);

        assert_eq!(cloud.count_about(Method::Delete, &id.key), 1);
        assert!(context.take_memory(&id.key).is_none());
        assert!(context.take_departed(&id.key).is_empty());
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_living_namesake_stays() {
        let cloud = MemoryCloud::new();
        let context = context(&cloud);
        let living = a_service().uid("living").build().id;
        context.put_memory(served(&living, &context));
        context.departed_id(a_service().uid("departed").build().id);

        assert_eq!(release(&living.key, &context).await, None);

        assert_eq!(context.take_memory(&living.key).map(|memory| memory.id), Some(living));
    }
}
