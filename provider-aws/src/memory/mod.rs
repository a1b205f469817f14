//! What this process remembers, so that it need not ask. Forgetting it costs reads, nothing else.
//!
//! | of what | where |
//! |---|---|
//! | when everything about a Service is read back, what was found as it should be | `verification` |
//! | targets: registered ones, those that AWS refused | `targets` |
//! | security groups: made, doubted, opened | `groups` |
//! | zones that were taken out of a load balancer | `zones` |
//! | Services that are being worked on | `work` |
//! | places in line for requests | `tickets` |
//! | steps that a call left to the next one | `unfinished` |

mod groups;
mod targets;
mod tickets;
mod unfinished;
mod verification;
mod work;
mod zones;

use std::time::Duration;

use self::groups::GroupMemory;
use self::targets::TargetMemory;
use self::tickets::Tickets;
use self::unfinished::Unfinished;
use self::verification::Verification;
use self::work::Work;
use self::zones::ZoneMemory;

/// What this process remembers.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) verification: Verification,
    pub(crate) targets: TargetMemory,
    pub(crate) groups: GroupMemory,
    pub(crate) zones: ZoneMemory,
    pub(crate) work: Work,
    pub(crate) tickets: Tickets,
    pub(crate) unfinished: Unfinished,
}

impl Memory {
    /// Nothing yet; everything about a Service is to be read back once a period.
    pub(crate) fn new(verification_period: Duration) -> Self {
        Memory {
            verification: Verification::new(verification_period),
            targets: TargetMemory::default(),
            groups: GroupMemory::default(),
            zones: ZoneMemory::default(),
            work: Work::default(),
            tickets: Tickets::default(),
            unfinished: Unfinished::default(),
        }
    }

    /// Something of a Service is about to change: until the outcome is known, nothing about it is.
    pub(crate) fn doubt(&self, uid: &str) {
        self.verification.doubt(uid);
        self.targets.doubt(uid);
    }

    /// Forgets a Service.
    pub(crate) fn forget(&self, uid: &str) {
        self.verification.forget(uid);
        self.targets.forget(uid);
        self.groups.forget(uid);
        self.tickets.give_back(uid);
        self.unfinished.forget(uid);
    }
}
