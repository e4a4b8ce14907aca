//! Byte pair encoding: which tokens a word is made of.
//!
//! The tokens of a word are a chain in which each two neighbours would be encoded as these two if they stood alone, and
//! every such chain is the encoding of its bytes. Hence any part of a chain is the encoding of that part, and two
//! chains that meet in a token are one. A long word is therefore encoded by windows that overlap in a token.

use bpe_openai::{Tokenizer, byte_pair_encoding::BytePairEncoding};

use super::{
    small,
    window::{NARROW, Narrow, WIDE, Wide},
};

/// No token.
pub(super) const NONE: u32 = u32::MAX;

/// Bits that hold any token.
const TOKEN_BITS: u32 = 18;
const EMPTY: u64 = u64::MAX;
const MAYBE_BITS: usize = 1 << 20;

/// Tokens of so many bytes ask for a wide window.
const LONG: u32 = 8;

/// Which two tokens make another. Tokens are numbered in the order in which they are made.
pub(super) struct Vocabulary {
    bpe: &'static BytePairEncoding,
    bytes: [u32; 256],
    /// By two bytes.
    byte_pairs: Vec<u32>,
    /// A hash table; a slot holds two tokens and what they make.
    pairs: Vec<u64>,
    /// A bit for each hash of such two tokens: most tokens make nothing together, and this table stays near the CPU.
    maybe: Vec<u64>,
}

impl Vocabulary {
    /// That of a tokenizer; takes some hundredths of a second.
    pub(super) fn of(tokenizer: &'static Tokenizer) -> Self {
        let bpe = &tokenizer.bpe;
        let mut vocabulary = Self {
            bpe,
            bytes: [NONE; 256],
            byte_pairs: vec![NONE; 1 << 16],
            pairs: vec![EMPTY; (2 * bpe.num_tokens()).next_power_of_two()],
            maybe: vec![0; MAYBE_BITS / 64],
        };
        let tokens = (0..).take(bpe.num_tokens());
        for (token, bytes) in tokens.map(|token| (token, bpe.token_bytes(token))) {
            if let [byte] = *bytes {
                vocabulary.bytes[usize::from(byte)] = token;
            }
        }
        for token in (0..).take(bpe.num_tokens()) {
            vocabulary.learn(token);
        }
        vocabulary
    }

    /// Notes of which two tokens this one is made; all earlier ones are known.
    fn learn(&mut self, token: u32) {
        let bytes = self.bpe.token_bytes(token);
        let halves = if bytes.len() <= NARROW {
            Narrow::encode(self, bytes).halves()
        } else {
            Wide::encode(self, bytes).halves()
        };
        let Some((one, two)) = halves else { return };
        if let [first, second] = *bytes {
            self.byte_pairs[byte_pair(first, second)] = token;
        }
        let pair = pair(one, two);
        let (word, bit) = maybe(pair);
        self.maybe[word] |= bit;
        let mut slot = self.slot(pair);
        while self.pairs[slot] != EMPTY {
            slot = (slot + 1) & (self.pairs.len() - 1);
        }
        self.pairs[slot] = (pair << TOKEN_BITS) | u64::from(token);
    }

    /// The number of tokens of a word.
    pub(super) fn count(&self, word: &[u8]) -> usize {
        if word.len() <= NARROW {
            Narrow::encode(self, word).length()
        } else {
            self.ends(word).len()
        }
    }

    /// Where the tokens of a word end.
    pub(super) fn ends(&self, word: &[u8]) -> Vec<u32> {
        self.ends_by_windows(word).unwrap_or_else(|| {
            let mut at = 0;
            let end = |token: u32| {
                at += self.bpe.token_len(token);
                small(at)
            };
            let tokens = self.bpe.encode_via_backtracking(word);
            tokens.into_iter().map(end).collect()
        })
    }

    /// None if no window is wide enough somewhere.
    fn ends_by_windows(&self, word: &[u8]) -> Option<Vec<u32>> {
        let mut ends = Vec::with_capacity(word.len() / 2);
        while ends.last().is_none_or(|end| *end < small(word.len())) {
            let known = ends.last().copied().unwrap_or_default();
            let before = ends.iter().rev().nth(1).copied().unwrap_or_default();
            let usual = if known - before < LONG { NARROW } else { WIDE };
            // What was taken for settled may prove not to be: a few tokens earlier a window sees why.
            let tries = [(0, usual), (4, NARROW), (4, WIDE), (16, WIDE)];
            let goes_on = tries.iter().any(|(back, bytes)| {
                ends.truncate(ends.len().saturating_sub(*back));
                self.go_on(word, &mut ends, *bytes) && ends.last() > Some(&known)
            });
            if !goes_on {
                return None;
            }
        }
        Some(ends)
    }

