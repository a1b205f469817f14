//! Where a clause plays: a process of the provider, and the Services in the cluster.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use super::Harness;
use crate::address::{Ingress, IpMode, Published};
use crate::backends::{BackendInterest, Backends};
use crate::error::{Error, ErrorClass};
use crate::node::NodeSet;
use crate::plan::Plan;
use crate::provider::{CloudLoadBalancer, Outcome, Owned, Request, WakeupStream};
use crate::service::{ServiceId, ServiceView};
use crate::testing::request;

/// How often the platform may have to move on before a Service is ready.
pub(super) const MAX_SETTLES: usize = 50;

/// How often a future is polled before it is dropped, in turn: close together at first, where calls are short.
pub(super) const POLLS: [usize; 10] = [1, 2, 3, 4, 5, 8, 13, 21, 34, 55];

/// One of the Services on the stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor(usize);

pub(super) struct Stage<'a> {
    pub(super) harness: &'a dyn Harness,
    pub(super) provider: Arc<dyn CloudLoadBalancer>,
    /// Only ever reached by `&mut`; the lock lets a clause's future be spawned.
    wakeups: Mutex<WakeupStream>,
    pub(super) nodes: NodeSet,
    /// How many endpoints each Service has; none while they are unknown. Told only to those who ask, as the controller does.
    pub(super) endpoints: Option<u8>,
    clause: &'static str,
    services: Vec<ServiceView>,
    vanished: BTreeSet<usize>,
}

impl<'a> Stage<'a> {
    /// A new process in an empty cluster.
    pub(super) async fn open(harness: &'a dyn Harness, clause: &'static str) -> Self {
        let provider = harness.start().await;
        provider.stand_by();
        let wakeups = Mutex::new(provider.wakeups());
        let mut stage = Stage {
            harness,
            provider,
            wakeups,
            nodes: harness.nodes(2),
            endpoints: Some(2),
            clause,
            services: Vec::new(),
            vanished: BTreeSet::new(),
        };
        stage.resume().await;
        stage.nothing_exists("before the clause began").await;
        stage
    }

    /// Deletes every Service; nothing may be left.
    pub(super) async fn close(mut self) {
        for i in 0..self.services.len() {
            self.delete(Actor(i)).await;
        }
        self.nothing_exists("after every Service was deleted").await;
    }

    /// A Service that the provider claims. Names are never used twice, clauses included.
    pub(super) fn add(&mut self, name: &str) -> Actor {
        let name = format!("{}-{name}-{}", self.clause.replace('_', "-"), self.services.len());
        self.add_view(self.harness.service(&name))
    }

    pub(super) fn add_view(&mut self, service: ServiceView) -> Actor {
        self.services.push(service);
        Actor(self.services.len() - 1)
    }

    /// The Service is no longer in the cluster; what it has outside is.
    pub(super) fn vanish(&mut self, actor: Actor) {
        self.vanished.insert(actor.0);
    }

    pub(super) fn view(&self, actor: Actor) -> &ServiceView {
        &self.services[actor.0]
    }

    pub(super) fn view_mut(&mut self, actor: Actor) -> &mut ServiceView {
        &mut self.services[actor.0]
    }

    pub(super) fn wakeups(&mut self) -> &mut WakeupStream {
        self.wakeups.get_mut()
    }

    pub(super) fn id(&self, actor: Actor) -> ServiceId {
        self.view(actor).id.clone()
    }

    pub(super) fn edit(&mut self, actor: Actor) {
        let edited = self.harness.edited(self.view(actor));
        *self.view_mut(actor) = edited;
    }

    pub(super) fn interest(&self, actor: Actor) -> BackendInterest {
        self.provider.backends(self.view(actor))
    }

    pub(super) fn backends(&self, actor: Actor) -> Backends {
        let nodes = Backends::of_nodes(self.nodes.clone());
        match self.endpoints.filter(|_| self.interest(actor).endpoints) {
            Some(count) => nodes.with_endpoints(self.harness.endpoints(self.view(actor), count)),
            None => nodes,
        }
    }

    pub(super) fn request(&self, actor: Actor) -> Request {
        request(self.view(actor), &self.backends(actor))
    }

    /// Ends the process and starts another, which resumes.
    pub(super) async fn restart(&mut self) {
        self.start().await;
        self.resume().await;
    }

    /// Ends the process and starts another, which has not resumed.
    pub(super) async fn start(&mut self) {
        self.provider = self.harness.start().await;
        self.provider.stand_by();
        self.wakeups = Mutex::new(self.provider.wakeups());
    }

    pub(super) async fn resume(&mut self) {
        let resumed = self.try_resume().await;
        self.success(resumed, "resume");
    }

    pub(super) async fn try_resume(&self) -> Result<(), Error> {
        let here = self.services.iter().enumerate().filter(|(i, _)| !self.vanished.contains(i));
        let services: Vec<_> = here.map(|(_, service)| Arc::new(service.clone())).collect();
        self.provider.resume(&services).await
    }

    /// One `ensure`; what it publishes is written on the Service.
    pub(super) async fn try_ensure(&mut self, actor: Actor) -> Result<Outcome, Error> {
        let outcome = self.provider.ensure(&self.request(actor)).await;
        if let Ok(outcome) = &outcome {
            self.write(actor, outcome);
        }
        outcome
    }

