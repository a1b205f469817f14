//! A Service with mistakes whose load balancer exists: what depends on none of them is brought to what it should be, and what
//! does stays as it is found. Whether this process has seen the Service without them is all the same.

use std::time::Duration;

use cloud_provider::{Error, Plan, Request};

use crate::converge::{LOOKS_PER_CALL, Prepared};
use crate::failure::{general, together};
use crate::mistaken::Mistaken;
use crate::options::Parsed;
use crate::outcome::told;
use crate::plan::{self, Planned};
use crate::provider::AwsProvider;
use crate::site::Unsurveyed;

/// What came of a Service with mistakes.
pub(crate) struct Beside {
    /// What the controller is told.
    pub(crate) error: Error,
    /// Whether time may bring more of it about, without a change of the Service.
    pub(crate) may_pass: bool,
}

/// What can be done for a Service with mistakes.
enum Found {
    /// Nothing: a load balancer would have to be made, replaced or taken over, or nothing is decided.
    Nothing(Mistaken),
    /// This, which may be no step at all.
    Rest(Mistaken, Box<(Prepared, Planned)>),
}

impl AwsProvider {
    /// Carries out what depends on no mistake.
    pub(crate) async fn converge_beside(&self, request: &Request, mistaken: Mistaken) -> Beside {
        self.memory.unfinished.forget(&request.service().id.uid);
        let mut max_age = self.config.snapshot_age;
        for _ in 0..LOOKS_PER_CALL {
            match self.carry_out_beside(request, mistaken.clone(), max_age).await {
                Ok(Some(beside)) => return beside,
                Ok(None) => max_age = Duration::ZERO,
                Err(error) => return Beside { error, may_pass: true },
            }
        }
        let error = Error::transient("what exists at AWS changes faster than it can be looked at");
        Beside { error, may_pass: true }
    }

    /// None when AWS was not as the plan saw it.
    async fn carry_out_beside(
        &self,
        request: &Request,
        mistaken: Mistaken,
        max_age: Duration,
    ) -> Result<Option<Beside>, Error> {
        let service = request.service();
        let (mistaken, prepared, planned) = match self.look_beside(request, mistaken, max_age).await? {
            Found::Nothing(mistaken) => {
                let may_pass = mistaken.may_pass;
                return Ok(Some(Beside { error: mistaken.refused(), may_pass }));
            }
            Found::Rest(mistaken, rest) => (mistaken, rest.0, rest.1),
        };
        if !planned.actions.is_empty() {
            self.memory.doubt(&service.id.uid);
        }
        let mut applier = self.applier(&service.id, planned.ids);
        let run = applier.run(&planned.actions).await;
        if run.is_stale {
            return Ok(None);
        }
        if let (true, Some(nodes)) = (mistaken.opens_nodes(), &prepared.desired.groups.nodes) {
            self.remember_opened(&prepared.node_groups, &nodes.traffic, &run.failures);
        }
        let mut may_pass = mistaken.may_pass
            || applier.refused_targets
            || !planned.waits.is_empty()
            || !run.failures.is_empty();
        let mut errors: Vec<Error> =
            run.failures.into_iter().map(|(part, failure)| told(&part, failure, service)).collect();
        if errors.is_empty() && mistaken.leaves_targets() {
            errors.extend(self.update(request).await.err());
            may_pass |= !errors.is_empty();
        }
        let mistakes = Error::InvalidInPart(mistaken.in_part());
        let error = together([mistakes].into_iter().chain(errors).collect());
        Ok(error.map(|error| Beside { error, may_pass }))
    }

    /// What would be carried out; all mistakes beside it.
    pub(crate) async fn plan_beside(&self, request: &Request, mistaken: Mistaken) -> Result<Plan, Error> {
        match self.look_beside(request, mistaken, self.config.snapshot_age).await? {
            Found::Nothing(mistaken) => Err(mistaken.refused()),
            Found::Rest(mistaken, rest) if rest.1.actions.is_empty() => {
                Err(Error::InvalidInPart(mistaken.in_part()))
            }
            Found::Rest(mistaken, rest) => {
                Ok(Plan::new(rest.1.actions.iter().map(plan::Action::step)).beside(mistaken.in_part()))
            }
        }
    }

    async fn look_beside(
        &self,
        request: &Request,
        mut mistaken: Mistaken,
        max_age: Duration,
    ) -> Result<Found, Error> {
        let service = request.service();
        let found = self.observer().glance(&service.id, max_age).await.map_err(general)?;
        let mut prepared = loop {
            let Some(load_balancer) = mistaken.load_balancer(&found) else {
                return Ok(Found::Nothing(mistaken));
            };
            let parsed = Parsed { spec: mistaken.spec_beside(load_balancer), notes: Vec::new() };
            match self.prepare_found(request, &parsed, found.clone()).await {
                Ok(prepared) => break prepared,
                Err(Unsurveyed::Failed(Error::Invalid(more))) => match mistaken.clone().and(more) {
                    Some(more) => mistaken = more,
                    None => return Ok(Found::Nothing(mistaken)),
                },
                Err(Unsurveyed::Failed(error)) => return Err(error),
                Err(Unsurveyed::NoVpc(_)) => return Ok(Found::Nothing(mistaken)),
            }
        };
        if self.is_settled(service, &prepared) && !self.memory.verification.is_due(&service.id.uid) {
            return Ok(Found::Rest(mistaken, Box::new((prepared, Planned::default()))));
        }
        let node_groups = prepared.node_groups.clone();
        let observed = self.observe(service, &mut prepared, &node_groups).await?;
        let planned = plan::plan_beside(&prepared.desired, &observed, &prepared.limits, &mistaken.undecided);
        Ok(match planned {
            None => Found::Nothing(mistaken),
            Some(planned) => Found::Rest(mistaken, Box::new((prepared, planned))),
        })
    }
}
