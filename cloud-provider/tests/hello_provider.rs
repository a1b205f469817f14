//! The README shows the smallest provider as it is. That it keeps the contract is a test of its own.

#[test]
fn the_readme_shows_the_example() {
    let example = include_str!("../examples/hello_provider.rs");
    let shown = include_str!("../README.md").contains(&format!("```rust\n{example}```\n"));
    assert!(shown, "copy examples/hello_provider.rs into the first block of README.md");
    assert!(example.lines().count() < 85, "the smallest provider is small, and its test is in it");
}
