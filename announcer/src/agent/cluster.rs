//! What the API server says, kept as the view that everything is decided from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver_client::{Lean, Watches};
use cloud_provider::kubernetes::{
    endpoints_of_slice, is_load_balancer, node_view, service_key, service_of_slice, service_view,
};
use cloud_provider::{ClassRule, NodeView, ServiceKey, ServiceView};
use futures::future::ready;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::{Api, CustomResourceExt, Resource};
use metallb::announcing::{Announcing, Definitions};
use metallb::crd::{
    BFDProfile, BFDProfileSpec, BGPAdvertisement, BGPAdvertisementSpec, BGPPeer, BGPPeerSpec, Community,
    CommunitySpec, IPAddressPool, L2Advertisement, L2AdvertisementSpec,
};
use metallb::pool::Definition;
use metallb::pools::Pools;
use metallb::written::{ObjectMistakes, ResourceSpec, Written};

use super::mirror::Mirror;
use crate::announcements::{ServingNodes, View};

/// Changes of pools and advertisements are in force when they have been quiet for so long: one that is replaced goes and
/// comes back, and what it announces is not to go with it.
const DEBOUNCE_QUIET: Duration = Duration::from_millis(200);

/// And no later than this after the first change, however many follow.
const DEBOUNCE_MAX: Duration = Duration::from_secs(1);

/// What a watch told.
pub(super) enum News {
    Service(Box<Event<Lean<Service>>>),
    Slice(Box<Event<EndpointSlice>>),
    Node(Box<Event<Lean<Node>>>),
    Pool(Box<Event<DynamicObject>>),
    Layer2(Box<Event<DynamicObject>>),
    Bgp(Box<Event<DynamicObject>>),
    Peer(Box<Event<DynamicObject>>),
    Profile(Box<Event<DynamicObject>>),
    Community(Box<Event<DynamicObject>>),
    /// The API server has no such kind, by its full name.
    NoKind(String),
}

/// All watches, as one stream. Failures are told by [`Watches::states`].
pub(super) fn follow(
    watches: &Watches,
    pools_namespace: Option<&str>,
    with_bgp: bool,
) -> SelectAll<BoxStream<'static, News>> {
    let mut all = SelectAll::new();
    all.push(told(watches.follow("services", Api::all), News::Service));
    all.push(told(watches.follow("endpointslices", Api::all), News::Slice));
    all.push(told(watches.follow("nodes", Api::all), News::Node));
    all.push(of_metallb::<IPAddressPool>(watches, pools_namespace, News::Pool));
    all.push(of_metallb::<L2Advertisement>(watches, pools_namespace, News::Layer2));
    if !with_bgp {
        return all;
    }
    all.push(of_metallb::<BGPAdvertisement>(watches, pools_namespace, News::Bgp));
    all.push(of_metallb::<BGPPeer>(watches, pools_namespace, News::Peer));
    all.push(of_metallb::<BFDProfile>(watches, pools_namespace, News::Profile));
    all.push(of_metallb::<Community>(watches, pools_namespace, News::Community));
    all
}

fn told<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    news: fn(Box<Event<K>>) -> News,
) -> BoxStream<'static, News> {
    events.filter_map(move |event| ready(event.ok().map(Box::new).map(news))).boxed()
}

/// Read as they come, not as our type: an object of the wrong shape must not end the watch of all.
fn of_metallb<K>(
    watches: &Watches,
    namespace: Option<&str>,
    news: fn(Box<Event<DynamicObject>>) -> News,
) -> BoxStream<'static, News>
where
    K: Resource<DynamicType = ()> + CustomResourceExt,
{
    let (kind, name, namespace) =
        (ApiResource::erase::<K>(&()), K::crd_name().to_owned(), namespace.map(str::to_owned));
    let api = move |client| match &namespace {
        Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let events = watches.follow(&name.clone(), api);
    events
        .filter_map(move |event| {
            let told = match event {
                Ok(event) => Some(news(Box::new(event))),
                Err(error) => is_unknown(&error).then(|| News::NoKind(name.clone())),
            };
            ready(told)
        })
        .boxed()
}

/// Whether the API server does not know the kind that it was asked for.
fn is_unknown(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) = error else {
        return false;
    };
    matches!(cause, kube::Error::Api(status) if status.code == 404)
}

