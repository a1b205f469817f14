//! Pools from a cluster: what the provider asks an API server for, and what it makes of the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::testing::{a_service, nodes, request};
use cloud_provider::{CloudLoadBalancer, Error, ErrorClass, IpFamily, Outcome};
use kube::{Client, Config};
use parking_lot::{Mutex, MutexGuard};
use provider_bare::{BareConfig, BareProvider, PoolSource};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What an API server knows of pools, in the few words this provider speaks with it.
#[derive(Default)]
struct Server {
    state: Mutex<State>,
    written: Notify,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// None: the kind is not installed.
    pools: Option<BTreeMap<String, Value>>,
    version: u64,
    /// How often pools were listed.
    lists: usize,
    /// What was written: method, path and body.
    writes: Vec<(String, String, Value)>,
    /// Watch events, oldest first.
    events: Vec<(u64, Value)>,
}

impl Server {
    async fn start(pools: Option<Vec<Value>>) -> (Arc<Self>, Client) {
        let server = Arc::new(Server::default());
        server.state().pools = pools.as_ref().map(|_| BTreeMap::new());
        for pool in pools.into_iter().flatten() {
            server.put(pool);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
        (server, client)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn put(&self, mut pool: Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let name = pool["metadata"]["name"].as_str().unwrap().to_owned();
        pool["metadata"]["resourceVersion"] = json!(version.to_string());
        pool["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        let known = state.pools.get_or_insert_default().insert(name, pool.clone()).is_some();
        let kind = if known { "MODIFIED" } else { "ADDED" };
        state.events.push((version, json!({ "type": kind, "object": pool })));
        drop(state);
        self.changed.notify_waiters();
    }

    /// The writes so far, once there are this many.
    async fn writes(&self, count: usize) -> Vec<(String, String, Value)> {
        let enough = async {
            loop {
                let written = self.written.notified();
                let writes = self.state().writes.clone();
                if writes.len() >= count {
                    return writes;
                }
                written.await;
            }
        };
        timeout(Duration::from_secs(30), enough).await.expect("the writes come")
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut stream = Connection { stream, unread: Vec::new() };
        while let Some((method, target, body)) = stream.read_request().await {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let pools = path.ends_with("/ipaddresspools");
            if method != "GET" {
                self.state().writes.push((method, path.to_owned(), body.clone()));
                self.written.notify_waiters();
                stream.answer(200, &body).await;
            } else if pools && self.state().pools.is_none() {
                let message = "the server could not find the requested resource";
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": message, "reason": "NotFound", "code": 404,
                });
                stream.answer(404, &status).await;
            } else if query.contains("watch=true") {
                self.stream_events(&mut stream, pools, query).await;
                return;
            } else {
                let list = self.list(pools);
                stream.answer(200, &list).await;
            }
        }
    }

    fn list(&self, pools: bool) -> Value {
        let mut state = self.state();
        state.lists += usize::from(pools);
        let items: Vec<Value> = match pools {
            true => state.pools.iter().flatten().map(|(_, pool)| pool.clone()).collect(),
            false => vec![json!({ "metadata": { "name": "default", "labels": { "team": "red" } } })],
        };
        let (version, kind) = if pools {
            ("metallb.io/v1beta1", "IPAddressPoolList")
        } else {
            ("meta.k8s.io/v1", "PartialObjectMetadataList")
        };
        let metadata = json!({ "resourceVersion": state.version.to_string() });
        json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "items": items })
    }

    async fn stream_events(&self, stream: &mut Connection, pools: bool, query: &str) {
        let since = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
        let mut since: u64 = since.and_then(|version| version.parse().ok()).unwrap_or(0);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        if stream.write(head).await.is_none() {
            return;
        }
        loop {
            let changed = self.changed.notified();
            let news: Vec<(u64, Value)> = self
                .state()
                .events
                .iter()
                .filter(|(version, _)| pools && *version > since)
                .cloned()
                .collect();
            for (version, event) in news {
                since = version;
                let line = format!("{event}\n");
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                if stream.write(&chunk).await.is_none() {
                    return;
                }
            }
            changed.await;
        }
    }
}

