//! Each clause of the suite catches the provider that breaks it: providers with one flaw each, built around the
//! in-memory one, fail the clause that names the flaw.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloud_provider::testing::{MemoryHarness, NODE_LABELS, Provisioning, Settings, conformance};

use crate::mutant::{Flaw, Mutant};

mod mutant;

fn with(flaw: Flaw) -> MemoryHarness {
    let provisioning = match flaw {
        Flaw::DeleteRefusesThePending => Provisioning::UntilActivated,
        _ => Provisioning::Instant,
    };
    let publishes_annotation = Some("memory.example/load-balancer".to_owned());
    let uses_endpoints = matches!(
        flaw,
        Flaw::NeedsEndpointsInSecret | Flaw::EndpointsAreNotFollowed | Flaw::TakesUnknownEndpointsForNone
    );
    let serves_beside_mistakes = matches!(
        flaw,
        Flaw::PassesOverMistakes
            | Flaw::TakesWhatIsMissingForUnasked
            | Flaw::PlansAsIfThereWereNoMistake
            | Flaw::TellsMistakesTwice
    );
    let settings = Settings::with(|it| {
        it.provisioning = provisioning;
        it.publishes_annotation = publishes_annotation;
        it.uses_endpoints = uses_endpoints;
        it.serves_beside_mistakes = serves_beside_mistakes;
    });
    let harness = MemoryHarness::wrapping(settings, move |inner| Arc::new(Mutant::new(inner, flaw)));
    match flaw {
        Flaw::ReadsNodeLabelsInSecret | Flaw::ReadsAnnotationsInSecret => {
            harness.annotated(NODE_LABELS, "conformance.example/pool=web")
        }
        _ => harness,
    }
}

/// What the clause says of a provider with this flaw; none if it lets it pass.
macro_rules! verdict {
    ($clause:ident, $flaw:expr) => {{
        let harness = with($flaw);
        match tokio::spawn(async move { conformance::$clause(&harness).await }).await {
            Ok(()) => None,
            Err(error) => {
                let panic = error.into_panic();
                let text = panic.downcast_ref::<String>().cloned();
                Some(text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string()))
            }
        }
    }};
}

macro_rules! caught {
    ($($clause:ident: $($flaw:ident),+;)+) => {
        #[test]
        fn every_clause_has_caught_somebody() {
            let caught = BTreeSet::from([$(stringify!($clause)),+]);
            assert_eq!(caught, conformance::CLAUSES.iter().copied().collect());
        }

        $(
            #[tokio::test(start_paused = true)]
            async fn $clause() {
                assert_eq!(verdict!($clause, Flaw::None), None);
                $(
                    let verdict = verdict!($clause, Flaw::$flaw).expect(stringify!($flaw));
                    let expected = concat!("conformance clause ", stringify!($clause), ": expected ");
                    assert!(verdict.starts_with(expected), "{}: {verdict}", stringify!($flaw));
                )+
            }
        )+
    };
}

caught! {
    claims_are_stable: ClaimsEverything, ClaimsOnlyWhatItHasNotServed;
    published_annotations_are_declared: PublishesWhatItDoesNotDeclare;
    get_agrees_with_ensure: GetInventsTheAbsent, GetForgetsAnnotations;
    plan_changes_nothing: PlanWrites, PlanIsNeverEmpty, PlanIsAlwaysEmpty;
    list_shows_what_was_ensured: ListMissesOne, ListForgetsTheUid;
    ensure_is_idempotent: EnsureMakesAnew, PlanIsNeverEmpty;
    pending_becomes_ready: NeverReady, PendingWithoutWakeup, PendingWithoutReason;
    an_edit_converges: EnsureIgnoresEdits, EnsureMakesAnew;
    a_dropped_ensure_can_be_repeated: EnsureStaysBusyWhenDropped;
    services_do_not_disturb_each_other: EnsureGivesEverybodyTheSame;
    delete_of_the_absent_is_success: DeleteOfTheAbsentFails;
    delete_leaves_nothing: DeleteDoesNothing, DeleteOfTheAbsentFails;
    delete_of_the_pending_leaves_nothing: DeleteRefusesThePending;
    ensure_after_delete_makes_it_anew: EnsureOnlyOnce;
    delete_needs_no_spec: DeleteOnlyWhatThisProcessMade;
    delete_keeps_a_namesake: DeleteByKey;
    a_dropped_delete_can_be_repeated: DeleteStaysBusyWhenDropped;
    nodes_come_and_go: UpdateBackendsDoesNothing, UpdateBackendsFailsWithoutNodes;
    no_nodes_is_no_error: EnsureNeedsNodes;
    update_backends_creates_nothing: UpdateBackendsCreates;
    a_service_with_a_mistake_follows_its_nodes: UpdateBackendsRefusesMistakes, UpdateBackendsTakesTheMistakenPorts;
    endpoints_come_and_go: EndpointsAreNotFollowed;
    unknown_endpoints_change_nothing: TakesUnknownEndpointsForNone;
    backends_that_do_not_matter_change_nothing: NeedsNodesInSecret, HasNodesInSecret, NeedsEndpointsInSecret;
    node_labels_that_do_not_matter_change_nothing: ReadsNodeLabelsInSecret;
    what_is_not_read_changes_nothing: ReadsAnnotationsInSecret;
    nothing_is_held_that_was_not_said: HoldsInSecret;
    calls_do_not_block_the_thread: BlocksTheThread, StandsByBlockingTheThread;
    ports_are_served_with_their_protocols: ServesTcpAlone;
    source_ranges_are_kept: OpensToEverybody;
    families_are_kept: ServesOneFamily;
    local_traffic_asks_for_endpoints: AsksForNoEndpoints;
    affinity_is_kept: ForgetsAffinity;
    ports_without_node_ports_lead_to_none: InventsNodePorts;
    nothing_is_made_beside_a_mistake: PassesOverMistakes;
    what_serves_goes_on_beside_a_mistake: PassesOverMistakes, TakesWhatIsMissingForUnasked,
        PlansAsIfThereWereNoMistake, TellsMistakesTwice;
    a_restart_keeps_addresses: ResumeDeletesEverything;
    a_restart_finds_what_was_not_published: ResumeDeletesWhatIsNotPublished;
    resume_may_be_repeated: ResumeOnlyOnce;
    a_taken_address_is_not_given: GivesWhatOthersPublish;
    wakeups_can_be_taken: WakesStrangers;
    a_failed_ensure_can_be_repeated: EnsureSwallowsFailures;
    a_failed_ensure_can_be_deleted: DeleteByGet;
    a_failed_edit_keeps_serving: EnsureDeletesOnFailure;
    a_failed_delete_can_be_repeated: DeleteSwallowsFailures;
    a_failed_update_of_backends_can_be_repeated: UpdateBackendsSwallowsFailures;
    a_failed_resume_can_be_repeated: ResumeGivesUpAfterAFailure;
    a_failed_list_is_no_list: ListSwallowsFailures;
    a_failed_look_is_no_absence: GetSwallowsFailures, PlanSwallowsFailures;
    overlapping_leaders_make_one: EnsureClearsWhatItDidNotSee;
}
