//! How fast Services are served at AWS and what they cost, on the strict AWS in memory:
//! `cargo bench --workspace --bench aws`; a number behind ` -- ` is how many the many are, in place of 10,000.
//!
//! The strict AWS answers at once or after a set time, and it throttles nothing here: what is waited for is what we wait
//! for by ourselves.

mod many;
mod twenty;

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

fn main() {
    println!("{}", twenty::HEAD);
    let runtime = Runtime::new().expect("a runtime");
    for latency in [Duration::ZERO, Duration::from_millis(250)] {
        runtime.block_on(twenty::at_once(latency));
    }
    println!("\n{}", many::HEAD);
    // What is known of AWS grows old without anybody's waiting for it.
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let count = std::env::args().find_map(|argument| argument.parse().ok());
    paused.block_on(many::services(count.unwrap_or(10_000)));
}
