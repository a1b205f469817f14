#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod answer;
mod connections;
mod exposition;
mod listen;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

pub use answer::{Answer, text, verdict};
use connections::Connections;

/// How long the head of a request may take to come, the wait for a next request on the same connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// After a connection could not be taken: out of file descriptors, most likely, of which some will be freed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `address` until the process ends, and says where that is: a port of 0 is any that is free. `answer` is given
/// each request and who asks. `[::]` is every address of both families, or of IPv4 where the kernel has no IPv6.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve<F, A>(address: SocketAddr, answer: F) -> io::Result<SocketAddr>
where
    F: Fn(Request<Incoming>, IpAddr) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    let listener = listen::listen(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        let connections = Arc::new(Connections::default());
        loop {
            let Ok((connection, peer)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (answer, slot) = (answer.clone(), connections.clone().admit());
            tokio::spawn(async move {
                let conversation = converse(connection, peer.ip(), &answer);
                match slot.given_up().run_until_cancelled(conversation).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
                    None => tracing::debug!(%peer, "a connection made room for newer ones"),
                }
            });
        }
    });
    Ok(bound)
}

/// Answers the requests of one connection until it ends.
///
/// # Errors
/// When it ends early, or with what is no request.
pub async fn converse<F, A>(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    answer: &F,
) -> hyper::Result<()>
where
    F: Fn(Request<Incoming>, IpAddr) -> A,
    A: Future<Output = Answer>,
{
    let service = service_fn(|request| {
        let answer = answer(request, peer);
        async move { Ok::<_, Infallible>(answer.await.into_response()) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.serve_connection(TokioIo::new(connection), service).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_comes_ends_the_connection() {
        let (mut client, server) = duplex(1_024);
        let began = Instant::now();
        let conversation = tokio::spawn(async move {
            converse(server, IpAddr::from([127, 0, 0, 1]), &|_, _| async { verdict(Ok(())) }).await
        });
        assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
        assert_eq!(began.elapsed(), HEAD_TIMEOUT);
        assert!(conversation.await.expect("no panic").is_err());
    }
}
