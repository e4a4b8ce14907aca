//! Counts short words from a table of those seen before: texts repeat a few thousand words.

use std::ops::RangeInclusive;

use super::Tokenizer;

/// Counts words.
pub(super) struct Counter {
    tokenizer: Tokenizer,
    /// Words as [`key`] writes them, with their tokens in the highest bits.
    seen: Vec<u128>,
}

impl Counter {
    /// A table of a megabyte at most, which the CPU keeps near; a short text does not wait for one.
    const SLOTS: RangeInclusive<usize> = 1 << 10..=1 << 16;
    /// Where the tokens are: four bits, for at most one a byte.
    const SHIFT: u32 = 124;

    /// One for this text.
    pub(super) fn new(tokenizer: Tokenizer, text: &str) -> Self {
        let slots = (text.len() / 8).next_power_of_two();
        Self {
            tokenizer,
            seen: vec![0; slots.clamp(*Self::SLOTS.start(), *Self::SLOTS.end())],
        }
    }

    /// The tokens of a text.
    pub(super) fn count(&mut self, text: &str) -> u32 {
        let words = self.tokenizer.words(text);
        words.map(|word| self.count_word(word)).sum()
    }

    /// The tokens of a word.
    pub(super) fn count_word(&mut self, word: &str) -> u32 {
        if word.len() == 1 {
            return 1; // Every byte is a token.
        }
        let Some(key) = key(word) else {
            return self.tokenizer.count_word(word);
        };
        let slots = self.seen.len();
        let slot = &mut self.seen[hash(key) & (slots - 1)];
        if *slot << 4 != key << 4 {
            *slot = key | u128::from(self.tokenizer.count_word(word)) << Self::SHIFT;
        }
        u32::try_from(*slot >> Self::SHIFT).unwrap_or_default()
    }
}

/// The word itself and its length in the lower 124 bits, so that no two words share a key and none has the key 0.
///
/// Its ends are read, which overlap: to copy so few bytes, of a number known at run time only, takes longer.
#[inline]
fn key(word: &str) -> Option<u128> {
    let bytes = word.as_bytes();
    let length = u8::try_from(bytes.len())
        .ok()
        .filter(|length| *length < 16)?;
    let word = if let Some((first, last)) = ends::<8>(bytes) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        u128::from(first) | u128::from(last) << (8 * (length - 8))
    } else if let Some((first, last)) = ends::<4>(bytes) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u128::from(first) | u128::from(last) << (8 * (length - 4))
    } else {
        let byte = |place: usize| bytes.get(place).copied().map_or(0, u128::from);
        byte(0) | byte(1) << 8 | byte(2) << 16
    };
    Some(word | u128::from(length) << 120)
}

#[inline]
fn ends<const BYTES: usize>(bytes: &[u8]) -> Option<(&[u8; BYTES], &[u8; BYTES])> {
    bytes.first_chunk().zip(bytes.last_chunk())
}

/// Words that share a slot only push each other out.
#[inline]
fn hash(key: u128) -> usize {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    let (low, high) = (half(key), half(key >> 64));
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 40).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_words_share_a_key() {
        let long = "abcdefghijklmnop";
        let mut words = vec!["", "\0", "a\0", "a\0\0", "\0a", "aaaaaaaaaaaaaaa"];
        words.extend((1..16).map(|length| &long[..length]));
        for (place, word) in words.iter().enumerate() {
            assert!(
                words[..place].iter().all(|other| key(other) != key(word)),
                "{word:?}"
            );
        }
        assert_eq!(key(long), None);
        assert_eq!(key(&long.repeat(20)), None);
    }
}
