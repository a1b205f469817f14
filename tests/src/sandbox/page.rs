//! What the sandbox prints: no wider than the narrowest terminal, in colour where it is read on one.

use std::io::{IsTerminal, stdout};

/// How wide every terminal is.
const COLUMNS: usize = 80;
/// How much further in a line goes on that was too long.
const FURTHER_IN: usize = 4;

/// What a text is, for its colour.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Plain,
    Headline,
    Warning,
}

/// Prints a text; a line that is too long goes on below.
pub(super) fn say(text: &str) {
    say_in(Ink::Plain, text);
}

/// As [`say`], in colour on a terminal whose owner has nothing against it (<https://no-color.org>).
pub(super) fn say_in(ink: Ink, text: &str) {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let code = match ink {
        Ink::Headline => "1",
        Ink::Warning => "33",
        Ink::Plain => "0",
    };
    let text = wrapped(text);
    if matches!(ink, Ink::Plain) || unwanted || !stdout().is_terminal() {
        println!("{text}");
    } else {
        println!("\x1b[{code}m{text}\x1b[0m");
    }
}

/// The text in lines that fit. A word that is longer than a line, such as a host name, stays whole.
fn wrapped(text: &str) -> String {
    text.lines().map(wrapped_line).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let (mut lines, mut current) = (Vec::new(), String::new());
    for word in line.split_whitespace() {
        let width = indent + if lines.is_empty() { 0 } else { FURTHER_IN };
        if current.is_empty() {
            current = " ".repeat(width) + word;
        } else if current.chars().count() + 1 + word.chars().count() <= COLUMNS {
            current = current + " " + word;
        } else {
            lines.push(current);
            current = " ".repeat(indent + FURTHER_IN) + word;
        }
    }
    lines.push(current);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_goes_on_further_in_and_words_stay_whole() {
        assert_eq!(wrapped("  short   as it is"), "  short   as it is");
        let long = "word ".repeat(30);
        let shown = wrapped(&format!("  {long}"));
        assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
        assert!(shown.lines().skip(1).all(|line| line.starts_with("      word")), "{shown}");
        assert_eq!(shown.split_whitespace().count(), 30);
        let name = "x".repeat(100);
        assert_eq!(wrapped(&format!("a {name} b")), format!("a\n    {name}\n    b"));
    }
}