    /// Adds the tokens of a window of so many bytes that begins with the last token known; false, and nothing added, if
    /// the window does not show that token, or nothing after it that is settled.
    fn go_on(&self, word: &[u8], ends: &mut Vec<u32>, bytes: usize) -> bool {
        let known = ends.len();
        let start = known.checked_sub(2).map_or(0, |place| ends[place] as usize);
        let stop = word.len().min(start + bytes);
        let overlap = ends.pop();
        self.push_ends(&word[start..stop], start, ends, bytes);
        // The last two may be others once more is seen.
        let unsettled = if stop == word.len() { 0 } else { 2 };
        let settled = ends.len().saturating_sub(unsettled);
        let in_step = overlap.is_none_or(|end| ends[known - 1] == end);
        if in_step && settled > known {
            ends.truncate(settled);
            return true;
        }
        ends.truncate(known.saturating_sub(1));
        ends.extend(overlap);
        false
    }

    fn push_ends(&self, window: &[u8], start: usize, ends: &mut Vec<u32>, bytes: usize) {
        if bytes <= NARROW {
            ends.extend(
                Narrow::encode(self, window)
                    .ends()
                    .map(|end| small(start + end)),
            );
        } else {
            ends.extend(
                Wide::encode(self, window)
                    .ends()
                    .map(|end| small(start + end)),
            );
        }
    }

    /// The token of a byte.
    #[inline]
    pub(super) fn of_byte(&self, byte: u8) -> u32 {
        self.bytes[usize::from(byte)]
    }

    /// What two bytes make.
    #[inline]
    pub(super) fn of_bytes(&self, first: u8, second: u8) -> u32 {
        self.byte_pairs[byte_pair(first, second)]
    }

    /// What two tokens make.
    #[inline]
    pub(super) fn of_tokens(&self, one: u32, two: u32) -> u32 {
        let pair = pair(one, two);
        let (word, bit) = maybe(pair);
        if self.maybe[word] & bit == 0 {
            return NONE;
        }
        let mut slot = self.slot(pair);
        loop {
            let found = self.pairs[slot];
            if found >> TOKEN_BITS == pair {
                return u32::try_from(found & ((1 << TOKEN_BITS) - 1)).unwrap_or(NONE);
            }
            if found == EMPTY {
                return NONE;
            }
            slot = (slot + 1) & (self.pairs.len() - 1);
        }
    }

    #[inline]
    fn slot(&self, pair: u64) -> usize {
        bits(pair, 40) & (self.pairs.len() - 1)
    }
}

/// Where the bit of two tokens is.
#[inline]
fn maybe(pair: u64) -> (usize, u64) {
    let bit = bits(pair, 44) % MAYBE_BITS;
    (bit / 64, 1 << (bit % 64))
}

/// A hash, without its lowest bits.
#[inline]
fn bits(pair: u64, lowest: u32) -> usize {
    usize::try_from(pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> lowest).unwrap_or_default()
}

#[inline]
fn pair(one: u32, two: u32) -> u64 {
    (u64::from(one) << TOKEN_BITS) | u64::from(two)
}

#[inline]
fn byte_pair(first: u8, second: u8) -> usize {
    usize::from(u16::from_be_bytes([first, second]))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use bpe_openai::{cl100k_base, o200k_base};
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    static VOCABULARIES: LazyLock<[Vocabulary; 2]> =
        LazyLock::new(|| [cl100k_base(), o200k_base()].map(Vocabulary::of));

    fn check(word: &[u8]) {
        for vocabulary in &*VOCABULARIES {
            let mut at = 0;
            let tokens = vocabulary.bpe.encode_via_backtracking(word);
            let ends: Vec<_> = tokens
                .into_iter()
                .map(|token| {
                    at += vocabulary.bpe.token_len(token);
                    small(at)
                })
                .collect();
            assert!(vocabulary.ends(word) == ends, "{word:?}");
            assert_eq!(vocabulary.count(word), ends.len());
        }
    }

    /// Long words: of few letters, of many, of tokens, of what is repeated.
    fn any_word() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![any::<u8>(), b'a'..b'e', b'a'..=b'z', b'!'..=b'/'];
        let token =
            (0_u32..100_000).prop_map(|token| cl100k_base().bpe.token_bytes(token).to_vec());
        let run =
            (vec(b' '..=b'~', 1..4), 1_usize..200).prop_map(|(unit, times)| unit.repeat(times));
        let sign = select(vec![b'=', b'-', b'*', b' ', b'\n', b'a', b'/']);
        let signs = (sign, 1_usize..300).prop_map(|(sign, times)| vec![sign; times]);
        let part = prop_oneof![8 => vec(byte, 1..60), 8 => token, 1 => run, 1 => signs];
        vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn tokens_end_where_the_reference_ends_them(word in any_word()) {
            check(&word);
        }
    }

    #[test]
    fn every_token_is_one() {
        for vocabulary in &*VOCABULARIES {
            for token in (0..).take(vocabulary.bpe.num_tokens()) {
                let bytes = vocabulary.bpe.token_bytes(token);
                assert_eq!(
                    vocabulary.ends(bytes),
                    [small(bytes.len())],
                    "{token}: {bytes:?}"
                );
            }
        }
    }
}
