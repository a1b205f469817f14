//! How fast Services are served at AWS and what they cost, on the strict AWS in memory:
//! `cargo bench --workspace --bench aws`; a number behind ` -- ` is how many the many are, in place of 10,000. With
//! `UPDATE_DOCS` what it prints goes on the page of costs.
//!
//! The strict AWS answers at once or after a set time, and it throttles nothing here: what is waited for is what we wait
//! for by ourselves.

mod many;
mod twenty;

use std::time::Duration;

use tests::performance::{self, Shown};
use tokio::runtime::{Builder, Runtime};

fn main() {
    let mut text = String::new();
    let mut say = |line: String| {
        println!("{line}");
        text += &line;
        text += "\n";
    };
    say(twenty::HEAD.to_owned());
    let runtime = Runtime::new().expect("a runtime");
    for latency in [Duration::ZERO, Duration::from_millis(250)] {
        say(runtime.block_on(twenty::at_once(latency)));
    }
    say(format!("\n{}", many::HEAD));
    // What is known of AWS grows old without anybody's waiting for it.
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let count = std::env::args().find_map(|argument| argument.parse().ok());
    paused.block_on(many::services(count.unwrap_or(10_000), &mut say));
    if performance::is_to_be_written() {
        let path = performance::path();
        let page = std::fs::read_to_string(&path).expect("the page of costs");
        let shown = Shown { bench: "aws", title: "At AWS", text };
        std::fs::write(path, shown.on(&page)).expect("the page is written");
    }
}
