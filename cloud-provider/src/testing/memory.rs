//! The trait in its plainest form: a provider on a [`MemoryCloud`]. Read it to learn what a provider does.
//!
//! Three habits carry it. Names follow from the Service's UID, so whatever an earlier call made is found again
//! and a second create is no second resource. Every resource records its owner, and deletion goes by owner. The
//! cloud is the only memory: a new process knows all that the old one knew.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::calls::Method;
use super::cloud::{MemoryCloud, RunningCall};
use super::faults::Point;
use super::platform::{Forwarding, Platform};
use super::settings::Settings;
use crate::address::Published;
use crate::backends::BackendInterest;
use crate::endpoint::{Endpoint, EndpointState};
use crate::error::{Error, Mistake, Mistakes};
use crate::name::load_balancer_name;
use crate::node::NodeView;
use crate::plan::{Change, Plan, Step, Verb};
use crate::provider::{CloudLoadBalancer, Outcome, Owned, Pending, Request, WakeupStream};
use crate::service::{ServiceId, ServiceKey, ServiceView};
use crate::source_range::{SOURCE_RANGES_ANNOTATION, SourceRanges};

/// The annotation that says which labels a node must have to be behind a Service's load balancer:
/// `key=value`, several separated by commas. What is no such pair is left out.
pub const NODE_LABELS: &str = "memory.example/target-node-labels";

/// One process that serves a [`MemoryCloud`].
#[derive(Debug)]
pub struct MemoryProvider {
    cloud: MemoryCloud,
    process: usize,
    name: String,
    annotation: Option<String>,
    resumed: AtomicBool,
    wakeups: Mutex<Option<mpsc::UnboundedReceiver<ServiceKey>>>,
}

impl MemoryCloud {
    /// A new process that serves this cloud.
    pub fn provider(&self) -> Arc<MemoryProvider> {
        let (process, settings, wakeups) = self.begin_process();
        Arc::new(MemoryProvider::new(self.clone(), process, &settings, wakeups))
    }
}