/// What is known of the cluster, and since when it is known.
pub(super) struct ClusterState {
    classes: ClassRule,
    ignore_exclude_label: bool,
    services: Mirror<(ServiceKey, Arc<ServiceView>)>,
    slices: Mirror<(ServiceKey, ServingNodes)>,
    nodes: Mirror<Arc<NodeView>>,
    pools: Mirror<Definition>,
    layer2: Mirror<Written<L2AdvertisementSpec>>,
    bgp: Mirror<Written<BGPAdvertisementSpec>>,
    peers: Mirror<Written<BGPPeerSpec>>,
    profiles: Mirror<Written<BFDProfileSpec>>,
    communities: Mirror<Written<CommunitySpec>>,
    /// What is in force of the definitions above.
    in_force: Option<(Pools, Announcing)>,
    /// What is wrong with definitions about announcing.
    wrong: Vec<ObjectMistakes>,
    /// Mistakes in pools that were logged, so that each is said once. Whoever gives addresses out says them to the user.
    mistakes: Vec<String>,
    pending: Option<PendingDefinitions>,
}

/// Definitions that have changed and are not in force yet.
#[derive(Clone, Copy)]
struct PendingDefinitions {
    first: Instant,
    last: Instant,
}

impl PendingDefinitions {
    fn due(self) -> Instant {
        (self.last + DEBOUNCE_QUIET).min(self.first + DEBOUNCE_MAX)
    }
}

impl ClusterState {
    pub(super) fn new(classes: ClassRule, ignore_exclude_label: bool, with_bgp: bool) -> Self {
        let mut known = ClusterState {
            classes,
            ignore_exclude_label,
            services: Mirror::default(),
            slices: Mirror::default(),
            nodes: Mirror::default(),
            pools: Mirror::default(),
            layer2: Mirror::default(),
            bgp: Mirror::default(),
            peers: Mirror::default(),
            profiles: Mirror::default(),
            communities: Mirror::default(),
            in_force: None,
            wrong: Vec::new(),
            mistakes: Vec::new(),
            pending: None,
        };
        if !with_bgp {
            // What is not followed is not waited for.
            known.bgp.has_no_kind();
            known.peers.has_no_kind();
            known.profiles.has_no_kind();
            known.communities.has_no_kind();
        }
        known
    }

    /// Takes in what a watch told. True if something is to be decided anew.
    pub(super) fn apply(&mut self, now: Instant, news: News) -> bool {
        let definitions = match news {
            News::Service(event) => {
                return self.services.apply(*event, kept_of_service) && self.is_complete();
            }
            News::Slice(event) => return self.slices.apply(*event, kept_of_slice) && self.is_complete(),
            News::Node(event) => {
                return self.nodes.apply(*event, |Lean(node)| Some(Arc::new(node_view(node))))
                    && self.is_complete();
            }
            News::Pool(event) => self.pools.apply(*event, |object| Some(written(object))),
            News::Layer2(event) => self.layer2.apply(*event, |object| Some(written(object))),
            News::Bgp(event) => self.bgp.apply(*event, |object| Some(written(object))),
            News::Peer(event) => self.peers.apply(*event, |object| Some(written(object))),
            News::Profile(event) => self.profiles.apply(*event, |object| Some(written(object))),
            News::Community(event) => self.communities.apply(*event, |object| Some(written(object))),
            News::NoKind(name) => match name {
                name if name == IPAddressPool::crd_name() => self.pools.has_no_kind(),
                name if name == BGPAdvertisement::crd_name() => self.bgp.has_no_kind(),
                name if name == BGPPeer::crd_name() => self.peers.has_no_kind(),
                name if name == BFDProfile::crd_name() => self.profiles.has_no_kind(),
                name if name == Community::crd_name() => self.communities.has_no_kind(),
                _ => self.layer2.has_no_kind(),
            },
        };
        if !definitions {
            return false;
        }
        if self.in_force.is_none() {
            // Nothing is announced yet that could be lost.
            return self.is_complete();
        }
        let pending = self.pending.get_or_insert(PendingDefinitions { first: now, last: now });
        pending.last = now;
        false
    }