    pub(super) async fn ensure(&mut self, actor: Actor) -> Outcome {
        let outcome = self.try_ensure(actor).await;
        self.success(outcome, "ensure")
    }

    /// `ensure` until it is ready.
    pub(super) async fn ready(&mut self, actor: Actor) -> Published {
        let mut last = None;
        for _ in 0..MAX_SETTLES {
            match self.ensure(actor).await {
                Outcome::Ready(ready) => return ready.published,
                Outcome::Pending(pending) => last = Some(pending),
            }
            self.harness.settle().await;
        }
        self.fail(&format!("ensure is ready after at most {MAX_SETTLES} passes"), format!("still {last:?}"))
    }

    /// What the controller writes, and how the API server stores it.
    fn write(&mut self, actor: Actor, outcome: &Outcome) {
        let published = match outcome {
            Outcome::Ready(ready) => Some(&ready.published),
            Outcome::Pending(pending) => pending.publish.as_ref(),
        };
        if let Some(published) = published {
            let stored = |entry: &Ingress| {
                let ip_mode = entry.ip.map(|_| entry.ip_mode.unwrap_or(IpMode::Vip));
                Ingress { ip_mode, ..entry.clone() }
            };
            let service = self.view_mut(actor);
            service.published = published.ingress.iter().map(stored).collect();
            service.annotations.extend(published.annotations.clone());
        }
    }

    /// Deletes what the Service has outside, and its status. A deletion may take time, and fails as transient
    /// until it is over.
    pub(super) async fn delete(&mut self, actor: Actor) {
        let mut deleted = self.provider.delete(&self.id(actor)).await;
        for _ in 0..MAX_SETTLES {
            match &deleted {
                Err(error) if error.class() == ErrorClass::Transient => self.harness.settle().await,
                _ => break,
            }
            deleted = self.provider.delete(&self.id(actor)).await;
        }
        self.success(deleted, "delete");
        self.view_mut(actor).published.clear();
    }

    pub(super) async fn get(&self, actor: Actor) -> Option<Published> {
        let found = self.provider.get(self.view(actor)).await;
        self.success(found, "get")
    }

    pub(super) async fn plan(&self, actor: Actor) -> Plan {
        let plan = self.provider.plan(&self.request(actor)).await;
        self.success(plan, "plan")
    }

    pub(super) async fn list(&self) -> Vec<Owned> {
        let list = self.provider.list().await;
        self.success(list, "list")
    }

    pub(super) async fn update_backends(&self, actor: Actor) {
        let updated = self.provider.update_backends(&self.request(actor)).await;
        self.success(updated, "update_backends");
    }

    /// How many things `list` shows for this Service.
    pub(super) async fn count(&self, actor: Actor) -> usize {
        let uid = &self.view(actor).id.uid;
        self.list().await.iter().filter(|owned| owned.service.uid == *uid).count()
    }

    /// A `plan` for what has just been ensured is empty.
    pub(super) async fn nothing_to_do(&self, actor: Actor, when: &str) {
        self.nothing_to_do_for(actor, self.backends(actor), when).await;
    }

    /// A `plan` on these backends is empty.
    pub(super) async fn nothing_to_do_for(&self, actor: Actor, backends: Backends, when: &str) {
        let plan = self.provider.plan(&request(self.view(actor), &backends)).await;
        let plan = self.success(plan, "plan");
        self.expect(plan.is_empty(), &format!("an empty plan {when}"), format!("the plan is\n{plan}"));
    }

    /// `list` shows these Services and no others.
    pub(super) async fn exactly(&self, actors: &[Actor], when: &str) {
        let expected: BTreeSet<_> = actors.iter().map(|actor| self.id(*actor)).collect();
        let listed: BTreeSet<_> = self.list().await.into_iter().map(|owned| owned.service).collect();
        self.expect_eq(&listed, &expected, &format!("list to show exactly the Services ensured {when}"));
    }

    /// Neither `list` nor the platform shows anything.
    pub(super) async fn nothing_exists(&self, when: &str) {
        self.exactly(&[], when).await;
        let leftovers = self.harness.leftovers().await;
        self.expect(leftovers.is_empty(), &format!("nothing of ours to exist {when}"), leftovers.join(", "));
    }

    pub(super) fn success<T>(&self, result: Result<T, Error>, call: &str) -> T {
        result.unwrap_or_else(|error| self.fail(&format!("{call} to succeed"), format!("{error:?}")))
    }

    pub(super) fn expect(&self, kept: bool, expected: &str, happened: impl Display) {
        if !kept {
            self.fail(expected, happened);
        }
    }

    pub(super) fn expect_eq<T: PartialEq + Debug>(&self, found: &T, wanted: &T, expected: &str) {
        self.expect(found == wanted, expected, format!("{found:?} in place of {wanted:?}"));
    }

    /// The same addresses, in the same order, and the same annotations.
    pub(super) fn expect_same(&self, found: &Published, wanted: &Published, expected: &str) {
        let same = found.agrees_with(&wanted.ingress) && found.annotations == wanted.annotations;
        self.expect(same, expected, format!("{found:?} in place of {wanted:?}"));
    }

    pub(super) fn fail(&self, expected: &str, happened: impl Display) -> ! {
        panic!("conformance clause {}: expected {expected}; happened: {happened}", self.clause)
    }
}

/// Polls a future so many times, then drops it unless it is done.
pub(super) async fn give_up_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
