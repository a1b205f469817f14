//! Everything at random, for each provider: see [`tests::churn`]. The seed is fixed, so that the gate runs the same each
//! time; `CHURN_SEED` and `CHURN_ROUNDS` let it run for hours.

use tests::churn::{self, Aws, Controllers, Length, Memory, Metal, memory};
use tests::cluster::Cluster;
use tests::process::{Access, with_pool};

async fn on_the_cloud_in_memory(controllers: Controllers) {
    let cluster = Cluster::start().await;
    churn::run(&cluster, Memory::default(), controllers, Length::of_the_environment()).await;
}

async fn on_aws(controllers: Controllers) {
    let cluster = Cluster::start().await;
    churn::run(&cluster, Aws::default(), controllers, Length::of_the_environment()).await;
}

async fn on_pools(controllers: Controllers) {
    let cluster = Cluster::start().await;
    let metal = Metal::on(&cluster).await;
    churn::run(&cluster, metal, controllers, Length::of_the_environment()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_a_cloud_holds_what_services_show() {
    on_the_cloud_in_memory(Controllers::Live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_and_deaths_a_cloud_holds_what_services_show() {
    on_the_cloud_in_memory(Controllers::Die).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_aws_holds_what_services_show() {
    on_aws(Controllers::Live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_and_deaths_aws_holds_what_services_show() {
    on_aws(Controllers::Die).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_addresses_are_held_by_those_who_show_them() {
    on_pools(Controllers::Live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_churn_and_deaths_addresses_are_held_by_those_who_show_them() {
    on_pools(Controllers::Die).await;
}

/// What may come on top from one look to the next, in KiB, after so much churn. The program remembers which events it has
/// posted, of up to 4,096 (`controller/src/events.rs`): that fills up, by 0.3 KiB a round when it was measured. What it
/// knows of a Service is more: of those that came and went, that alone would be 0.9 KiB a round.
fn may_grow_kib(rounds: u32) -> u64 {
    u64::from(rounds / 2).min(4_096) + 100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_much_churn_there_was_the_programs_memory_is_the_same_when_it_is_over() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut length = Length::of_the_environment();
    length.rounds *= 4;
    let arguments = ["--leader-elect=false", "--kube-api-qps=1000"];

    let looks = memory::looks(&cluster, &access, &arguments, length).await;

    eprintln!("the program's memory after {} rounds, and twice as many again: {looks:?} KiB", length.rounds);
    let most = looks[1] + may_grow_kib(length.rounds);
    assert!(looks[2] <= most, "it grows with what has happened: {looks:?} KiB");
}
