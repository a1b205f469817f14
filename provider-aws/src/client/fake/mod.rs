//! A strict AWS in memory.
//!
//! [`FakeAws`] answers every request of the seam over one shared state and refuses what AWS refuses, with AWS's
//! codes: names, quotas, which listener may forward to which target group, what still uses a security group.
//! Emulators are lenient exactly there, so what passes here is more likely to pass at AWS.
//!
//! Beyond the rules it can be told
//! - to be slow in the ways AWS is ([`Lags`]): provisioning, first health checks, network interfaces of a
//!   deleted load balancer;
//! - to fail ([`Fault`]): before the effect, after it with the reply lost, or never to answer;
//! - to have small [`Quotas`], to throttle, and to take time over each request.
//!
//! It knows no sleep and no chance: time is tokio's (which tests may pause), ids are counted. What it does not
//! know: Application Load Balancers, conditions of IAM policies, traffic.

mod account;
mod attributes;
mod capacity;
mod certificates;
mod ec2;
mod elbv2;
mod faults;
mod lags;
mod listeners;
mod load_balancers;
mod network;
mod placement;
mod quotas;
mod refusal;
mod remaining;
mod rules;
mod security_groups;
mod seed;
mod tags;
mod target_groups;
mod targets;
mod throttle;

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use account::AccountState;
pub use faults::Fault;
pub use lags::{Lag, Lags};
pub use quotas::Quotas;
use refusal::Answered;
pub use seed::{InstanceSeed, SeededVpc, SubnetSeed};

use super::{Call, Rate, RateBucket, Result, TargetState};
use crate::client::error::{ApiError, local_code};

/// An AWS account and region in memory. Clones are the same account.
#[derive(Clone, Debug, Default)]
pub struct FakeAws {
    account: Arc<Mutex<AccountState>>,
}

impl FakeAws {
    /// An account with nothing in it: no VPC, standard quotas, no lags, no throttling, no faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes how slow AWS is from now on; what is under way goes on as it began.
    pub fn set_lags(&self, lags: Lags) {
        self.lock().lags = lags;
    }

    /// Ends everything that is under way: load balancers are active, targets checked, network interfaces of
    /// deleted load balancers gone.
    pub fn settle(&self) {
        self.lock().settle();
    }

    /// Changes the quotas. What exceeds them already stays.
    pub fn set_quotas(&self, quotas: Quotas) {
        self.lock().quotas = quotas;
    }

    /// Throttles a family of requests with a bucket like AWS's own.
    pub fn throttle(&self, family: RateBucket, rate: Rate) {
        self.lock().throttle.limit(family, rate);
    }

    /// Makes every request take this long.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// The `nth` request of this call from now on (1 is the next) goes wrong.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn fail_nth(&self, call: Call, nth: u32, fault: Fault) {
        self.lock().faults.nth_of(call, nth, fault);
    }

    /// The `nth` request of any call from now on (1 is the next) goes wrong.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn fail_nth_request(&self, nth: u32, fault: Fault) {
        self.lock().faults.nth_of_any(nth, fault);
    }

    /// Every request of this call goes wrong until [`heal`](Self::heal).
    pub fn fail_always(&self, call: Call, fault: Fault) {
        self.lock().faults.always(call, fault);
    }

    /// From now on the caller may do only this (IAM actions, `ec2:DescribeVpcs`): a request needs its own and those that
    /// AWS calls in its name ([`Call::needed_actions`]).
    pub fn permit_only(&self, actions: impl IntoIterator<Item = String>) {
        self.lock().permitted = Some(actions.into_iter().collect());
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// The requests so far, in order of arrival, those that went wrong among them.
    pub fn requests(&self) -> Vec<Call> {
        self.lock().requests.clone()
    }

    /// Number of requests of this call so far.
    pub fn count(&self, call: Call) -> usize {
        self.lock().requests.iter().filter(|c| **c == call).count()
    }

    /// The requests so far that change something.
    pub fn writes(&self) -> Vec<Call> {
        self.lock().requests.iter().copied().filter(|call| call.is_write()).collect()
    }

    /// Begins counting anew.
    pub fn forget_requests(&self) {
        self.lock().requests.clear();
    }

    /// From now on the health checks of this target end like this: [`TargetState::Unhealthy`], or
    /// [`TargetState::Healthy`] to take that back.
    pub fn set_health(&self, target_id: &str, state: TargetState) {
        self.lock().set_health(target_id, state);
    }

    /// Whether nothing is left but what was seeded.
    pub fn is_empty(&self) -> bool {
        self.remaining().is_empty()
    }

    /// What exists besides what was seeded, one line each: load balancers, listeners, target groups, security
    /// groups, and rules added to seeded groups.
    pub fn remaining(&self) -> Vec<String> {
        self.lock().remaining()
    }

    fn lock(&self) -> MutexGuard<'_, AccountState> {
        self.account.lock()
    }

    /// Runs one request: counted, slowed, perhaps failed, throttled, then done.
    async fn request<T>(
        &self,
        call: Call,
        run: impl FnOnce(&mut AccountState) -> Answered<T> + Send,
    ) -> Result<T> {
        let (fault, latency) = {
            let mut account = self.lock();
            account.requests.push(call);
            (account.faults.next(call), account.latency)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match &fault {
            Some(Fault::Before(code)) => return Err(ApiError::new(call, code.clone(), "told to fail")),
            Some(Fault::HangBefore) => std::future::pending().await,
            Some(Fault::After(_) | Fault::HangAfter) | None => {}
        }
        let result = self.run(call, run);
        match fault {
            Some(Fault::After(code)) if result.is_ok() => {
                let code = code.unwrap_or_else(|| local_code::NO_REPLY.to_owned());
                Err(ApiError::new(call, code, "told to lose the reply"))
            }
            Some(Fault::HangAfter) => std::future::pending().await,
            _ => result,
        }
    }

    fn run<T>(&self, call: Call, run: impl FnOnce(&mut AccountState) -> Answered<T>) -> Result<T> {
        let mut account = self.lock();
        account.now = Instant::now();
        let now = account.now;
        let answered = account
            .permits(call)
            .and_then(|()| account.throttle.take(call, now))
            .and_then(|()| run(&mut account));
        answered.map_err(|refusal| {
            let mut error = ApiError::new(call, refusal.code, refusal.message);
            error.request_id = Some(format!("request-{}", account.requests.len()));
            error
        })
    }
}
