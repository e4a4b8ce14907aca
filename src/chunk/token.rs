//! Counts tokens exactly: a tokenizer first cuts a text into words and then counts each by itself.

use std::sync::LazyLock;

use super::{
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
    /// second begins with no space: words go on beyond line ends with spaces, and newer ones after signs with a slash.
    pub(super) fn count_joined(self, first: (&str, u32), second: (&str, u32)) -> u32 {
        if self == Self::O200kBase && second.0.starts_with('/') {
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
    pub(super) fn ends(self, word: &str) -> Vec<u32> {
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
