//! Inputs that are nearly right, from examples that are: the same for the same seed.

/// Pieces that parsers take for something.
const PIECES: [&str; 24] = [
    "/",
    "/0",
    "/+0",
    "/33",
    "/128",
    "-",
    ",",
    ",,",
    " ",
    "\n",
    "=",
    "::",
    "0.0.0.0",
    "::ffff:10.0.0.1",
    "255",
    "-1",
    "99999999999999999999",
    "true",
    "null",
    "[",
    "{",
    "\"",
    "\u{0}",
    "\u{1F600}",
];

/// How many changes are made to one example, at most.
const MAX_CHANGES: usize = 6;

/// A text, from one of the examples.
pub fn text(examples: &[&str], rng: &mut fastrand::Rng) -> String {
    let mut text: Vec<char> = examples[rng.usize(..examples.len())].chars().collect();
    for _ in 0..rng.usize(0..=MAX_CHANGES) {
        let at = rng.usize(0..=text.len());
        let end = rng.usize(at..=text.len()).min(at + 12);
        match rng.u32(0..6) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, PIECES[rng.usize(..PIECES.len())].chars())),
            2 => drop(text.splice(at..end, PIECES[rng.usize(..PIECES.len())].chars())),
            3 => {
                let copy: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, copy);
            }
            4 => text.insert(at, rng.char(..)),
            _ => {
                // The end of another example.
                let other: Vec<char> = examples[rng.usize(..examples.len())].chars().collect();
                text.truncate(at);
                text.extend(&other[rng.usize(0..=other.len())..]);
            }
        }
    }
    text.into_iter().collect()
}

/// Bytes, from one of the examples.
pub(super) fn bytes(examples: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = examples[rng.usize(..examples.len())].clone();
    for _ in 0..rng.usize(0..=MAX_CHANGES) {
        let at = rng.usize(0..=bytes.len());
        let end = rng.usize(at..=bytes.len()).min(at + 12);
        match rng.u32(0..8) {
            // Mostly one byte is another: what has lengths in it is seldom read far after anything else.
            0..4 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
            4 => drop(bytes.drain(at..end)),
            5 => bytes.insert(at, rng.u8(..)),
            6 => {
                let copy: Vec<u8> = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                // The end of another example.
                let other = &examples[rng.usize(..examples.len())];
                bytes.truncate(at);
                bytes.extend(&other[rng.usize(0..=other.len())..]);
            }
        }
    }
    bytes
}
