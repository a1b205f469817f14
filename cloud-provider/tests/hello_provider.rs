//! The smallest provider keeps the contract, and the README shows it as it is.

#[path = "../examples/hello_provider.rs"]
mod hello_provider;

#[test]
fn the_smallest_provider_keeps_the_contract() {
    hello_provider::main();
}

#[test]
fn the_readme_shows_the_example() {
    let example = include_str!("../examples/hello_provider.rs");
    let shown = include_str!("../README.md").contains(&format!("```rust\n{example}```\n"));
    assert!(shown, "copy examples/hello_provider.rs into the first block of README.md");
    assert!(example.lines().count() < 80, "the smallest provider is small");
}