/// One connection, HTTP/1.1.
struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    async fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        loop {
            self.stream.readable().await.ok()?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => {
                    self.unread.extend_from_slice(&buffer[..read]);
                    return Some(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    async fn read_request(&mut self) -> Option<(String, String, Value)> {
        let end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read_more().await?,
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).ok()?;
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.unread.len() < length {
            self.read_more().await?;
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        Some((method, target, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    async fn write(&mut self, text: &str) -> Option<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            self.stream.writable().await.ok()?;
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    async fn answer(&mut self, code: u16, body: &Value) {
        let body = body.to_string();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.write(&format!("{head}{body}")).await;
    }
}

fn pool(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": { "name": name, "namespace": "metallb-system", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": spec,
    })
}

fn provider(client: Client, write_pool_status: bool) -> BareProvider {
    let pools = PoolSource::Cluster { namespace: Some("metallb-system".into()) };
    let mut config = BareConfig::default();
    config.pools = pools;
    config.write_pool_status = write_pool_status;
    BareProvider::new(config, Some(client)).unwrap()
}

async fn assign(provider: &BareProvider) -> String {
    match provider.ensure(&request(&a_service().build(), &nodes(1))).await {
        Ok(Outcome::Ready(ready)) => ready.published.to_string(),
        other => panic!("not served: {other:?}"),
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), looking).await.expect("it comes true");
}

#[tokio::test]
async fn pools_are_listed_before_anything_is_decided() {
    let (_server, client) =
        Server::start(Some(vec![pool("lan", json!({ "addresses": ["1.2.3.4/31"] }))])).await;
    let provider = provider(client, false);
    provider.resume(&[]).await.unwrap();
    assert_eq!(assign(&provider).await, "1.2.3.4");
    // A new process of the same leader may resume again.
    provider.resume(&[]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_selector_sees_the_clusters_namespaces() {
    let spec = json!({
        "addresses": ["1.2.3.4/31"],
        "serviceAllocation": { "namespaceSelectors": [{ "matchLabels": { "team": "red" } }] },
    });
    let (_server, client) = Server::start(Some(vec![pool("red", spec)])).await;
    let provider = provider(client, false);
    provider.resume(&[]).await.unwrap();
    assert_eq!(assign(&provider).await, "1.2.3.4");
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_named_with_what_to_do() {
    let (_server, client) = Server::start(None).await;
    let error: Error = provider(client, false).resume(&[]).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    let message = error.to_string();
    assert!(message.contains("ipaddresspools.metallb.io"), "{message}");
    assert!(message.contains("install the CustomResourceDefinition"), "{message}");
}

#[tokio::test]
async fn an_object_of_the_wrong_shape_stops_nobody_and_is_told_on_the_pool_once() {
    let (server, client) = Server::start(Some(vec![
        pool("bad", json!({ "addresses": "1.2.3.0/24" })),
        pool("lan", json!({ "addresses": ["1.2.3.4/31"] })),
    ]))
    .await;
    let provider = provider(client, false);
    provider.resume(&[]).await.unwrap();
    assert_eq!(assign(&provider).await, "1.2.3.4");
    let writes = server.writes(1).await;
    let (method, path, event) = &writes[0];
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/api/v1/namespaces/metallb-system/events"));
    assert_eq!((&event["reason"], &event["type"]), (&json!("InvalidPool"), &json!("Warning")));
    assert_eq!(event["involvedObject"]["name"], "bad");
    assert_eq!(event["involvedObject"]["uid"], "uid-of-bad");
    assert!(event["message"].as_str().unwrap().contains("cannot be read"), "{event}");
    // Another change of pools is no new mistake; another mistake is.
    server.put(pool("lan", json!({ "addresses": ["1.2.3.4/30"] })));
    server.put(pool("bad", json!({ "addresses": ["1.2.3.9-1.2.3.8"] })));
    let writes = server.writes(2).await;
    assert_eq!(writes.len(), 2);
    assert!(writes[1].2["message"].as_str().unwrap().contains("starts at 1.2.3.9"), "{:?}", writes[1]);
}

#[tokio::test]
async fn who_stands_by_has_read_all_and_written_nothing() {
    let (server, client) = Server::start(Some(vec![
        pool("bad", json!({ "addresses": "1.2.3.0/24" })),
        pool("lan", json!({ "addresses": ["1.2.3.4/31"] })),
    ]))
    .await;
    let provider = provider(client, true);
    provider.stand_by();
    until(|| provider.pools().iter().next().is_some()).await;
    // By the time that a change of pools is in force, what is wrong with the first of them would have been told.
    server.put(pool("more", json!({ "addresses": ["5.6.7.8/32"] })));
    server.put(pool("lan", json!({ "addresses": ["1.2.3.4/30"] })));
    until(|| provider.pools().iter().any(|pool| pool.capacity(IpFamily::V4) == 4)).await;
    assert_eq!(server.state().writes, [], "another process may be at work");
    let lists = server.state().lists;
    assert_eq!(lists, 1);
    provider.resume(&[]).await.unwrap();
    assert_eq!(server.state().lists, lists, "nothing is asked for again");
    assert_eq!(assign(&provider).await, "1.2.3.4");
    // What was seen meanwhile is told now.
    let writes = server.writes(2).await;
    assert!(writes.iter().any(|(_, path, _)| path.ends_with("/events")), "{writes:?}");
    assert!(writes.iter().any(|(_, path, _)| path.ends_with("/lan/status")), "{writes:?}");
}

#[tokio::test]
async fn a_change_of_a_pool_comes_into_force_and_wakes_who_waits() {
    let (server, client) = Server::start(Some(vec![])).await;
    let provider = provider(client, false);
    let mut wakeups = provider.wakeups();
    provider.resume(&[]).await.unwrap();
    let service = request(&a_service().build(), &nodes(1));
    assert!(matches!(provider.ensure(&service).await, Ok(Outcome::Pending(_))));
    server.put(pool("lan", json!({ "addresses": ["1.2.3.4/31"] })));
    let woken = timeout(Duration::from_secs(30), futures::StreamExt::next(&mut wakeups)).await.unwrap();
    assert_eq!(woken.as_ref(), Some(&service.service().id.key));
    assert_eq!(assign(&provider).await, "1.2.3.4");
}

#[tokio::test]
async fn counters_are_written_when_they_change_and_not_when_they_are_right() {
    let mut right = pool("right", json!({ "addresses": ["5.6.7.0/31"], "autoAssign": false }));
    right["status"] = json!({ "assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 2, "availableIPv6": 0 });
    let (server, client) =
        Server::start(Some(vec![pool("lan", json!({ "addresses": ["1.2.3.4/31"] })), right])).await;
    let provider = provider(client, true);
    provider.resume(&[]).await.unwrap();
    assign(&provider).await;
    let writes = server.writes(1).await;
    let (method, path, body) = &writes[0];
    assert_eq!(method, "PATCH");
    assert_eq!(path, "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/lan/status");
    let status = json!({ "assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 1, "availableIPv6": 0 });
    assert_eq!(*body, json!({ "status": status }));
    assert_eq!(writes.len(), 1, "one write for all changes, and none for the other pool");
}
