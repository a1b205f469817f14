//! Connections: plain HTTP and TLS on the same port, and the network fault.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::auth::Tokens;
use super::fault::Faults;
use super::kinds::ServiceNetwork;
use super::lock;
use super::pod_proxy::PodAnswers;
use super::request_log::RequestLog;
use super::route::Router;
use super::state::State;
use super::tls;

/// The first byte of every TLS connection, and of no HTTP request.
const TLS_HANDSHAKE: u8 = 0x16;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port on the loopback address; `None` for any that is free.
    pub port: Option<u16>,
    /// Where Services get their addresses.
    pub network: ServiceNetwork,
    /// How many changes of a kind are remembered: older continue tokens and watches are expired.
    pub history: usize,
    /// Empty the namespaces that are being deleted, as a controller manager does. The server alone does not.
    pub empties_namespaces: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { port: None, network: ServiceNetwork::single_stack(), history: 1000, empties_namespaces: false }
    }
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    faults: Faults,
    requests: RequestLog,
    tokens: Tokens,
    pods: PodAnswers,
    state: StateHandle,
    _stop: DropGuard,
}

/// The state, without a `Debug` of all that is in it.
struct StateHandle(Arc<Mutex<State>>);

impl std::fmt::Debug for StateHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl ApiServer {
    /// Starts to listen; requests are answered from here on.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port.unwrap_or(0))).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let state = Arc::new(Mutex::new(State::new(settings.network, settings.history)));
        let (faults, requests, tokens) = (Faults::new(), RequestLog::default(), Tokens::new());
        let pods = PodAnswers::default();
        let router = Arc::new(Router {
            state: state.clone(),
            faults: faults.clone(),
            requests: requests.clone(),
            tokens: tokens.clone(),
            pods: pods.clone(),
        });
        if settings.empties_namespaces {
            tokio::spawn(stop.clone().run_until_cancelled_owned(empty_namespaces(state.clone())));
        }
        let accept = accept(listener, tls::acceptor()?, router, faults.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        let (state, stop) = (StateHandle(state), stop.drop_guard());
        Ok(Self { address, faults, requests, tokens, pods, state, _stop: stop })
    }

    /// Where the server listens, for HTTP and for TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The faults, to switch on and off.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What was asked so far.
    pub fn requests(&self) -> &RequestLog {
        &self.requests
    }

    /// Who may do what.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// From now on a Pod answers this to a `GET` of this path at this port, where the server fetches it.
    pub fn pod_answers(&self, namespace: &str, pod: &str, port: u16, path: &str, answer: String) {
        self.pods.set(namespace, &format!("{pod}:{port}"), path, answer);
    }

    /// Changes a stored Service without any check, as if an older server, whose rules were laxer, had stored it.
    ///
    /// # Panics
    /// When there is no such Service.
    pub fn store_unchecked(&self, namespace: &str, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let mut state = lock(&self.state.0);
        let resource = state.resource("", "v1", "services").expect("Services are served");
        let stored = state.get(&resource, namespace, name).expect("the Service exists");
        let mut object = stored.value.clone();
        change(&mut object);
        state.commit(&resource, &super::store::key(namespace, name), object);
    }

    /// As if the server ended and started again: connections are cut, and watches from before are expired.
    pub async fn restart(&self) {
        self.faults.cut_network();
        // Until every connection has heard of it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.forget_history();
        self.faults.mend_network();
    }

    /// Forgets all changes so far, as a compaction does: watches and continue tokens from before are expired.
    pub fn forget_history(&self) {
        lock(&self.state.0).store.forget_history();
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Arc<Router>,
    faults: Faults,
    stop: CancellationToken,
) {
    loop {
        // Accepting fails for the client's reasons, or for want of descriptors; both pass.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let mut cut = faults.network();
        if *cut.borrow() {
            continue;
        }
        let (router, tls) = (router.clone(), tls.clone());
        let mut silenced = faults.silenced();
        let serve = async move {
            let mut serving = std::pin::pin!(serve(stream, tls, router));
            tokio::select! {
                () = &mut serving => {}
                () = is_cut(&mut cut) => {}
                // What is there of the connection stays, and nobody works at it.
                _ = silenced.changed() => is_cut(&mut cut).await,
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
    }
}

/// Waits until the network is cut.
async fn is_cut(cut: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    drop(cut.wait_for(|cut| *cut).await);
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, router: Arc<Router>) {
    // Small answers must not wait for more to send.
    let prepared = stream.set_nodelay(true);
    let mut first = [0];
    if prepared.is_err() || stream.peek(&mut first).await.is_err() {
        return;
    }
    if first[0] != TLS_HANDSHAKE {
        return serve_http(stream, router).await;
    }
    if let Ok(stream) = tls.accept(stream).await {
        serve_http(stream, router).await;
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Arc<Router>) {
    let service = service_fn(move |request| {
        let router = router.clone();
        async move { router.handle(request).await }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // It ends when the client goes, or by a fault; neither is news.
    drop(connection.await);
}

/// Deletes what is in the namespaces that are to go, and then them. Looks again after every change.
async fn empty_namespaces(state: Arc<Mutex<State>>) {
    let mut versions = lock(&state).store.versions();
    loop {
        lock(&state).empty_namespaces();
        if versions.changed().await.is_err() {
            return;
        }
        // A burst of changes is looked at once.
        tokio::time::sleep(Duration::from_millis(20)).await;
        versions.mark_unchanged();
    }
}
