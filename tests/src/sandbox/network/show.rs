//! A Service that is reached over the network, and goes on being reached when the node that answers for it is cut off.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::Api;
use tokio_util::sync::CancellationToken;

use super::enter::real_kube_proxy;
use super::kube_proxy::NodeProxy;
use super::machine::{PAGE_PORT, announce, ask, on, serve_page, silence};
use crate::cluster::addresses;
use crate::control_plane::ControlPlane;
use crate::real_cluster::{Lan, Machine, POOL, addresses as machine_addresses};
use crate::sandbox::demo::{headline, until};
use crate::sandbox::page::say;
use crate::sandbox::{SandboxError, manifests};

/// How long anything may take that is a matter of moments.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// A key for the announcers of a network that ends with the demonstration.
const KEY: &str = "of a network that nobody else is on";

/// Shows it; `folder` holds the machines.
pub(in crate::sandbox) async fn show(plane: &ControlPlane, folder: &Path) -> Result<(), SandboxError> {
    let client = &plane.client();
    headline("A network: node-1, node-2 and a client, on one switch");
    let lan = Lan::make(folder, "0")?;
    let key = folder.join("key");
    std::fs::write(&key, KEY).map_err(network)?;
    for object in manifests::parse(&manifest(), "the network's manifest")? {
        say(&format!("  {} applied", manifests::apply(client, &object).await?));
    }
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    until(&services, "page is served", |all| {
        all.iter().any(|s| s.name_any() == "page" && addresses(s).len() == 2)
    })
    .await?;
    let published = addresses(&services.get("page").await?);
    say(&format!("  page has {}", published.join(" and ")));

    let kube_proxy = real_kube_proxy();
    match &kube_proxy {
        Some(program) => say(&format!("  on each node runs {}", program.display())),
        None => say("  rules of nftables stand in for kube-proxy; it runs where KUBEBUILDER_ASSETS has it"),
    }
    let stop = CancellationToken::new();
    let (mut announcers, mut proxies) = (Vec::new(), Vec::new());
    for node in &lan.nodes {
        serve_page(node).map_err(network)?;
        match &kube_proxy {
            Some(program) => proxies.push(NodeProxy::start(node, program, plane, folder).await?),
            None => stand_in_for_kube_proxy(node, &published)?,
        }
        announcers.push(announce(node, &key, client.clone(), stop.clone()));
    }
    let shown = reach(&lan, &published).await;
    stop.cancel();
    for announcer in announcers {
        joined(announcer).await?;
    }
    shown
}

async fn reach(lan: &Lan, published: &[String]) -> Result<(), SandboxError> {
    for address in published {
        let ip: IpAddr = address.parse().map_err(|error| network(io::Error::other(error)))?;
        headline(&format!("The client asks for {address}"));
        let page = joined(on(&lan.client, move || first_page(ip))).await?;
        say(&format!("  {page}"));
        let Some(node) = lan.nodes.iter().find(|node| page.ends_with(node.name())) else {
            return Err(SandboxError::Unexpected(format!("{page:?} names no node")));
        };
        say(&format!("  the cable of {} is pulled", node.name()));
        // It asks on while the cable is pulled.
        let asking = on(&lan.client, move || silence(ip, &page, ANSWER_DEADLINE));
        lan.cable(node.name(), false)?;
        let (silent, page) = joined(asking).await?;
        say(&format!("  {page}\n  {:.2} s without answers", silent.as_secs_f64()));
        lan.cable(node.name(), true)?;
    }
    Ok(())
}

/// The first page that there is.
fn first_page(ip: IpAddr) -> io::Result<String> {
    let began = std::time::Instant::now();
    loop {
        match ask(ip) {
            Ok(page) => return Ok(page),
            Err(error) if began.elapsed() > ANSWER_DEADLINE => return Err(error),
            Err(_) => {}
        }
    }
}

/// What a thread on a machine comes to, once it has ended.
async fn joined<R: Send + 'static>(
    acting: io::Result<JoinHandle<io::Result<io::Result<R>>>>,
) -> Result<R, SandboxError> {
    let acting = acting.map_err(network)?;
    let ended = tokio::task::spawn_blocking(move || acting.join()).await.map_err(io::Error::other);
    let ended = ended.map_err(network)?.map_err(|_| network(io::Error::other("a thread has panicked")))?;
    ended.and_then(|acted| acted).map_err(network)
}

/// What comes to a node for one of the addresses goes to its page.
fn stand_in_for_kube_proxy(node: &Machine, published: &[String]) -> Result<(), SandboxError> {
    let rules: Vec<String> = published
        .iter()
        .map(|address| {
            let family = if address.contains(':') { "ip6" } else { "ip" };
            format!("{family} daddr {address} tcp dport 80 redirect to :{PAGE_PORT}\n")
        })
        .collect();
    let table = format!(
        "table inet page {{\nchain to_page {{\ntype nat hook prerouting priority dstnat\n{}}}\n}}\n",
        rules.concat()
    );
    node.run("nft", &[&table]).map(drop).map_err(Into::into)
}

fn network(error: io::Error) -> SandboxError {
    SandboxError::Network(error)
}

fn manifest() -> String {
    // What comes to a node goes to its own page, so that the page says who answered.
    let endpoints: String = [("IPv4", 0), ("IPv6", 1)]
        .map(|(family, at)| {
            let [one, two] = ["node-1", "node-2"].map(|node| machine_addresses(node)[at].clone());
            format!(
                "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: page-{at}, namespace: default, labels: {{kubernetes.io/service-name: page}}}}
addressType: {family}
ports: [{{port: {PAGE_PORT}, protocol: TCP, name: \"\"}}]
endpoints:
- {{addresses: [\"{one}\"], nodeName: node-1, conditions: {{ready: true}}}}
- {{addresses: [\"{two}\"], nodeName: node-2, conditions: {{ready: true}}}}
---
"
            )
        })
        .concat();
    let endpoints = endpoints.trim_end_matches("---\n");
    format!(
        "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: network, namespace: metallb-system}}
spec: {{addresses: [\"{}\"], autoAssign: false}}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{name: network, namespace: metallb-system}}
spec: {{ipAddressPools: [network]}}
---
{endpoints}---
apiVersion: v1
kind: Service
metadata:
  name: page
  namespace: default
  annotations: {{metallb.io/address-pool: network}}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {{app: page}}
  ipFamilyPolicy: RequireDualStack
  ports: [{{port: 80}}]
",
        POOL.join("\", \"")
    )
}
