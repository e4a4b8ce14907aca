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

    /// The tokens of a word.
    pub(super) fn count(&mut self, word: &str) -> u32 {
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
#[inline]
fn key(word: &str) -> Option<u128> {
    let mut bytes = [0; 16];
    bytes
        .get_mut(..word.len())
        .filter(|_| word.len() < 16)?
        .copy_from_slice(word.as_bytes());
    bytes[15] = u8::try_from(word.len()).ok()?;
    Some(u128::from_le_bytes(bytes))
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
        let words = ["", "\0", "a", "a\0", "a\0\0", "\0a", "aaaaaaaaaaaaaaa"];
        for (place, word) in words.iter().enumerate() {
            assert!(
                words[..place].iter().all(|other| key(other) != key(word)),
                "{word:?}"
            );
        }
        assert_eq!(key("aaaaaaaaaaaaaaaa"), None);
    }
}
