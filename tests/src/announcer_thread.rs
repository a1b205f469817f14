//! An announcer on a thread in a network from which the API server cannot be reached.

use std::io;

use announcer::agent::{Announcer, Config};
use kube::client::Body;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, service_fn};

/// Announces on the links that this thread sees, until it is told to stop. What it asks the API server goes by `client`, in the
/// runtime `here`, whose threads have a way there.
///
/// # Errors
/// Where there is no runtime for it, or as [`Announcer::run`].
pub fn announce(
    config: Config,
    client: kube::Client,
    here: Handle,
    stop: CancellationToken,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let namespace = client.default_namespace().to_owned();
        let asking = service_fn(move |request: http::Request<Body>| {
            let (client, here) = (client.clone(), here.clone());
            async move {
                let answer = here.spawn(async move { client.send(request).await });
                Ok::<_, BoxError>(answer.await??)
            }
        });
        Announcer::new(kube::Client::new(asking, namespace), config).run(stop).await
    })
}