    /// When changed definitions are to be put in force; none if nothing has changed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.map(PendingDefinitions::due)
    }

    /// Puts changed definitions in force, if it is time. True if it was.
    pub(super) fn put_in_force(&mut self, now: Instant) -> bool {
        let due = self.pending.is_some_and(|pending| pending.due() <= now);
        if due {
            self.pending = None;
            self.read_definitions();
        }
        due
    }

    /// What is waited for, in the API server's words, before anything can be decided.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        [
            (self.services.is_listed(), "services"),
            (self.slices.is_listed(), "endpointslices"),
            (self.nodes.is_listed(), "nodes"),
            (self.pools.is_listed(), "ipaddresspools.metallb.io"),
            (self.layer2.is_listed(), "l2advertisements.metallb.io"),
            (self.bgp.is_listed(), "bgpadvertisements.metallb.io"),
            (self.peers.is_listed(), "bgppeers.metallb.io"),
            (self.profiles.is_listed(), "bfdprofiles.metallb.io"),
            (self.communities.is_listed(), "communities.metallb.io"),
        ]
        .into_iter()
        .filter_map(|(listed, name)| (!listed).then_some(name))
        .collect()
    }

    fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// All that is decided from; none while a first list is not in.
    pub(super) fn view(&mut self) -> Option<View> {
        if !self.is_complete() {
            return None;
        }
        if self.in_force.is_none() {
            self.read_definitions();
        }
        let (pools, announcing) = self.in_force.clone()?;
        let mut serving: BTreeMap<ServiceKey, ServingNodes> = BTreeMap::new();
        for (service, of_slice) in self.slices.values() {
            let before = serving.remove(service).unwrap_or_default();
            serving.insert(service.clone(), before.and(of_slice.clone()));
        }
        Some(View {
            classes: Some(self.classes.clone()),
            services: self.services.values().cloned().collect(),
            serving,
            nodes: self.nodes.values().map(|node| (node.name.as_str().into(), node.clone())).collect(),
            pools,
            announcing,
            ignore_exclude_label: self.ignore_exclude_label,
        })
    }

    /// What is wrong with definitions about announcing, of which the last good version is in force, or nothing.
    pub(super) fn wrong(&self) -> &[ObjectMistakes] {
        &self.wrong
    }

    fn read_definitions(&mut self) {
        let (pools, announcing) = self.in_force.take().unwrap_or_default();
        let definitions: Vec<Definition> = self.pools.values().cloned().collect();
        let (pools, wrong_pools) = pools.update(&definitions);
        let said = Definitions {
            layer2: self.layer2.values().cloned().collect(),
            bgp: self.bgp.values().cloned().collect(),
            peers: self.peers.values().cloned().collect(),
            bfd_profiles: self.profiles.values().cloned().collect(),
            communities: self.communities.values().cloned().collect(),
        };
        let (announcing, wrong) = announcing.update(&said);
        let mistakes: Vec<String> = wrong_pools.iter().map(ToString::to_string).collect();
        for mistake in mistakes.iter().filter(|mistake| !self.mistakes.contains(mistake)) {
            tracing::warn!("{mistake}");
        }
        self.mistakes = mistakes;
        self.wrong = wrong;
        self.in_force = Some((pools, announcing));
    }
}

/// A Service that is no LoadBalancer is not announced, and there are many of them.
fn kept_of_service(Lean(service): &Lean<Service>) -> Option<(ServiceKey, Arc<ServiceView>)> {
    service
        .spec
        .as_ref()
        .is_some_and(is_load_balancer)
        .then(|| (service_key(service), Arc::new(service_view(service))))
}

fn kept_of_slice(slice: &EndpointSlice) -> Option<(ServiceKey, ServingNodes)> {
    Some((service_of_slice(slice)?, endpoints_of_slice(slice).iter().collect()))
}

