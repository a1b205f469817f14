//! Lists in sentences.

use std::fmt::Display;

/// The first `most` of these, one behind the other, and how many more there are: `a, b and 3 more`.
///
/// A sentence that names a thousand nodes is read by nobody, and an Event or a condition that is too long is refused by
/// the API server.
pub fn some_of<T: Display>(all: impl IntoIterator<Item = T>, most: usize, separator: &str) -> String {
    let (mut text, mut count) = (String::new(), 0_usize);
    for item in all {
        if count < most {
            let separator = if count == 0 { "" } else { separator };
            text.push_str(&format!("{separator}{item}"));
        }
        count += 1;
    }
    text + &and_more(count.saturating_sub(most))
}

/// What is said of those that are not named: ` and 3 more`; nothing of none.
pub fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        assert_eq!(some_of(["a", "b"], 2, ", "), "a, b");
        assert_eq!(some_of(["a", "b", "c", "d"], 2, "; "), "a; b and 2 more");
        assert_eq!(some_of([0; 0], 2, ", "), "");
        assert_eq!(and_more(0), "");
    }
}
