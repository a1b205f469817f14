//! Scenes in a real cluster: what kube-proxy, kubelets, the scheduler, Helm and MetalLB do with what the program does.
//!
//! One cluster for each mode of kube-proxy, and one scene after the other in it. A scene does not need those before it.
//! `tests/README.md` says what it takes, and what the variables `CLUSTER_SCENES` and `SCENE` do.

mod announcer;
mod client;
mod handover;
mod install;
mod leavings;
mod metallb;
mod outage;
mod release;
mod replicas;
mod report;
mod speakers;
mod stage;
mod traffic;

use tests::real_cluster::ProxyMode;

use report::{Scene, play};

/// Writes the path of a scene as a scene with that name.
macro_rules! scenes {
    ($($module:ident::$scene:ident),+ $(,)?) => {
        &[$(Scene {
            name: concat!(stringify!($module), "::", stringify!($scene)),
            play: |stage| Box::pin($module::$scene(stage)),
        }),+]
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_proxy_by_nftables() {
    const SCENES: &[Scene] = scenes![
        install::the_kustomization_runs_two_replicas_under_pod_security_restricted,
        install::the_chart_runs_two_replicas_under_pod_security_restricted,
        traffic::a_client_is_served_by_pods_of_both_nodes_through_either_node_in_either_family,
        traffic::with_policy_local_a_node_serves_by_its_own_pods_and_they_see_the_client,
        traffic::pods_and_nodes_reach_an_address_that_nobody_answers_for,
        replicas::a_rollout_costs_no_request_and_new_services_are_served_meanwhile,
        replicas::where_the_leading_pod_is_deleted_the_other_takes_over_at_once,
        replicas::where_the_leader_is_killed_the_other_takes_over_when_its_lease_ends,
        replicas::where_the_leaders_node_is_cut_off_the_other_takes_over_and_the_rest_serves,
        release::a_namespace_goes_with_its_services_and_their_addresses_are_free_again,
        release::an_upgrade_moves_no_address_and_costs_no_request,
        release::what_is_published_outlives_the_release_and_the_next_one_takes_it_over,
        announcer::a_client_finds_an_address_by_arp_and_by_neighbour_discovery,
        announcer::where_the_cable_of_the_announcing_node_is_pulled_the_other_one_answers,
        announcer::a_rollout_of_the_announcers_and_the_end_of_one_cost_no_request,
        announcer::the_key_is_changed_under_clients_that_never_stop_asking_and_no_address_moves,
        handover::metallb_hands_over_and_takes_back_and_no_request_is_lost,
        speakers::speakers_are_replaced_node_by_node_and_back_and_the_address_stays_where_it_is,
    ];
    play(ProxyMode::Nftables, SCENES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_proxy_by_iptables() {
    const SCENES: &[Scene] = scenes![
        traffic::a_client_is_served_by_pods_of_both_nodes_through_either_node_in_either_family,
        traffic::with_policy_local_a_node_serves_by_its_own_pods_and_they_see_the_client,
        traffic::pods_and_nodes_reach_an_address_that_nobody_answers_for,
        // The last in its cluster: kubelets take their time until they are back.
        outage::after_a_minute_without_an_api_server_a_new_service_is_served_within_two_seconds,
    ];
    play(ProxyMode::Iptables, SCENES).await;
}