fn written<S: ResourceSpec>(object: &DynamicObject) -> Written<S> {
    Written::read(&object.metadata, object.data.get("spec").cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "192.0.2.7";

    fn object<K: serde::de::DeserializeOwned>(object: Value) -> K {
        serde_json::from_value(object).expect("an object")
    }

    fn pool() -> DynamicObject {
        object(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": { "name": "lan", "namespace": "metallb-system" },
            "spec": { "addresses": ["192.0.2.0/28"] },
        }))
    }

    fn advertisement() -> DynamicObject {
        object(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
            "metadata": { "name": "lan", "namespace": "metallb-system" },
        }))
    }

    fn service() -> Lean<Service> {
        object(json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "1" },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
            "status": { "loadBalancer": { "ingress": [{ "ip": ADDRESS }] } },
        }))
    }

    fn slice() -> EndpointSlice {
        object(json!({
            "metadata": { "name": "web-1", "namespace": "shop", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"], "nodeName": "n1" }],
        }))
    }

    fn list<K>(objects: Vec<K>, news: fn(Box<Event<K>>) -> News) -> Vec<News> {
        let objects = objects.into_iter().map(Event::InitApply);
        std::iter::once(Event::Init).chain(objects).chain([Event::InitDone]).map(Box::new).map(news).collect()
    }

    /// Everything but the advertisements.
    fn nearly_all() -> Vec<News> {
        let node: Lean<Node> = object(json!({ "metadata": { "name": "n1" } }));
        let mut all = list(vec![service()], News::Service);
        all.extend(list(vec![slice()], News::Slice));
        all.extend(list(vec![node], News::Node));
        all.extend(list(vec![pool()], News::Pool));
        for kind in [News::Bgp, News::Peer, News::Profile, News::Community] {
            all.extend(list(Vec::new(), kind));
        }
        all
    }

    fn known() -> (ClusterState, Instant) {
        let (mut known, now) = (ClusterState::new(ClassRule::default(), false, true), Instant::now());
        for news in nearly_all().into_iter().chain(list(vec![advertisement()], News::Layer2)) {
            known.apply(now, news);
        }
        assert!(announced(&mut known));
        (known, now)
    }

    fn announced(known: &mut ClusterState) -> bool {
        let view = known.view().expect("a view");
        let all = crate::announcements::layer2(&view);
        all[&ADDRESS.parse().expect("an address")].candidates().any(|(node, _)| &**node == "n1")
    }

    #[test]
    fn nothing_is_decided_before_every_first_list_is_in() {
        let (mut known, now) = (ClusterState::new(ClassRule::default(), false, true), Instant::now());
        for news in nearly_all() {
            assert!(!known.apply(now, news));
        }
        assert_eq!(known.missing(), ["l2advertisements.metallb.io"]);
        assert!(known.view().is_none());
        let decides: Vec<bool> = list(vec![advertisement()], News::Layer2)
            .into_iter()
            .map(|news| known.apply(now, news))
            .collect();
        assert_eq!(decides, [false, false, true]);
        assert!(announced(&mut known));
    }

    #[test]
    fn a_kind_that_the_api_server_does_not_know_has_no_objects() {
        let (mut known, now) = (ClusterState::new(ClassRule::default(), false, true), Instant::now());
        for news in nearly_all() {
            known.apply(now, news);
        }
        assert!(known.apply(now, News::NoKind("l2advertisements.metallb.io".to_owned())));
        assert!(!announced(&mut known));
    }

    #[test]
    fn a_pool_that_is_replaced_takes_nothing_away() {
        let (mut known, now) = known();
        assert!(!known.apply(now, News::Pool(Box::new(Event::Delete(pool())))));
        let soon = now + DEBOUNCE_QUIET / 2;
        assert!(!known.put_in_force(soon) && announced(&mut known));
        assert!(!known.apply(soon, News::Pool(Box::new(Event::Apply(pool())))));
        let due = known.due().expect("a change");
        assert_eq!(due, soon + DEBOUNCE_QUIET);
        assert!(known.put_in_force(due) && announced(&mut known));
        assert_eq!(known.due(), None);
    }

    #[test]
    fn definitions_that_never_rest_are_put_in_force_after_a_second() {
        let (mut known, now) = known();
        for quiet in 0..10 {
            let then = now + quiet * DEBOUNCE_QUIET / 2;
            known.apply(then, News::Pool(Box::new(Event::Delete(pool()))));
            known.apply(then, News::Pool(Box::new(Event::Apply(pool()))));
        }
        assert_eq!(known.due(), Some(now + DEBOUNCE_MAX));
    }

    #[test]
    fn a_pool_that_goes_is_gone_once_that_has_settled() {
        let (mut known, now) = known();
        known.apply(now, News::Pool(Box::new(Event::Delete(pool()))));
        assert!(known.put_in_force(now + DEBOUNCE_QUIET));
        assert!(!announced(&mut known));
    }

    #[test]
    fn an_endpoint_that_goes_is_followed_at_once() {
        let (mut known, now) = known();
        assert!(known.apply(now, News::Slice(Box::new(Event::Delete(slice())))));
        assert!(!announced(&mut known));
    }
}
