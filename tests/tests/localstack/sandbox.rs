//! The sandbox against an endpoint.

use tests::aws::Endpoint;
use tests::control_plane::ASSETS;
use tokio::process::Command;

#[tokio::test]
async fn the_demonstration_ends_well_and_leaves_nothing_at_the_endpoint() {
    let endpoint = Endpoint::start().await;
    let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["--demo", "--provider", "aws"])
        .env_clear()
        .envs(std::env::var_os(ASSETS).map(|assets| (ASSETS, assets)))
        .envs(endpoint.environment())
        .output()
        .await
        .expect("the sandbox runs");

    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains(&endpoint.url), "{shown}");
    assert!(shown.contains("Nothing is left at AWS."), "{shown}");
}
