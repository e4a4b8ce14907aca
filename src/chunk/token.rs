//! Counts tokens exactly, and any part of a long text without counting it again.
//!
//! A tokenizer first cuts a text into words and then counts each by itself. The first cut looks at nothing before its
//! place, so a word that begins at a known cut counts in a chunk what it counts in the whole text; only the edges of a
//! chunk are counted anew. Within a long word, parts that end where tokens end are known as well.

use std::{ops::Range, sync::LazyLock};

use super::{
    counter::Counter,
    near::Near,
    small,
    vocabulary::Vocabulary,
    word::{Pattern, words},
};

/// Whose tokens are counted: `EMBEDDING_TOKENIZER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// OpenAI's for `text-embedding-3-*` and `ada-002`.
    #[default]
    Cl100kBase,
    /// OpenAI's for newer models.
    O200kBase,
    /// None is known: a character (a Unicode scalar value) counts as a token, which is never too few by much.
    Characters,
}

static CL100K: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::of(bpe_openai::cl100k_base()));
static O200K: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::of(bpe_openai::o200k_base()));

impl Tokenizer {
    /// The tokenizer of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "cl100k_base" => Some(Self::Cl100kBase),
            "o200k_base" => Some(Self::O200kBase),
            "none" => Some(Self::Characters),
            _ => None,
        }
    }

    /// Counts the tokens of a text as the model does.
    ///
    /// # Panics
    ///
    /// If the text has 2³² tokens or more.
    #[must_use]
    pub fn count(self, text: &str) -> u32 {
        self.words(text).map(|word| self.count_word(word)).sum()
    }

    /// The tokens of two texts together, of which the first (a table's header, a prefix) ends in a line end and the
    /// second begins with no space: words go on beyond line ends with spaces, and after signs with a slash.
    pub(super) fn count_joined(self, first: (&str, u32), second: (&str, u32)) -> u32 {
        if second.0.starts_with('/') {
            return self.count(&[first.0, second.0].concat());
        }
        first.1 + second.1
    }

    pub(super) fn words(self, text: &str) -> impl Iterator<Item = &str> {
        // Characters are counted alike, however they are grouped.
        let pattern = match self {
            Self::O200kBase => Pattern::O200k,
            Self::Cl100kBase | Self::Characters => Pattern::Cl100k,
        };
        words(text, pattern).inspect(|word| step(word.len()))
    }

    fn vocabulary(self) -> Option<&'static Vocabulary> {
        match self {
            Self::Cl100kBase => Some(&CL100K),
            Self::O200kBase => Some(&O200K),
            Self::Characters => None,
        }
    }

    /// Counts a word by itself.
    pub(super) fn count_word(self, word: &str) -> u32 {
        step(word.len());
        small(match self.vocabulary() {
            Some(vocabulary) => vocabulary.count(word.as_bytes()),
            None => word.chars().count(),
        })
    }

    /// Where the tokens of a word end.
    fn ends(self, word: &str) -> Vec<u32> {
        step(word.len());
        match self.vocabulary() {
            Some(vocabulary) => vocabulary.ends(word.as_bytes()),
            None => word
                .char_indices()
                .map(|(at, character)| small(at + character.len_utf8()))
                .collect(),
        }
    }
}

/// Notes that so many bytes are looked at: the tests count what a clock would only guess.
#[cfg(test)]
fn step(bytes: usize) {
    STEPS.set(STEPS.get() + bytes);
}

#[cfg(not(test))]
const fn step(_: usize) {}

#[cfg(test)]
thread_local! {
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

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
        let mut marks = Vec::with_capacity(text.len() / 4 + 1);
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
