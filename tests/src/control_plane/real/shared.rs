//! One server for all tests of a process that want the same: starting one takes seconds, and emptying it far less than
//! one. The tests take turns on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{OnceCell, OwnedMutexGuard};

use super::{AuditLog, Options, Server, StartError};

/// What tests have to agree on to share a server.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    assets: PathBuf,
    dual_stack: bool,
    controller_manager: bool,
}

/// The servers of this process. Nobody drops them; the pipes to their supervisors close with the process.
static SERVERS: LazyLock<Mutex<BTreeMap<Kind, Arc<Shared>>>> = LazyLock::new(Mutex::default);

impl Kind {
    fn of(assets: &Path, options: &Options) -> Self {
        let Options { dual_stack, controller_manager, .. } = *options;
        Kind { assets: assets.to_owned(), dual_stack, controller_manager }
    }
}

#[derive(Default)]
struct Shared {
    /// The server, or why there is none: nobody tries again what has failed.
    server: OnceCell<Result<Arc<Server>, Arc<StartError>>>,
    /// Whoever has this has the server for itself.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A server that nobody else uses until this is dropped, empty but for what it makes for itself.
#[derive(Debug)]
pub(crate) struct ServerTurn {
    pub(crate) server: Arc<Server>,
    pub(crate) requests: Arc<AuditLog>,
    /// None where the server is nobody else's anyway.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl ServerTurn {
    /// Waits for the end of the turn before this one, and empties the server.
    pub(crate) async fn take(assets: &Path, options: &Options) -> Result<Self, Arc<StartError>> {
        if options.port.is_some() {
            let server = Server::start(assets, options).await.map_err(Arc::new)?;
            return Ok(ServerTurn::on(Arc::new(server), None));
        }
        let shared = {
            let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
            servers.entry(Kind::of(assets, options)).or_default().clone()
        };
        let turn = shared.turn.clone().lock_owned().await;
        let is_new = !shared.server.initialized();
        let start = async || Server::start(assets, options).await.map(Arc::new).map_err(Arc::new);
        let server = shared.server.get_or_init(start).await.clone()?;
        if !is_new {
            server.clear().await;
        }
        Ok(ServerTurn::on(server, Some(turn)))
    }

    fn on(server: Arc<Server>, turn: Option<OwnedMutexGuard<()>>) -> Self {
        let requests = Arc::new(AuditLog::of(&server));
        ServerTurn { server, requests, _turn: turn }
    }
}
