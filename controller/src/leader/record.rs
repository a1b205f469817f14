//! The rules of the election, as a plain state machine: what was read and what the clocks say go in, the
//! next write comes out. Nothing here awaits.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::clock::Moment;
use super::config::LeaderConfig;

/// What a candidate should do about the record it has just read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LeaseStep {
    /// There is no record: write the first one. Somebody else may be faster, then this conflicts.
    Create(Lease),
    /// The record is ours, released, or expired: replace the whole object. It carries the resourceVersion it
    /// was read with, so the write conflicts if anybody else wrote in between.
    Update(Lease),
    /// Somebody else holds it, and has until then to renew.
    Wait { holder: String, until: Instant },
}

/// One candidate's view of the election.
///
/// The times inside a record are never compared with a clock: they were written by somebody else's. A
/// record is alive as long as it was seen to change within its own `leaseDurationSeconds`, measured with the
/// local monotonic clock from the moment of seeing it. A candidate that starts anew therefore waits a whole
/// lease before it takes over, however old the record looks.
#[derive(Debug)]
pub(super) struct Elector {
    namespace: String,
    name: String,
    identity: String,
    lease_duration: Duration,
    observed: Option<ObservedRecord>,
    /// When this process last wrote that it holds the Lease, or tried to. Only a record of that time is its own.
    claimed: Option<Timestamp>,
}

/// The last record that differed from the one before, and when it was read.
#[derive(Debug)]
struct ObservedRecord {
    record: LeaseSpec,
    at: Instant,
}

impl Elector {
    pub(super) fn new(config: &LeaderConfig) -> Self {
        Elector {
            namespace: config.namespace.clone(),
            name: config.lease_name.clone(),
            identity: config.identity.clone(),
            lease_duration: config.lease_duration,
            observed: None,
            claimed: None,
        }
    }

    /// Decides what to do about `lease`, which was read at `now` (or not found).
    pub(super) fn step(&mut self, lease: Option<&Lease>, now: Moment) -> LeaseStep {
        let Some(lease) = lease else {
            self.observed = None;
            return LeaseStep::Create(self.first(now.wall));
        };
        let record = lease.spec.clone().unwrap_or_default();
        let seen_at = match &self.observed {
            Some(observed) if observed.record == record => observed.at,
            _ => now.instant,
        };
        let holder = record.holder_identity.clone().unwrap_or_default();
        let until = seen_at + self.duration_of(&record);
        self.observed = Some(ObservedRecord { record, at: seen_at });

        if self.is_ours(lease) {
            LeaseStep::Update(self.renewal(lease, now.wall))
        } else if !holder.is_empty() && now.instant < until {
            LeaseStep::Wait { holder, until }
        } else {
            LeaseStep::Update(self.takeover(lease, now.wall))
        }
    }

    /// Whether this process wrote the record. Also true of one that it wrote without learning so, because the reply
    /// was lost: it is the leader then, and no transition is counted twice.
    ///
    /// The identity alone does not tell: it may be a Pod's name, which a second container has too, or a process
    /// number, which is 1 in every container. The time of acquisition is this process's own.
    pub(super) fn is_ours(&self, lease: &Lease) -> bool {
        let acquired = lease.spec.as_ref().and_then(|record| record.acquire_time.as_ref());
        let acquired = acquired.map(|time| time.0.as_microsecond());
        holder(lease) == Some(&self.identity)
            && acquired.is_some()
            && acquired == self.claimed.map(Timestamp::as_microsecond)
    }

    /// The same lease, renewed: nothing but the time of renewal and the duration changes.
    pub(super) fn renewal(&self, lease: &Lease, wall: Timestamp) -> Lease {
        let record = LeaseSpec {
            lease_duration_seconds: Some(whole_seconds(self.lease_duration)),
            renew_time: Some(MicroTime(wall)),
            ..lease.spec.clone().unwrap_or_default()
        };
        Lease { spec: Some(record), ..lease.clone() }
    }

    /// The lease given back: nobody holds it, so the next candidate that looks may take it.
    pub(super) fn release(&self, lease: &Lease, wall: Timestamp) -> Lease {
        let record = LeaseSpec {
            holder_identity: Some(String::new()),
            // The API refuses zero.
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(wall)),
            renew_time: Some(MicroTime(wall)),
            ..lease.spec.clone().unwrap_or_default()
        };
        Lease { spec: Some(record), ..lease.clone() }
    }

    fn first(&mut self, wall: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                namespace: Some(self.namespace.clone()),
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(self.claim(LeaseSpec::default(), 0, wall)),
        }
    }

    fn takeover(&mut self, lease: &Lease, wall: Timestamp) -> Lease {
        let record = lease.spec.clone().unwrap_or_default();
        let transitions = record.lease_transitions.unwrap_or_default().saturating_add(1);
        Lease { spec: Some(self.claim(record, transitions, wall)), ..lease.clone() }
    }

    /// `strategy` and `preferredHolder` belong to coordinated elections and are left as they are.
    fn claim(&mut self, record: LeaseSpec, transitions: i32, wall: Timestamp) -> LeaseSpec {
        self.claimed = Some(wall);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(self.lease_duration)),
            acquire_time: Some(MicroTime(wall)),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(transitions),
            ..record
        }
    }

    /// A record that names a holder but no duration was not written by an elector. Its holder gets as long
    /// as we would, rather than no time at all.
    fn duration_of(&self, record: &LeaseSpec) -> Duration {
        let written = record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        written.map_or(self.lease_duration, Duration::from_secs)
    }
}

