//! Everything at random, for each provider: see [`tests::churn`]. The seed is fixed, so that the gate runs the same each
//! time; `CHURN_SEED` and `CHURN_ROUNDS` let it run for hours.

use tests::churn::{self, Aws, Controllers, Length, Memory, Metal};
use tests::cluster::Cluster;

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
