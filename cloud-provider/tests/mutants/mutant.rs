//! The in-memory provider with one flaw.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::testing::MemoryProvider;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, EndpointSet, Error, Mistakes, Outcome, Owned, Pending, Plan,
    Protocol, Published, Request, ServiceId, ServiceKey, ServiceView, SessionAffinity, SourceRanges, Step,
    Verb, WakeupStream,
};

/// What is wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    ClaimsEverything,
    ClaimsOnlyWhatItHasNotServed,
    PublishesWhatItDoesNotDeclare,
    GetInventsTheAbsent,
    GetForgetsAnnotations,
    PlanWrites,
    PlanIsNeverEmpty,
    PlanIsAlwaysEmpty,
    ListMissesOne,
    ListForgetsTheUid,
    EnsureMakesAnew,
    NeverReady,
    PendingWithoutWakeup,
    PendingWithoutReason,
    EnsureStaysBusyWhenDropped,
    EnsureGivesEverybodyTheSame,
    DeleteOfTheAbsentFails,
    DeleteDoesNothing,
    DeleteRefusesThePending,
    EnsureOnlyOnce,
    DeleteOnlyWhatThisProcessMade,
    DeleteByKey,
    DeleteByGet,
    DeleteStaysBusyWhenDropped,
    UpdateBackendsDoesNothing,
    UpdateBackendsFailsWithoutNodes,
    UpdateBackendsCreates,
    EnsureNeedsNodes,
    ResumeDeletesEverything,
    ResumeDeletesWhatIsNotPublished,
    ResumeOnlyOnce,
    GivesWhatOthersPublish,
    WakesStrangers,
    EnsureIgnoresEdits,
    EnsureDeletesOnFailure,
    EnsureSwallowsFailures,
    DeleteSwallowsFailures,
    UpdateBackendsSwallowsFailures,
    ResumeGivesUpAfterAFailure,
    ListSwallowsFailures,
    GetSwallowsFailures,
    PlanSwallowsFailures,
    EnsureClearsWhatItDidNotSee,
    UpdateBackendsRefusesMistakes,
    UpdateBackendsTakesTheMistakenPorts,
    EndpointsAreNotFollowed,
    TakesUnknownEndpointsForNone,
    NeedsNodesInSecret,
    HasNodesInSecret,
    NeedsEndpointsInSecret,
    ReadsNodeLabelsInSecret,
    ReadsAnnotationsInSecret,
    HoldsInSecret,
    BlocksTheThread,
    StandsByBlockingTheThread,
    ServesTcpAlone,
    OpensToEverybody,
    ServesOneFamily,
    AsksForNoEndpoints,
    ForgetsAffinity,
    InventsNodePorts,
    PassesOverMistakes,
    TakesWhatIsMissingForUnasked,
    PlansAsIfThereWereNoMistake,
    TellsMistakesTwice,
}

pub(crate) struct Mutant {
    inner: Arc<MemoryProvider>,
    flaw: Flaw,
    /// Memory of this process, as the flaws use it.
    seen: Mutex<BTreeSet<ServiceId>>,
    busy: AtomicBool,
    resumed: AtomicUsize,
}

impl Mutant {
    pub(crate) fn new(inner: Arc<MemoryProvider>, flaw: Flaw) -> Self {
        let (seen, busy, resumed) = Default::default();
        Mutant { inner, flaw, seen, busy, resumed }
    }

    fn saw(&self, service: &ServiceId) -> bool {
        !self.seen.lock().unwrap().insert(service.clone())
    }

    /// What a provider makes of a request that does not honour all of it.
    fn understood(&self, request: &Request) -> Request {
        let (mut service, mut backends) = (request.service().clone(), request.backends().clone());
        match self.flaw {
            Flaw::ServesTcpAlone => service.ports.retain(|port| port.protocol == Protocol::Tcp),
            Flaw::OpensToEverybody => service.source_ranges = SourceRanges::Unset,
            Flaw::ServesOneFamily => service.cluster_ips.truncate(1),
            Flaw::AsksForNoEndpoints => service.health_check_node_port = None,
            Flaw::ForgetsAffinity => service.session_affinity = SessionAffinity::None,
            Flaw::InventsNodePorts => {
                service.ports.iter_mut().for_each(|port| port.node_port = port.node_port.or(Some(30080)));
            }
            Flaw::TakesUnknownEndpointsForNone if backends.endpoints().is_none() => {
                backends = backends.with_endpoints(EndpointSet::default());
            }
            Flaw::PassesOverMistakes => service.mistakes.clear(),
            _ => return request.clone(),
        }
        Request::with_mistakes(Arc::new(service), backends)
    }

    fn has_seen(&self, service: &ServiceId) -> bool {
        self.seen.lock().unwrap().contains(service)
    }

    /// Runs under a flag that a dropped call leaves set.
    async fn busily<T>(&self, work: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        if self.busy.swap(true, Ordering::Relaxed) {
            return Err(Error::transient("still busy"));
        }
        let result = work.await;
        self.busy.store(false, Ordering::Relaxed);
        result
    }
}