#[async_trait]
impl CloudLoadBalancer for MemoryProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn claims(&self, service: &ServiceView) -> bool {
        self.cloud.platform(|_, settings| settings.class.matches(service.class.as_deref()))
    }

    fn holds_resources(&self) -> bool {
        self.cloud.platform(|_, settings| settings.holds_resources)
    }

    fn reads_annotation(&self, key: &str) -> bool {
        self.cloud
            .platform(|_, settings| settings.reads_annotations.as_ref().is_none_or(|keys| keys.contains(key)))
    }

    fn serves_beside_mistakes(&self) -> bool {
        self.cloud.platform(|_, settings| settings.serves_beside_mistakes)
    }

    fn published_annotations(&self) -> Vec<&str> {
        self.annotation.iter().map(String::as_str).collect()
    }

    fn backends(&self, service: &ServiceView) -> BackendInterest {
        let (nodes, endpoints) =
            self.cloud.platform(|_, settings| (settings.uses_nodes, settings.uses_endpoints));
        let keys = node_labels(service).map(|(key, _)| key);
        let interest =
            if nodes { BackendInterest::none().and_node_labels(keys) } else { BackendInterest::none() };
        if endpoints { interest.and_endpoints() } else { interest }
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        let call = self.begin(Method::Resume, None);
        call.run(async {
            call.reach(Point::Before).await?;
            // Nothing to rebuild: the cloud is the memory. But if nothing is held outside, there is only what the
            // cluster's Services tell of.
            self.cloud.platform(|platform, settings| {
                if !settings.holds_resources {
                    platform.retain(&services.iter().map(|service| &service.id).collect());
                }
            });
            call.reach(Point::After).await?;
            self.resumed.store(true, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        let call = self.begin(Method::Get, Some(&service.id));
        call.run(async {
            call.reach(Point::Before).await?;
            let name = load_balancer_name(&service.id);
            let found = self.cloud.platform(|platform, _| platform.balancers.get(&name).cloned());
            call.reach(Point::After).await?;
            // One that is provisioning exists, and has nothing to publish yet.
            Ok(found.map(|it| if it.active { it.published } else { Published::default() }))
        })
        .await
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let service = request.service();
        let call = self.begin(Method::Ensure, Some(&service.id));
        call.run(async {
            call.reach(Point::Before).await?;
            self.refuse(service)?;
            let name = load_balancer_name(&service.id);

            // The firewall first, so that no load balancer ever serves somebody it should not.
            self.cloud.platform(|platform, settings| {
                let lets_through = wanted(request, settings, platform)?.lets_through;
                platform.put_firewall(&name, &service.id, &lets_through, settings.now);
                Ok::<_, Error>(())
            })?;
            call.reach(Point::Midway).await?;

            let balancer = self.cloud.platform(|platform, settings| {
                let wanted = wanted(request, settings, platform)?.forwarding;
                platform.put_balancer(&name, &service.id, wanted, settings).inspect_err(|_| {
                    // Only a create is refused, so the firewall guards nothing.
                    platform.delete_firewalls(&service.id);
                })
            })?;
            call.reach(Point::After).await?;

            if let Some(mistakes) = beside(service) {
                return Err(Error::InvalidInPart(mistakes));
            }
            Ok(match balancer.active {
                true => Outcome::ready(balancer.published),
                false => {
                    let why = format!("load balancer {name} is being provisioned");
                    Outcome::Pending(
                        Pending::new("Provisioning", why).look_again_after(Duration::from_secs(5)),
                    )
                }
            })
        })
        .await
    }

    async fn update_backends(&self, request: &Request) -> Result<(), Error> {
        let service = request.service();
        let call = self.begin(Method::UpdateBackends, Some(&service.id));
        call.run(async {
            call.reach(Point::Before).await?;
            let name = load_balancer_name(&service.id);
            self.cloud.platform(|platform, settings| {
                platform.set_backends(&name, nodes(request, settings), endpoints(request, settings));
            });
            call.reach(Point::After).await
        })
        .await
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        let call = self.begin(Method::Delete, Some(service));
        call.run(async {
            call.reach(Point::Before).await?;
            self.cloud.platform(|platform, _| platform.delete_balancers(service));
            call.reach(Point::Midway).await?;
            // Even where no load balancer was: an `ensure` may have died between the two.
            self.cloud.platform(|platform, _| platform.delete_firewalls(service));
            call.reach(Point::After).await
        })
        .await
    }

    fn wakeups(&self) -> WakeupStream {
        match self.wakeups.lock().take() {
            Some(receiver) => Box::pin(futures::stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|key| (key, receiver))
            })),
            None => Box::pin(futures::stream::pending()),
        }
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let service = request.service();
        let call = self.begin(Method::Plan, Some(&service.id));
        call.run(async {
            call.reach(Point::Before).await?;
            self.refuse(service)?;
            let plan = self.cloud.platform(|platform, settings| {
                Ok::<_, Error>(plan(platform, service, &wanted(request, settings, platform)?))
            })?;
            call.reach(Point::After).await?;
            match beside(service) {
                None => Ok(plan),
                Some(mistakes) if plan.is_empty() => Err(Error::InvalidInPart(mistakes)),
                Some(mistakes) => Ok(plan.beside(mistakes)),
            }
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        let call = self.begin(Method::List, None);
        call.run(async {
            call.reach(Point::Before).await?;
            let owned = self.cloud.platform(|platform, _| {
                let balancers = platform.balancers.iter().map(|(name, it)| {
                    Owned::new(it.owner.clone(), format!("load balancer {name}")).created(it.created)
                });
                let firewalls = platform.firewalls.iter().map(|(name, it)| {
                    Owned::new(it.owner.clone(), format!("firewall {name}")).created(it.created)
                });
                balancers.chain(firewalls).collect()
            });
            call.reach(Point::After).await?;
            Ok(owned)
        })
        .await
    }
}

impl MemoryProvider {
    pub(super) fn new(
        cloud: MemoryCloud,
        process: usize,
        settings: &Settings,
        wakeups: mpsc::UnboundedReceiver<ServiceKey>,
    ) -> Self {
        MemoryProvider {
            cloud,
            process,
            name: settings.name.clone(),
            annotation: settings.publishes_annotation.clone(),
            resumed: AtomicBool::new(false),
            wakeups: Mutex::new(Some(wakeups)),
        }
    }

    fn begin(&self, method: Method, service: Option<&ServiceId>) -> RunningCall {
        self.cloud.begin(self.process, self.resumed.load(Ordering::Relaxed), method, service)
    }

    /// What is somebody else's, and what cannot be served as it is written.
    fn refuse(&self, service: &ServiceView) -> Result<(), Error> {
        let (elsewhere, uses_nodes) = self.cloud.platform(|_, settings| {
            (settings.implemented_elsewhere.contains(&service.id.key), settings.uses_nodes)
        });
        if elsewhere {
            return Err(Error::ImplementedElsewhere);
        }
        if uses_nodes && service.ports.iter().any(|port| port.node_port.is_none()) {
            let problem = "leaves no way through a node";
            let mistake = Mistake::new("spec.allocateLoadBalancerNodePorts", "false", problem)
                .allowing("true")
                .meanwhile("the load balancer stays as it is");
            let all = service.mistakes.iter().cloned().chain([mistake]).collect();
            return Mistakes::new(all).map_or(Ok(()), |mistakes| Err(mistakes.into()));
        }
        Ok(())
    }
}

/// What there should be for a Service.
struct Wanted {
    lets_through: SourceRanges,
    forwarding: Forwarding,
}

/// What there should be. What a mistake of the view decides stays as it is found, and nothing is made beside one.
///
/// # Errors
/// The mistakes, where there is nothing yet, or where it cannot be told what they decide.
fn wanted(request: &Request, settings: &Settings, platform: &Platform) -> Result<Wanted, Error> {
    let service = request.service();
    let forwarding = forwarding(request, settings, platform);
    let mut wanted = Wanted { lets_through: service.source_ranges.clone(), forwarding };
    let Some(mistakes) = Mistakes::new(service.mistakes.clone()) else { return Ok(wanted) };
    let name = load_balancer_name(&service.id);
    let (Some(firewall), Some(balancer)) = (platform.firewalls.get(&name), platform.balancers.get(&name))
    else {
        return Err(mistakes.into());
    };
    for Mistake { field, .. } in &service.mistakes {
        if field.starts_with("spec.ports[") {
            wanted.forwarding.ports.clone_from(&balancer.forwarding.ports);
        } else if field.starts_with("spec.loadBalancerSourceRanges[")
            || field.contains(SOURCE_RANGES_ANNOTATION)
        {
            wanted.lets_through.clone_from(&firewall.lets_through);
        } else {
            return Err(mistakes.into());
        }
    }
    Ok(wanted)
}

/// The mistakes of the view beside which a Service is served.
fn beside(service: &ServiceView) -> Option<Mistakes> {
    let mistakes = Mistakes::new(service.mistakes.clone())?;
    Some(mistakes.meanwhile("what it decides stays as it is, and the rest of the Service follows"))
}

/// What the load balancer should do. Endpoints that are unknown stay as they are.
fn forwarding(request: &Request, settings: &Settings, platform: &Platform) -> Forwarding {
    let service = request.service();
    let present =
        || platform.balancers.get(&load_balancer_name(&service.id)).map(|it| it.forwarding.endpoints.clone());
    Forwarding {
        ports: service.ports.iter().map(|port| (port.protocol, port.port, port.node_port)).collect(),
        families: service.cluster_families(),
        nodes: nodes(request, settings),
        endpoints: endpoints(request, settings).or_else(present).unwrap_or_default(),
        health_check: service.health_check_node_port.filter(|_| service.needs_health_check()),
        affinity: service.session_affinity,
    }
}

/// The names of the nodes that carry what the Service asks for.
fn nodes(request: &Request, settings: &Settings) -> Vec<String> {
    if !settings.uses_nodes {
        return Vec::new();
    }
    let wanted: Vec<_> = node_labels(request.service()).collect();
    let fits = |node: &&NodeView| wanted.iter().all(|(key, value)| node.label(key) == Some(*value));
    request.nodes().iter().filter(fits).map(|node| node.name.clone()).collect()
}

fn node_labels(service: &ServiceView) -> impl Iterator<Item = (&str, &str)> {
    let text = service.annotations.get(NODE_LABELS).map(String::as_str).unwrap_or_default();
    text.split(',').filter_map(|pair| pair.trim().split_once('='))
}

/// The endpoints that take traffic; none while it is unknown which there are.
fn endpoints(request: &Request, settings: &Settings) -> Option<BTreeSet<(IpAddr, u16)>> {
    if !settings.uses_endpoints {
        return Some(BTreeSet::new());
    }
    let ready = |endpoint: &Endpoint| endpoint.state == EndpointState::Ready;
    let known = request.endpoints()?.iter().filter(|(_, endpoint)| ready(endpoint));
    Some(known.map(|(port, endpoint)| (endpoint.ip, port.number)).collect())
}

/// What `ensure` would write, from what is wanted and what exists.
fn plan(platform: &Platform, service: &ServiceView, wanted: &Wanted) -> Plan {
    let Wanted { lets_through, forwarding: wanted } = wanted;
    let name = load_balancer_name(&service.id);
    let mut steps = Vec::new();
    match platform.firewalls.get(&name) {
        None => steps.push(Step::new(Verb::Create, "firewall", &name, "the Service has none")),
        Some(it) if it.lets_through != *lets_through => {
            let changes = vec![difference("source ranges", &it.lets_through, lets_through)];
            steps.push(
                Step::new(Verb::Change, "firewall", &name, "the Service changed").with_changes(changes),
            );
        }
        Some(_) => {}
    }
    match platform.balancers.get(&name).map(|it| &it.forwarding) {
        None => steps.push(Step::new(Verb::Create, "load balancer", &name, "the Service has none")),
        Some(now) if now != wanted => {
            let changes = [
                (now.ports != wanted.ports).then(|| difference("ports", &now.ports, &wanted.ports)),
                (now.families != wanted.families)
                    .then(|| difference("families", &now.families, &wanted.families)),
                (now.nodes != wanted.nodes).then(|| difference("nodes", &now.nodes, &wanted.nodes)),
                (now.endpoints != wanted.endpoints)
                    .then(|| difference("endpoints", &now.endpoints, &wanted.endpoints)),
                (now.health_check != wanted.health_check)
                    .then(|| difference("health check", &now.health_check, &wanted.health_check)),
                (now.affinity != wanted.affinity)
                    .then(|| difference("affinity", &now.affinity, &wanted.affinity)),
            ];
            steps.push(
                Step::new(Verb::Change, "load balancer", &name, "the Service or its backends changed")
                    .with_changes(changes.into_iter().flatten().collect()),
            );
        }
        Some(_) => {}
    }
    Plan::new(steps)
}

fn difference<T: std::fmt::Debug>(field: &str, from: &T, to: &T) -> Change {
    Change::new(field, format!("{from:?}"), format!("{to:?}"))
}
