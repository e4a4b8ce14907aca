//! Counts any part of a long text without counting it again.
//!
//! The first cut of a tokenizer looks at nothing before its place, so a word that begins at a known cut counts in a chunk
//! what it counts in the whole text; only the edges of a chunk are counted anew. Within a long word, parts that end where
//! tokens end are known as well.

use std::ops::Range;

use super::{counter::Counter, near::Near, small, token::Tokenizer};

/// Longer words get marks inside them, so that a text without spaces can be measured too.
const LONG: usize = 64;

/// Least distance between the marks of a long word, in bytes.
const STEP: usize = 32;

/// A place in the text where a token ends, and the tokens before it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u32,
    tokens: u32,
    /// The place among the marks of the last one between two words; the others are inside a long word.
    between: u32,
}

/// A text with its tokens counted up.
pub(super) struct Tokens<'a> {
    text: &'a str,
    tokenizer: Tokenizer,
    marks: Near<Mark>,
}

impl<'a> Tokens<'a> {
    /// Counts the text once.
    pub(super) fn of(text: &'a str, tokenizer: Tokenizer, counter: &mut Counter) -> Self {
        // One a byte at most; room is only touched as it is filled.
        let mut marks = Vec::with_capacity(text.len() + 1);
        marks.push(Mark {
            at: 0,
            tokens: 0,
            between: 0,
        });
        let (mut at, mut tokens) = (0, 0);
        for word in tokenizer.words(text) {
            tokens += if word.len() > LONG {
                mark_long(tokenizer, word, at, tokens, &mut marks)
            } else {
                counter.count_word(word)
            };
            at += word.len();
            marks.push(Mark {
                at: small(at),
                tokens,
                between: small(marks.len()),
            });
        }
        Self {
            text,
            tokenizer,
            marks: Near::from(marks),
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

    /// The last mark before this place, or the start.
    pub(super) fn previous_mark(&self, at: usize) -> usize {
        let mark = self.last_mark(at.saturating_sub(1));
        self.marks[mark].at as usize
    }

    /// How many tokens this part of the text has by itself; it must not end in white space.
    ///
    /// Words are counted anew from its start until a cut falls where one falls in the whole text, and again from the
    /// last such cut to its end.
    pub(super) fn count(&self, part: &Range<usize>) -> u32 {
        let last = self.last_between(part.end);
        let (mut at, mut tokens) = (part.start, 0);
        let mut words = self.tokenizer.words(&self.text[part.clone()]);
        loop {
            if let Some(known) = self.between(at).filter(|_| at < last.at as usize) {
                let tail = last.at as usize..part.end;
                return tokens + (last.tokens - known) + self.count_tail(tail);
            }
            let Some(word) = words.next() else {
                return tokens;
            };
            tokens += self.count_part(at..at + word.len());
            at += word.len();
        }
    }

    fn count_tail(&self, tail: Range<usize>) -> u32 {
        let mut at = tail.start;
        let count = |word: &str| {
            at += word.len();
            self.count_part(at - word.len()..at)
        };
        self.tokenizer.words(&self.text[tail]).map(count).sum()
    }

    /// Counts one word, which in the whole text may be a part of a longer one.
    fn count_part(&self, word: Range<usize>) -> u32 {
        let known = (word.len() > 2 * STEP)
            .then(|| self.within(&word))
            .flatten();
        known.unwrap_or_else(|| self.tokenizer.count_word(&self.text[word]))
    }

    /// The tokens of a part of one word, of which only the edges are encoded: up to its second mark and from its last
    /// but one. The marks between which an edge ends a token as the whole word does bound the same tokens in both.
    fn within(&self, part: &Range<usize>) -> Option<u32> {
        let first = self
            .marks
            .partition_point(|mark| (mark.at as usize) < part.start);
        let last = self.last_mark(part.end);
        let word = self.marks[self.last_mark(part.start)].between;
        let is_one_word = self.marks[self.last_mark(part.end - 1)].between == word;
        if !is_one_word || last < first + 2 {
            return None;
        }
        let marks = [first, first + 1, last - 1, last].map(|place| self.marks[place]);
        let [from, after, before, to] = marks.map(|mark| mark.at as usize);
        let mut tokens = marks[3].tokens - marks[0].tokens;
        if part.start < from {
            tokens += self.tokens_up_to(part.start..after, from)?.0;
        }
        if to < part.end {
            let (known, all) = self.tokens_up_to(before..part.end, to)?;
            tokens += all - known;
        }
        Some(tokens)
    }

    /// The tokens of this part up to a place where one of them ends, and all of them.
    fn tokens_up_to(&self, part: Range<usize>, at: usize) -> Option<(u32, u32)> {
        let place = small(at - part.start);
        let ends = self.tokenizer.ends(&self.text[part]);
        let found = ends.binary_search(&place).ok()?;
        Some((small(found + 1), small(ends.len())))
    }

    /// Place in `marks` of the last one at or before `at`; the first is at 0.
    fn last_mark(&self, at: usize) -> usize {
        let after = self.marks.partition_point(|mark| mark.at as usize <= at);
        after.saturating_sub(1)
    }

    fn last_between(&self, at: usize) -> Mark {
        let last = self.marks[self.last_mark(at)];
        self.marks[last.between as usize]
    }

    /// The tokens before this place if it lies between two words.
    fn between(&self, at: usize) -> Option<u32> {
        let mark = self.last_between(at);
        (mark.at as usize == at).then_some(mark.tokens)
    }
}

/// Adds marks inside a word, where a token and a character end, and returns its tokens.
fn mark_long(
    tokenizer: Tokenizer,
    word: &str,
    start: usize,
    before: u32,
    marks: &mut Vec<Mark>,
) -> u32 {
    let ends = tokenizer.ends(word);
    let between = small(marks.len() - 1);
    let mut last = 0;
    for (tokens, end) in (before + 1..).zip(ends.iter().map(|end| *end as usize)) {
        if end - last >= STEP && end < word.len() && word.is_char_boundary(end) {
            last = end;
            marks.push(Mark {
                at: small(start + end),
                tokens,
                between,
            });
        }
    }
    small(ends.len())
}
