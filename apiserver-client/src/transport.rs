//! What carries the requests of a client of this house to the API server.
//!
//! kube's own transport leaves Nagle's algorithm on, by which the second of two small segments waits until the first is
//! acknowledged, and the other side takes its time with that: 40 ms on Linux, in every TLS handshake. Its connector can be
//! given no other setting, so that the parts are put together here: TCP, the proxy if there is one, TLS, an end for what
//! is silent, HTTP, and what the configuration says of who asks.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt, DynBody};
use kube::{Config, Error};
use tower::util::{BoxCloneSyncService, BoxService, option_layer};
use tower::{BoxError, Layer, Service, ServiceExt};

/// A connection on which nothing was heard for so long is dead, or was not needed: longer than a watch of ours lasts, so
/// that none is cut while it is well.
const IDLE_TIMEOUT: Duration = Duration::from_secs(35);

/// How long a connection may take to come about. Of what is lost on the way TCP sends again after 1 and 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the layers of a client stand on: what carries a request to the server and its answer back.
pub type Transport = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// The way to the server that a configuration names.
///
/// # Errors
/// When its credentials, its certificates or its proxy are of no use.
pub(crate) fn transport(config: &Config) -> Result<Transport, Error> {
    over(config, way(config)?)
}

/// The way to the server, below what is said there.
fn way(config: &Config) -> Result<Way, Error> {
    let Some(proxy) = &config.proxy_url else { return Ok(boxed(connector())) };
    match proxy.scheme_str() {
        Some("http") => Ok(boxed(tunnel(proxy, connector()))),
        Some("https") => Ok(boxed(tunnel(proxy, config.rustls_https_connector_with_connector(connector())?))),
        _ => Err(Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy.clone()) }),
    }
}

/// Whatever way it is: what stands on it is in the program once, and not once for each way.
type Way = BoxCloneSyncService<Uri, Stream, BoxError>;

fn boxed<C>(connector: C) -> Way
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Io + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let stream = |io: C::Response| Stream(Box::pin(io));
    BoxCloneSyncService::new(connector.map_response(stream).map_err(Into::into))
}

/// A connection on which HTTP can be spoken.
trait Io: Connection + Read + Write + Send {}

impl<T: Connection + Read + Write + Send> Io for T {}

/// One of any kind.
struct Stream(Pin<Box<dyn Io>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write_vectored(context, bytes)
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

/// Through a proxy, which is told the name and the password in its URL.
fn tunnel<C>(proxy: &Uri, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.clone(), connector);
    match authorization(proxy) {
        Some(authorization) => tunnel.with_auth(authorization),
        None => tunnel,
    }
}

fn authorization(proxy: &Uri) -> Option<HeaderValue> {
    let anywhere = Uri::from_static("https://server.invalid");
    let intercepted = Matcher::builder().all(proxy.to_string()).build().intercept(&anywhere)?;
    intercepted.basic_auth().cloned()
}

/// HTTP over TLS (or not, as the server's URL says) over this.
fn over(config: &Config, way: Way) -> Result<Transport, Error> {
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(way)?);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(Some(IDLE_TIMEOUT));
    connector.set_write_timeout(Some(IDLE_TIMEOUT));
    // Else the time that a connection waited for its next request would count against the answer to it.
    connector.set_reset_reader_on_write(true);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let client = config.extra_headers_layer()?.layer(client.map_err(BoxError::from));
    let client = option_layer(config.auth_layer()?).layer(client);
    let client = config.base_uri_layer().layer(client);
    let in_a_box = |body: hyper::body::Incoming| Box::new(body.map_err(BoxError::from)) as Box<DynBody>;
    Ok(client.map_response(move |response: Response<_>| response.map(in_a_box)).boxed())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn no_segment_waits_until_the_one_before_is_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: Uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stream = connector().oneshot(server).await.unwrap();
        assert!(stream.inner().nodelay().unwrap());
    }

    #[test]
    fn a_proxy_is_told_the_name_and_the_password_as_they_were_before_they_were_put_into_a_url() {
        let told = |url: &'static str| {
            authorization(&Uri::from_static(url)).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(told("http://gate.example.com:3128"), None);
        // "me:s:cr@t" in base64.
        assert_eq!(told("http://me:s%3Acr%40t@gate.example.com:3128").as_deref(), Some("Basic bWU6czpjckB0"));
    }

    #[tokio::test]
    async fn a_proxy_of_a_kind_that_nobody_speaks_is_an_error() {
        let mut config = Config::new(Uri::from_static("https://10.0.0.1"));
        config.proxy_url = Some(Uri::from_static("socks5://gate.example.com"));
        assert!(matches!(transport(&config), Err(Error::ProxyProtocolUnsupported { .. })));
    }
}
