//! Maps by keys that nobody hostile chooses, which are hashed in a few steps: addresses, that the owners of pools choose,
//! and UIDs, that the API server makes up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by the number of an address, all of one family.
pub(crate) type AddressMap<T> = HashMap<u128, T, BuildHasherDefault<NeighbourHasher>>;

/// A map by UID.
pub(crate) type UidMap<K, T> = HashMap<K, T, BuildHasherDefault<UidHasher>>;

/// How many bits of an address's number choose its place within a block: 64 addresses that follow each other lie side by
/// side, because addresses are mostly handed out in ascending order, and what was touched last is still in the
/// processor's cache.
const BLOCK_BITS: u32 = 6;

/// The odd number that is nearest to 2^64 divided by the golden ratio: it spreads what follows each other.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What 32 bits come to in 64 of which the lowest and the highest are equally good: no two come to the same, and neither do
/// their lowest bits.
pub(crate) fn spread(bits: u32) -> u64 {
    u64::from(bits).wrapping_mul(SPREAD)
}

/// Hashes the number of an address: where its block lies is spread over the whole table, so that pools that are far apart,
/// or in even steps, do not get into each other's way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NeighbourHasher(u64);

impl Hasher for NeighbourHasher {
    fn write_u128(&mut self, number: u128) {
        let block = number >> BLOCK_BITS;
        let folded = (block as u64) ^ ((block >> 64) as u64).rotate_left(32);
        let spread = (folded.wrapping_mul(SPREAD) ^ (folded >> 29)).wrapping_mul(SPREAD);
        let within = number as u64 & ((1 << BLOCK_BITS) - 1);
        // The map looks at the highest bits to tell entries apart that lie close together: they differ in these.
        self.0 = ((spread.rotate_right(32) >> BLOCK_BITS) << BLOCK_BITS | within) ^ (within << 57);
    }

    /// Nothing but `u128` is a key.
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u128(u128::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes a UID, eight bytes at a time. Each is spread over all bits before the next is added: what a multiplication does to
/// the highest digits of one word could otherwise be undone by the lowest of the next, and two UIDs that the same hash is
/// made of send every search to a Service in a far corner of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UidHasher(u64);

impl Hasher for UidHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut add = |word: u64| {
            let product = u128::from(self.0 ^ word) * u128::from(SPREAD);
            self.0 = (product as u64) ^ ((product >> 64) as u64);
        };
        let (eights, rest) = bytes.as_chunks::<8>();
        eights.iter().for_each(|eight| add(u64::from_le_bytes(*eight)));
        match bytes.last_chunk::<8>() {
            _ if rest.is_empty() => {}
            // Some bytes twice is one step; the rest byte by byte is several.
            Some(last) => add(u64::from_le_bytes(*last)),
            None => add(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))),
        }
    }

    /// The end of a text, of which there is one in a key.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(number: u128) -> u64 {
        let mut hasher = NeighbourHasher::default();
        hasher.write_u128(number);
        hasher.finish()
    }

    /// How many of these share the place in a table of 2^16 that most of them share.
    fn most_in_one_place(numbers: impl Iterator<Item = u128>) -> usize {
        let mut places = HashMap::new();
        numbers.for_each(|number| *places.entry(hash(number) & 0xffff).or_insert(0) += 1);
        places.into_values().max().unwrap_or(0)
    }

    #[test]
    fn addresses_that_follow_each_other_lie_side_by_side() {
        let base = 0x0a00_0040;
        for offset in 0..64 {
            assert_eq!(hash(base + offset) & 0xffff, (hash(base) & 0xffff) + offset as u64);
        }
    }

    #[test]
    fn no_two_uids_have_one_hash() {
        let hashes: HashSet<u64> = (0..100_000_u64)
            .map(|i| {
                let mut hasher = UidHasher::default();
                hasher.write(format!("5d1b6c2e-8f64-4a8b-9d0e-{:012x}", i * 16).as_bytes());
                hasher.finish()
            })
            .collect();
        assert_eq!(hashes.len(), 100_000);
    }

    #[test]
    fn uids_that_differ_in_a_digit_do_not_get_into_each_others_way() {
        let mut places = HashMap::new();
        for i in 0..20_000_u32 {
            let mut hasher = UidHasher::default();
            hasher.write(format!("5d1b6c2e-8f64-4a8b-9d0e-{i:012x}").as_bytes());
            *places.entry(hasher.finish() & 0x3fff).or_insert(0) += 1;
        }
        let most = places.into_values().max().unwrap_or(0);
        assert!(most <= 10, "{most} in one place");
    }

    #[test]
    fn addresses_in_even_steps_do_not_get_into_each_others_way() {
        for step in [0, 6, 8, 16, 32, 64, 96, 120].map(|bits| 1_u128 << bits) {
            let count = 20_000.min(u128::MAX / step);
            let most = most_in_one_place((0..count).map(|i| i * step));
            // Every block has the same 1024 starts at worst.
            assert!(most <= 80, "{most} of {count} in steps of {step:#x}");
        }
    }
}