/// Who holds the lease, if anybody.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Rounded up: the others must never wait for a shorter time than the holder counts on.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: &str = "2026-01-02T03:04:05Z";
    const T1: &str = "2026-01-02T03:04:06.1234567Z";

    fn at(wall: &str) -> MicroTime {
        MicroTime(wall.parse().unwrap())
    }

    fn elector() -> Elector {
        Elector::new(&LeaderConfig::new("kube-system", "ccm").identified_by("me"))
    }

    /// One that wrote the record that [`record`] makes.
    fn holding() -> Elector {
        Elector { claimed: Some(T0.parse().unwrap()), ..elector() }
    }

    fn record(holder: &str, seconds: i32, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(seconds),
            acquire_time: Some(at(T0)),
            renew_time: Some(at(T0)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn lease(spec: LeaseSpec) -> Lease {
        let metadata = ObjectMeta {
            name: Some("ccm".into()),
            namespace: Some("kube-system".into()),
            resource_version: Some("41".into()),
            labels: Some([("team".to_owned(), "network".to_owned())].into()),
            ..ObjectMeta::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Local clocks `seconds` after `start`; the wall clock says T1 throughout.
    fn after(start: Instant, seconds: f64) -> Moment {
        Moment { instant: start + Duration::from_secs_f64(seconds), wall: T1.parse().unwrap() }
    }

    fn updated(action: LeaseStep) -> Lease {
        let LeaseStep::Update(lease) = action else { panic!("expected an update, not {action:?}") };
        lease
    }

    #[test]
    fn an_absent_lease_is_created_with_no_transition() {
        let action = elector().step(None, after(Instant::now(), 0.0));
        let LeaseStep::Create(lease) = action else { panic!("expected a create, not {action:?}") };
        assert_eq!(
            serde_json::to_value(&lease).unwrap(),
            serde_json::json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": "ccm", "namespace": "kube-system" },
                "spec": {
                    "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                    "acquireTime": "2026-01-02T03:04:06.123456Z", "renewTime": "2026-01-02T03:04:06.123456Z"
                }
            })
        );
    }

    #[test]
    fn times_are_written_with_exactly_six_digits() {
        for (wall, written) in [
            (T0, "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100000Z"),
            ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z"),
        ] {
            let renewed = elector().renewal(&lease(record("me", 15, 0)), wall.parse().unwrap());
            let json = serde_json::to_value(renewed).unwrap();
            assert_eq!(json["spec"]["renewTime"], written, "of {wall}");
        }
    }

    #[test]
    fn what_is_done_about_a_record_depends_on_its_holder_and_on_how_long_it_stood_still() {
        #[derive(Debug, PartialEq)]
        enum Expected {
            Renews,
            TakesOver,
            Waits,
        }
        use Expected::*;
        let no_duration = LeaseSpec { lease_duration_seconds: None, ..record("other", 0, 3) };
        let no_holder = LeaseSpec { holder_identity: None, ..record("", 15, 3) };
        for (name, spec, seconds, expected) in [
            ("just seen", record("other", 15, 3), 0.0, Waits),
            ("alive to the end", record("other", 15, 3), 14.999, Waits),
            ("expired", record("other", 15, 3), 15.0, TakesOver),
            ("longer than ours", record("other", 60, 3), 59.0, Waits),
            ("longer than ours, expired", record("other", 60, 3), 60.0, TakesOver),
            ("shorter than ours, expired", record("other", 5, 3), 5.0, TakesOver),
            ("released", record("", 1, 3), 0.0, TakesOver),
            ("no holder", no_holder, 0.0, TakesOver),
            ("no duration gets ours", no_duration.clone(), 14.0, Waits),
            ("no duration gets ours, expired", no_duration, 15.0, TakesOver),
            ("negative duration gets ours", record("other", -1, 3), 14.0, Waits),
            ("no spec at all", LeaseSpec::default(), 0.0, TakesOver),
            ("ours", record("me", 15, 3), 0.0, Renews),
            ("ours, long ago", record("me", 15, 3), 1000.0, Renews),
        ] {
            let mut elector = holding();
            let start = Instant::now();
            let lease = lease(spec);
            elector.step(Some(&lease), after(start, 0.0));
            let expected_action = match expected {
                Renews => LeaseStep::Update(elector.renewal(&lease, T1.parse().unwrap())),
                TakesOver => LeaseStep::Update(holding().takeover(&lease, T1.parse().unwrap())),
                Waits => LeaseStep::Wait {
                    holder: "other".into(),
                    until: start + elector.duration_of(lease.spec.as_ref().unwrap()),
                },
            };
            assert_eq!(elector.step(Some(&lease), after(start, seconds)), expected_action, "{name}");
        }
    }

    #[test]
    fn a_record_in_our_name_that_this_process_did_not_write_is_waited_out() {
        let start = Instant::now();
        let namesakes = lease(record("me", 15, 3));
        let later = LeaseSpec { acquire_time: Some(at(T1)), ..record("me", 15, 3) };
        for (mut elector, lease) in [(elector(), namesakes), (holding(), lease(later))] {
            let until = start + Duration::from_secs(15);
            let waits = LeaseStep::Wait { holder: "me".into(), until };
            assert_eq!(elector.step(Some(&lease), after(start, 0.0)), waits);
            assert_eq!(elector.step(Some(&lease), after(start, 14.9)), waits);
            let taken = updated(elector.step(Some(&lease), after(start, 15.0)));
            assert_eq!(taken.spec.as_ref().and_then(|record| record.lease_transitions), Some(4));
            assert!(elector.is_ours(&taken), "a reply that was lost is recognised");
        }
    }

    #[test]
    fn a_record_that_changes_is_alive_whatever_its_times_say() {
        let mut elector = elector();
        let start = Instant::now();
        // A holder whose clock is years off, and goes backwards.
        for (tick, renewed) in
            ["2031-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "1999-01-01T00:00:00Z"].into_iter().enumerate()
        {
            let seen = lease(LeaseSpec { renew_time: Some(at(renewed)), ..record("other", 15, 0) });
            let now = after(start, 14.0 * tick as f64);
            let until = now.instant + Duration::from_secs(15);
            assert_eq!(elector.step(Some(&seen), now), LeaseStep::Wait { holder: "other".into(), until });
        }
    }

    #[test]
    fn an_unrelated_edit_of_the_object_does_not_prolong_a_dead_record() {
        let mut elector = elector();
        let start = Instant::now();
        let mut seen = lease(record("other", 15, 0));
        elector.step(Some(&seen), after(start, 0.0));
        seen.metadata.resource_version = Some("42".into());
        seen.metadata.labels = None;
        updated(elector.step(Some(&seen), after(start, 15.0)));
    }

    #[test]
    fn a_record_that_vanished_and_came_back_starts_anew() {
        let mut elector = elector();
        let start = Instant::now();
        let seen = lease(record("other", 15, 0));
        elector.step(Some(&seen), after(start, 0.0));
        elector.step(None, after(start, 10.0));
        let until = start + Duration::from_secs(20 + 15);
        assert_eq!(
            elector.step(Some(&seen), after(start, 20.0)),
            LeaseStep::Wait { holder: "other".into(), until }
        );
    }

    #[test]
    fn a_takeover_replaces_the_whole_object_and_counts_one_transition() {
        let coordinated = LeaseSpec { strategy: Some("OldestEmulationVersion".into()), ..record("", 1, 3) };
        let before = lease(coordinated.clone());
        let taken = updated(elector().step(Some(&before), after(Instant::now(), 0.0)));
        assert_eq!(taken.metadata, before.metadata, "resourceVersion and labels go back as they came");
        let expected = LeaseSpec {
            holder_identity: Some("me".into()),
            lease_duration_seconds: Some(15),
            acquire_time: Some(at(T1)),
            renew_time: Some(at(T1)),
            lease_transitions: Some(4),
            ..coordinated
        };
        assert_eq!(taken.spec, Some(expected));
    }

    #[test]
    fn a_renewal_changes_the_time_of_renewal_and_the_duration_only() {
        let before = lease(record("me", 60, 3));
        let renewed = updated(holding().step(Some(&before), after(Instant::now(), 0.0)));
        let expected = LeaseSpec {
            lease_duration_seconds: Some(15),
            renew_time: Some(at(T1)),
            ..before.spec.clone().unwrap()
        };
        assert_eq!(renewed, Lease { spec: Some(expected), ..before });
    }

    #[test]
    fn a_release_leaves_no_holder_and_the_same_transitions() {
        let before = lease(record("me", 15, 3));
        let released = elector().release(&before, T1.parse().unwrap());
        let expected = LeaseSpec { acquire_time: Some(at(T1)), renew_time: Some(at(T1)), ..record("", 1, 3) };
        assert_eq!(released, Lease { spec: Some(expected), ..before });
    }

    #[test]
    fn fractions_of_a_second_are_promised_in_full() {
        for (millis, seconds) in [(1, 1), (1_000, 1), (1_001, 2), (15_000, 15), (u64::MAX, i32::MAX)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis} ms");
        }
    }
}
