//! Services that wait for something that passes by itself at AWS, and who notices that it has.
//!
//! A load balancer takes AWS a while to make, minutes as a rule. Rather than that each Service asks for its own again and
//! again, those that are being made are asked for together, twenty a request, soon after they were asked for and with pauses
//! that grow; each Service is woken when its turn has come.
//!
//! And what AWS refuses today it may take later: a certificate is issued, an address becomes free, a subnet is tagged.
//! Such a Service is woken now and then, with growing pauses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{DoublingPause, ServiceKey, WakeupStream};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::{ARNS_PER_CALL, Aws, LoadBalancerState, Select};
use crate::error::ErrorKind;

/// Before another look at what AWS refused.
const PAUSE: DoublingPause = DoublingPause::new(Duration::from_secs(60), Duration::from_secs(900));

/// Before the first look at a load balancer that is being made; the pauses double.
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(2);

/// Who waits for what.
#[derive(Debug, Default)]
pub(crate) struct ProvisioningWatch {
    lists: Mutex<Lists>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lists {
    /// Services that wait for the first node to tell the VPC.
    for_the_vpc: BTreeSet<ServiceKey>,
    /// Load balancers that are being made, by ARN.
    being_made: BTreeMap<String, LoadBalancerInTheMaking>,
    /// Services that AWS refused something.
    refused: BTreeMap<ServiceKey, RefusedService>,
    /// Services to be told.
    woken: VecDeque<ServiceKey>,
}

#[derive(Debug)]
struct LoadBalancerInTheMaking {
    service: ServiceKey,
    /// When it is looked at.
    at: Instant,
    /// The pause after that.
    pause: DoublingPause,
}

#[derive(Debug)]
struct RefusedService {
    /// When the Service is woken; none while it has been.
    at: Option<Instant>,
    /// The pause after that.
    pause: DoublingPause,
}

impl ProvisioningWatch {
    /// This Service was refused something that time may mend: it is woken after a pause, which grows. Gives the pause.
    pub(crate) fn look_again_later(&self, service: &ServiceKey) -> Duration {
        let mut lists = self.lists();
        let mut pause = lists.refused.get(service).map_or(PAUSE, |refused| refused.pause);
        let wait = pause.advance();
        let at = Some(Instant::now() + wait);
        lists.refused.insert(service.clone(), RefusedService { at, pause });
        self.changed.notify_one();
        wait
    }

    /// Nothing of this Service is refused, or only what its user can mend.
    pub(crate) fn no_longer_refused(&self, service: &ServiceKey) {
        self.lists().refused.remove(service);
    }

    /// This Service waits for the VPC to be known.
    pub(crate) fn for_the_vpc(&self, service: &ServiceKey) {
        self.lists().for_the_vpc.insert(service.clone());
    }

    /// The VPC is known: those who waited for it are woken, but for the one who found out.
    pub(crate) fn vpc_is_known(&self, to: &ServiceKey) {
        let mut lists = self.lists();
        lists.for_the_vpc.remove(to);
        let waited = std::mem::take(&mut lists.for_the_vpc);
        if !waited.is_empty() {
            lists.woken.extend(waited);
            self.changed.notify_one();
        }
    }

    /// This Service waits for its load balancer to be made, which is looked at after pauses of up to `longest`.
    pub(crate) fn until_made(&self, load_balancer: &str, service: &ServiceKey, longest: Duration) {
        let asked_for = || {
            let mut pause = DoublingPause::new(FIRST_LOOK_AFTER, longest);
            let at = Instant::now() + pause.advance();
            LoadBalancerInTheMaking { service: service.clone(), at, pause }
        };
        self.lists().being_made.entry(load_balancer.to_owned()).or_insert_with(asked_for);
        self.changed.notify_one();
    }

    /// Nobody waits for this load balancer any more.
    pub(crate) fn no_longer_until_made(&self, load_balancer: &str) {
        self.lists().being_made.remove(load_balancer);
    }

    /// Services as they are woken. Looks at what is being made, for as long as something is.
    pub(crate) fn wakeups(self: &Arc<Self>, aws: Aws) -> WakeupStream {
        let watch = self.clone();
        Box::pin(futures::stream::unfold((watch, aws), move |(watch, aws)| async move {
            loop {
                let (next, due) = {
                    let mut lists = watch.lists();
                    lists.wake_refused();
                    (lists.woken.pop_front(), lists.next_look())
                };
                if let Some(service) = next {
                    return Some((service, (watch, aws)));
                }
                tokio::select! {
                    () = watch.changed.notified() => {}
                    () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                        watch.look(&aws).await;
                    }
                }
            }
        }))
    }

    /// Wakes the Services whose load balancer is made, or failed, or gone, of those that are due.
    async fn look(&self, aws: &Aws) {
        let arns = self.lists().take_due();
        for some in arns.chunks(ARNS_PER_CALL) {
            let over: Vec<String> = match aws.load_balancers(&Select::Arns(some.to_vec())).await {
                Ok(found) => {
                    let is_made = |arn: &&String| {
                        let shown = found.iter().find(|lb| &lb.arn == *arn);
                        shown.is_none_or(|lb| lb.state != LoadBalancerState::Provisioning)
                    };
                    some.iter().filter(is_made).cloned().collect()
                }
                // One that is gone spoils the answer for all: each looks for itself.
                Err(error) if error.kind == ErrorKind::NotFound => some.to_vec(),
                Err(_) => Vec::new(),
            };
            let mut lists = self.lists();
            let over: Vec<LoadBalancerInTheMaking> =
                over.iter().filter_map(|arn| lists.being_made.remove(arn)).collect();
            lists.woken.extend(over.into_iter().map(|lb| lb.service));
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock()
    }
}

impl Lists {
    /// When there is something to look at; none while nobody waits.
    fn next_look(&self) -> Option<Instant> {
        let being_made = self.being_made.values().map(|lb| lb.at);
        self.refused.values().filter_map(|refused| refused.at).chain(being_made).min()
    }

    /// Load balancers that are due, and those that are next, as many as go into the same requests. Their next look is after
    /// their next pause.
    fn take_due(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut all: Vec<(&String, &mut LoadBalancerInTheMaking)> = self.being_made.iter_mut().collect();
        all.sort_by_key(|(_, lb)| lb.at);
        let due = all.iter().filter(|(_, lb)| lb.at <= now).count();
        let looked_at = all.into_iter().take(due.next_multiple_of(ARNS_PER_CALL));
        let again = looked_at.map(|(arn, lb)| {
            lb.at = now + lb.pause.advance();
            arn.clone()
        });
        again.collect()
    }

    /// Wakes those whose pause is over. How long it was stays known.
    fn wake_refused(&mut self) {
        let now = Instant::now();
        for (service, refused) in &mut self.refused {
            if refused.at.is_some_and(|at| at <= now) {
                refused.at = None;
                self.woken.push_back(service.clone());
            }
        }
    }
}