fn without_mistakes(request: &Request) -> Request {
    let mut service = request.service().clone();
    service.mistakes.clear();
    Request::with_mistakes(Arc::new(service), request.backends().clone())
}

fn pending(reason: &str, after: Option<Duration>) -> Outcome {
    let pending = Pending::new(reason, "it takes time");
    Outcome::Pending(match after {
        Some(wait) => pending.look_again_after(wait),
        None => pending,
    })
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudLoadBalancer for Mutant {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn claims(&self, service: &ServiceView) -> bool {
        match self.flaw {
            Flaw::ClaimsEverything => true,
            Flaw::ClaimsOnlyWhatItHasNotServed => service.published.is_empty(),
            _ => self.inner.claims(service),
        }
    }

    fn holds_resources(&self) -> bool {
        self.flaw != Flaw::HoldsInSecret && self.inner.holds_resources()
    }

    fn reads_annotation(&self, key: &str) -> bool {
        self.flaw != Flaw::ReadsAnnotationsInSecret && self.inner.reads_annotation(key)
    }

    fn reads_label(&self, key: &str) -> bool {
        self.inner.reads_label(key)
    }

    fn backends(&self, service: &ServiceView) -> BackendInterest {
        match self.flaw {
            Flaw::NeedsNodesInSecret | Flaw::HasNodesInSecret => BackendInterest::none(),
            Flaw::NeedsEndpointsInSecret | Flaw::ReadsNodeLabelsInSecret => BackendInterest::nodes(),
            _ => self.inner.backends(service),
        }
    }

    fn serves_beside_mistakes(&self) -> bool {
        self.inner.serves_beside_mistakes()
    }

    fn published_annotations(&self) -> Vec<&str> {
        match self.flaw {
            Flaw::PublishesWhatItDoesNotDeclare => Vec::new(),
            _ => self.inner.published_annotations(),
        }
    }

    fn stand_by(&self) {
        if self.flaw == Flaw::StandsByBlockingTheThread {
            std::thread::sleep(Duration::from_millis(150));
        }
        self.inner.stand_by();
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        let times = self.resumed.fetch_add(1, Ordering::Relaxed);
        if times > 0 && matches!(self.flaw, Flaw::ResumeOnlyOnce | Flaw::ResumeGivesUpAfterAFailure) {
            return Err(Error::transient("resumed already"));
        }
        self.inner.resume(services).await?;
        for service in services {
            if self.flaw == Flaw::ResumeDeletesEverything
                || self.flaw == Flaw::ResumeDeletesWhatIsNotPublished && service.published.is_empty()
            {
                self.inner.delete(&service.id).await?;
            }
        }
        Ok(())
    }

    fn observe_foreign(&self, service: &ServiceView) {
        self.inner.observe_foreign(service);
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        let found = self.inner.get(service).await;
        if self.flaw == Flaw::GetSwallowsFailures && found.is_err() {
            return Ok(None);
        }
        let found = found?;
        Ok(match self.flaw {
            Flaw::GetInventsTheAbsent => Some(found.unwrap_or_default()),
            Flaw::GetForgetsAnnotations => found.map(|it| Published::new(it.ingress)),
            _ => found,
        })
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let request = &self.understood(request);
        let service = request.service();
        match self.flaw {
            Flaw::BlocksTheThread => std::thread::sleep(Duration::from_millis(150)),
            Flaw::EnsureMakesAnew => self.inner.delete(&service.id).await?,
            Flaw::EnsureOnlyOnce if self.saw(&service.id) && self.inner.get(service).await?.is_none() => {
                return Err(Error::transient("it was made already"));
            }
            Flaw::EnsureClearsWhatItDidNotSee if self.inner.get(service).await?.is_none() => {
                self.inner.delete(&service.id).await?;
            }
            Flaw::EnsureIgnoresEdits => {
                if let Some(found) = self.inner.get(service).await?.filter(|it| !it.ingress.is_empty()) {
                    return Ok(Outcome::ready(found));
                }
            }
            Flaw::EnsureNeedsNodes if request.nodes().is_empty() => return Err(Error::transient("no nodes")),
            Flaw::EnsureStaysBusyWhenDropped => return self.busily(self.inner.ensure(request)).await,
            _ => {}
        }
        let mistakes = Mistakes::new(service.mistakes.clone());
        if let (Flaw::TakesWhatIsMissingForUnasked, Some(mistakes)) = (self.flaw, mistakes) {
            if self.inner.get(service).await?.is_none() {
                return Err(mistakes.into());
            }
            self.inner.ensure(&without_mistakes(request)).await?;
            return Err(Error::InvalidInPart(mistakes));
        }
        let outcome = self.inner.ensure(request).await;
        if matches!(outcome, Ok(Outcome::Ready(_))) {
            self.saw(&service.id);
        }
        match self.flaw {
            Flaw::NeverReady => Ok(pending("Provisioning", Some(Duration::from_secs(1)))),
            Flaw::PendingWithoutWakeup => Ok(pending("Provisioning", None)),
            Flaw::PendingWithoutReason => Ok(pending("not yet", Some(Duration::from_secs(1)))),
            Flaw::EnsureGivesEverybodyTheSame | Flaw::GivesWhatOthersPublish => {
                Ok(Outcome::ready(Published::addresses(["192.0.2.1".parse().unwrap()])))
            }
            Flaw::EnsureDeletesOnFailure if outcome.is_err() => {
                self.inner.delete(&service.id).await?;
                outcome
            }
            Flaw::TellsMistakesTwice => outcome.map_err(|error| match error {
                Error::InvalidInPart(mistakes) => Error::InvalidInPart(mistakes.clone().and(mistakes)),
                error => error,
            }),
            Flaw::EnsureSwallowsFailures if outcome.is_err() => Ok(Outcome::ready(Published::default())),
            _ => outcome,
        }
    }

    async fn update_backends(&self, request: &Request) -> Result<(), Error> {
        let request = &self.understood(request);
        match self.flaw {
            Flaw::UpdateBackendsDoesNothing => Ok(()),
            Flaw::EndpointsAreNotFollowed => {
                let service = Arc::new(request.service().clone());
                self.inner.update_backends(&Request::with_mistakes(service, request.nodes().clone())).await
            }
            Flaw::UpdateBackendsRefusesMistakes => match request.service().mistakes.first() {
                Some(mistake) => Err(mistake.clone().into()),
                None => self.inner.update_backends(request).await,
            },
            Flaw::UpdateBackendsTakesTheMistakenPorts => match self.inner.get(request.service()).await? {
                Some(_) => self.inner.ensure(request).await.map(|_| ()),
                None => Ok(()),
            },
            Flaw::UpdateBackendsFailsWithoutNodes if request.nodes().is_empty() => {
                Err(Error::transient("no nodes"))
            }
            Flaw::UpdateBackendsCreates => self.inner.ensure(request).await.map(|_| ()),
            Flaw::UpdateBackendsSwallowsFailures => {
                // Thinks that what was tried was done.
                if self.saw(&request.service().id) {
                    return Ok(());
                }
                let _ = self.inner.update_backends(request).await;
                Ok(())
            }
            _ => self.inner.update_backends(request).await,
        }
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        let owned = self.inner.list().await?;
        let ours = owned.iter().any(|it| it.service == *service);
        match self.flaw {
            Flaw::DeleteOfTheAbsentFails if !ours => Err(Error::transient("not found")),
            Flaw::DeleteDoesNothing => Ok(()),
            Flaw::DeleteRefusesThePending if ours && !self.has_seen(service) => {
                Err(Error::transient("not yet"))
            }
            Flaw::DeleteOnlyWhatThisProcessMade if !self.has_seen(service) => Ok(()),
            Flaw::DeleteByKey => {
                for it in owned.iter().filter(|it| it.service.key == service.key) {
                    self.inner.delete(&it.service).await?;
                }
                Ok(())
            }
            Flaw::DeleteByGet
                if !owned.iter().any(|it| it.service == *service && it.resource.starts_with("load")) =>
            {
                Ok(())
            }
            Flaw::DeleteStaysBusyWhenDropped => self.busily(self.inner.delete(service)).await,
            Flaw::DeleteSwallowsFailures => {
                let _ = self.inner.delete(service).await;
                Ok(())
            }
            _ => self.inner.delete(service).await,
        }
    }

    fn wakeups(&self) -> WakeupStream {
        match self.flaw {
            Flaw::WakesStrangers => Box::pin(futures::stream::iter([ServiceKey::new("nobody", "nothing")])),
            _ => self.inner.wakeups(),
        }
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let request = &match self.flaw {
            Flaw::PlansAsIfThereWereNoMistake if self.inner.get(request.service()).await?.is_some() => {
                without_mistakes(request)
            }
            _ => self.understood(request),
        };
        let plan = self.inner.plan(request).await;
        if self.flaw == Flaw::PlanSwallowsFailures && plan.is_err() {
            return Ok(Plan::new([Step::new(Verb::Create, "load balancer", "it", "none was found")]));
        }
        let plan = plan?;
        match self.flaw {
            Flaw::PlanWrites => {
                self.inner.ensure(request).await?;
            }
            Flaw::PlanIsAlwaysEmpty => return Ok(Plan::default()),
            Flaw::HasNodesInSecret if self.inner.get(request.service()).await?.is_some() => {
                return Ok(Plan::default());
            }
            Flaw::PlanIsNeverEmpty if plan.is_empty() => {
                return Ok(Plan::new([Step::new(Verb::Change, "load balancer", "it", "to be sure")]));
            }
            _ => {}
        }
        Ok(plan)
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        let listed = self.inner.list().await;
        match self.flaw {
            Flaw::ListSwallowsFailures => Ok(listed.unwrap_or_default()),
            Flaw::ListMissesOne => {
                let mut listed = listed?;
                let last = listed.iter().map(|it| it.service.clone()).max();
                listed.retain(|it| Some(&it.service) != last.as_ref());
                Ok(listed)
            }
            Flaw::ListForgetsTheUid => {
                let mut listed = listed?;
                listed.iter_mut().for_each(|it| it.service.uid = "".into());
                Ok(listed)
            }
            _ => listed,
        }
    }
}
