//! Counts tokens exactly, and any part of a long text without counting it again.
//!
//! The tokenizer first cuts a text into words ("pre-tokens") and then counts each by itself. That first cut looks at
//! nothing before its place, so a word that begins at a known cut counts in a chunk what it counts in the whole text;
//! only the edges of a chunk are counted anew.

use std::ops::Range;

use bpe_openai::{Tokenizer, cl100k_base};

/// Counts tokens as the embedding models `text-embedding-3-*` and `ada-002` do.
///
/// # Panics
///
/// If the text has 2³² tokens or more.
#[must_use]
pub fn count_tokens(text: &str) -> u32 {
    small(cl100k_base().count(text))
}

/// Longer words get marks inside them, so that a text without spaces can be measured too.
const LONG: usize = 64;

/// Distance between the marks of a long word, in bytes.
const STEP: usize = 32;

/// A place in the text, and the tokens before it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u32,
    tokens: u32,
    /// The place among the marks of the last one between two words; there `tokens` is exact, inside a long word it is
    /// an estimate.
    exact: u32,
}

/// A text with its tokens counted up.
pub(super) struct Tokens<'a> {
    text: &'a str,
    tokenizer: &'static Tokenizer,
    marks: Vec<Mark>,
}

impl<'a> Tokens<'a> {
    /// Counts the text once.
    pub(super) fn of(text: &'a str) -> Self {
        let tokenizer = cl100k_base();
        let mut counter = Counter::new(tokenizer);
        let mut marks = vec![Mark {
            at: 0,
            tokens: 0,
            exact: 0,
        }];
        let (mut at, mut tokens) = (0, 0);
        for word in tokenizer.split(text) {
            let before = tokens;
            tokens += if word.len() > LONG && !word.trim().is_empty() {
                mark_long(tokenizer, word, at, before, &mut marks)
            } else {
                counter.count(word)
            };
            at += word.len();
            marks.push(Mark {
                at: small(at),
                tokens,
                exact: small(marks.len()),
            });
        }
        Self {
            text,
            tokenizer,
            marks,
        }
    }

    /// About how many tokens come before this place; never falls from one place to a later one.
    pub(super) fn before(&self, at: usize) -> u32 {
        self.marks[self.last_mark(at)].tokens
    }

    /// The last mark with at most so many tokens before it.
    pub(super) fn reach(&self, tokens: u32) -> usize {
        let after = self.marks.partition_point(|mark| mark.tokens <= tokens);
        self.marks[after.saturating_sub(1)].at as usize
    }

    /// The first mark with at least so many tokens before it, or the end.
    pub(super) fn from(&self, tokens: u32) -> usize {
        let place = self.marks.partition_point(|mark| mark.tokens < tokens);
        let mark = self.marks.get(place).or(self.marks.last());
        mark.map_or(0, |mark| mark.at as usize)
    }

    /// The first mark after this place, or the end.
    pub(super) fn next_mark(&self, at: usize) -> usize {
        let mark = self.marks.get(self.last_mark(at) + 1);
        mark.map_or(self.text.len(), |mark| mark.at as usize)
    }

    /// How many tokens this part of the text has by itself; it must not end in white space.
    ///
    /// Words are counted anew from its start until a cut falls where one falls in the whole text, and again from the
    /// last such cut to its end.
    pub(super) fn count(&self, part: &Range<usize>) -> u32 {
        let last = self.last_exact(part.end);
        let (mut at, mut tokens) = (part.start, 0);
        for word in self.tokenizer.split(&self.text[part.clone()]) {
            if let Some(known) = self.exactly(at).filter(|_| at < last.at as usize) {
                let tail = &self.text[last.at as usize..part.end];
                return tokens + (last.tokens - known) + count_tokens(tail);
            }
            tokens += small(self.tokenizer.bpe.count(word.as_bytes()));
            at += word.len();
        }
        tokens
    }

    /// Place in `marks` of the last one at or before `at`; the first is at 0.
    fn last_mark(&self, at: usize) -> usize {
        let after = self.marks.partition_point(|mark| mark.at as usize <= at);
        after.saturating_sub(1)
    }

    fn last_exact(&self, at: usize) -> Mark {
        let last = self.marks[self.last_mark(at)];
        self.marks[last.exact as usize]
    }

    /// The tokens before this place if it lies between two words.
    fn exactly(&self, at: usize) -> Option<u32> {
        let mark = self.last_exact(at);
        (mark.at as usize == at).then_some(mark.tokens)
    }
}

/// Adds marks inside a word and returns its tokens.
///
/// The parts between marks are counted by themselves and scaled to the whole, which for a run of one character, the
/// likeliest long word, is exact. An encoder that knows the count of every prefix takes three times as long over `====`.
fn mark_long(
    tokenizer: &Tokenizer,
    word: &str,
    start: usize,
    before: u32,
    marks: &mut Vec<Mark>,
) -> u32 {
    let count = |part: &str| small(tokenizer.bpe.count(part.as_bytes()));
    let total = count(word);
    let (first, exact) = (marks.len(), small(marks.len() - 1));
    let (mut from, mut parts) = (0, 0);
    while word.len() - from > STEP {
        let at = word.ceil_char_boundary(from + STEP);
        parts += count(&word[from..at]);
        marks.push(Mark {
            at: small(start + at),
            tokens: parts,
            exact,
        });
        from = at;
    }
    let sum = u64::from(parts + count(&word[from..]));
    for mark in &mut marks[first..] {
        let scaled = u64::from(mark.tokens) * u64::from(total) / sum.max(1);
        mark.tokens = before + u32::try_from(scaled).unwrap_or(total).min(total);
    }
    total
}

/// Counts short words from a table of those seen before: texts repeat a few thousand words.
struct Counter {
    tokenizer: &'static Tokenizer,
    seen: Vec<(u128, u32)>,
}

impl Counter {
    const SLOTS: usize = 1 << 14;

    fn new(tokenizer: &'static Tokenizer) -> Self {
        Self {
            tokenizer,
            seen: vec![(0, 0); Self::SLOTS],
        }
    }

    fn count(&mut self, word: &str) -> u32 {
        let Some(key) = key(word) else {
            return small(self.tokenizer.bpe.count(word.as_bytes()));
        };
        let slot = &mut self.seen[slot(key, Self::SLOTS)];
        if slot.0 != key {
            *slot = (key, small(self.tokenizer.bpe.count(word.as_bytes())));
        }
        slot.1
    }
}

/// The word itself and its length in sixteen bytes, so that no two words share a key and none has the key 0.
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
fn slot(key: u128, slots: usize) -> usize {
    let mixed = (key ^ key.rotate_left(87)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = mixed.to_le_bytes();
    usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) % slots
}

/// Lengths and counts of a text below 4 GiB.
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("texts are shorter than 4 GiB")
}
