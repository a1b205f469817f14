//! The providers that this process runs, and which Services are whose.

use std::ops::Index;
use std::sync::Arc;

use cloud_provider::{BackendInterest, CloudLoadBalancer, ServiceId, ServiceView};

use crate::decide::ProviderIndex;
use crate::resumption::Resumption;
use crate::retry::{RetryConfig, ThrottleGate};
use crate::service::Tracked;

/// A provider and the gate before its calls.
pub(crate) struct ProviderHandle {
    /// The provider.
    pub provider: Arc<dyn CloudLoadBalancer>,
    /// Tripped when its API throttles.
    pub throttle: ThrottleGate,
    /// Whether it has rebuilt what it knows.
    pub(crate) resumption: Resumption,
}

/// The providers, in order of preference.
pub(crate) struct Providers(Vec<ProviderHandle>);

impl Providers {
    /// These, in order of preference.
    pub(crate) fn new(providers: &[Arc<dyn CloudLoadBalancer>], retry: RetryConfig) -> Self {
        let handle = |provider: &Arc<dyn CloudLoadBalancer>| ProviderHandle {
            provider: provider.clone(),
            throttle: ThrottleGate::new(retry),
            resumption: Resumption::default(),
        };
        Providers(providers.iter().map(handle).collect())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, ProviderHandle> {
        self.0.iter()
    }

    /// Their indices.
    pub(crate) fn indices(&self) -> std::ops::Range<ProviderIndex> {
        0..self.0.len()
    }

    /// The provider of this name.
    pub(crate) fn named(&self, name: &str) -> Option<ProviderIndex> {
        self.0.iter().position(|handle| handle.provider.name() == name)
    }

    /// A provider's name.
    pub(crate) fn name(&self, provider: ProviderIndex) -> &str {
        self[provider].provider.name()
    }

    /// Whoever would serve this Service if it wanted a load balancer.
    pub(crate) fn claimer(&self, view: &ServiceView) -> Option<ProviderIndex> {
        self.indices().find(|provider| self.would_claim(*provider, view))
    }

    /// Who recorded itself on the Service, as this installation: see [`is_ours`](Self::is_ours).
    pub(crate) fn recorded_on<'a>(
        &'a self,
        tracked: &'a Tracked,
    ) -> impl Iterator<Item = ProviderIndex> + 'a {
        let named = tracked.records.iter().filter_map(|record| self.named(&record.provider));
        named.filter(|provider| self.is_ours(*provider, tracked))
    }

    /// Who was told of the Service when it resumed, and not asked about it since.
    pub(crate) fn resumed_with<'a>(
        &'a self,
        service: &'a ServiceId,
    ) -> impl Iterator<Item = ProviderIndex> + 'a {
        self.indices().filter(|provider| self[*provider].resumption.may_hold(service))
    }

    /// Whether a Service has to do with a provider that has only just begun to resume. Who is gone may have been
    /// anybody's.
    pub(crate) fn are_awaited_by(&self, tracked: Option<&Tracked>, is_gone: bool) -> bool {
        let has_just_begun = |provider: ProviderIndex| self[provider].resumption.has_just_begun();
        let concerned =
            tracked.map(|tracked| self.claimer(&tracked.view).into_iter().chain(self.recorded_on(tracked)));
        concerned.is_some_and(|mut concerned| concerned.any(has_just_begun))
            || (is_gone && self.indices().any(has_just_begun))
    }

    /// What of the backends matters for a Service to whoever claims it: as the Service is now, and as it was when it was
    /// last served, since what serves goes by that while the present one has a mistake.
    pub(crate) fn interests(
        &self,
        view: &ServiceView,
        last_valid: Option<&ServiceView>,
    ) -> Vec<BackendInterest> {
        let Some(claimer) = self.claimer(view) else { return Vec::new() };
        let provider = &self[claimer].provider;
        let views = [Some(view), last_valid.filter(|valid| *valid != view)];
        views.into_iter().flatten().map(|view| provider.backends(view)).collect()
    }

    /// Tells every provider whose this Service is not that it is there, so that none hands out what it shows; and every
    /// provider whose it was not `before`, when it shows nothing any more because it is no load balancer, so that what it
    /// showed is free again.
    pub(crate) fn observe_foreign(&self, service: &Tracked, before: Option<&Tracked>) {
        let is_foreign = |service: &Tracked, provider: ProviderIndex| {
            service.is_load_balancer && self.claimer(&service.view) != Some(provider)
        };
        let told = self.indices().filter(|provider| {
            let was_foreign = before.is_some_and(|before| is_foreign(before, *provider));
            is_foreign(service, *provider) || (!service.is_load_balancer && was_foreign)
        });
        told.for_each(|provider| self[provider].provider.observe_foreign(&service.view));
    }

    /// The name of the provider whose a Service is: whoever claims it, or else has recorded itself on it.
    pub(crate) fn owner_name(&self, tracked: &Tracked) -> Option<&str> {
        let claimer = if tracked.is_load_balancer { self.claimer(&tracked.view) } else { None };
        claimer.or_else(|| self.recorded_on(tracked).next()).map(|provider| self.name(provider))
    }

    /// Who may hold something for a Service that has gone: whoever recorded itself or resumed with it, whoever would claim
    /// it, and everybody whose release costs no cloud call (a foreign Service's published address was theirs to avoid).
    pub(crate) fn possible_holders(&self, last: &Tracked) -> Vec<ProviderIndex> {
        let recorded: Vec<_> = self.recorded_on(last).collect();
        let claimer = self.claimer(&last.view);
        let may_hold = |provider: &ProviderIndex| {
            recorded.contains(provider)
                || self[*provider].resumption.may_hold(&last.view.id)
                || claimer == Some(*provider)
                || !self[*provider].provider.holds_resources()
        };
        self.indices().filter(may_hold).collect()
    }

    /// Whether what a provider of this name recorded on a Service was recorded by this installation.
    ///
    /// Another installation may run a provider of the same name for another class. What is recorded under a class that
    /// we do not claim today is therefore not ours to touch: the API lets nobody change the class of a living Service of
    /// type `LoadBalancer`, so either it is the other's, or our configuration is wrong at the moment. A record without a
    /// class, of a version before, counts by the class that the Service has now.
    fn is_ours(&self, provider: ProviderIndex, tracked: &Tracked) -> bool {
        let class = match tracked.recorded_class(self.name(provider)) {
            Some("") => None,
            Some(class) => Some(class.to_owned()),
            None => return self.would_claim(provider, &tracked.view),
        };
        let mut recorded = (*tracked.view).clone();
        recorded.class = class;
        self.would_claim(provider, &recorded)
    }

    fn would_claim(&self, provider: ProviderIndex, view: &ServiceView) -> bool {
        let provider = &self[provider].provider;
        if view.wants_load_balancer {
            return provider.claims(view);
        }
        let mut wanting = view.clone();
        wanting.wants_load_balancer = true;
        provider.claims(&wanting)
    }
}

impl Index<ProviderIndex> for Providers {
    type Output = ProviderHandle;

    fn index(&self, provider: ProviderIndex) -> &ProviderHandle {
        &self.0[provider]
    }
}
