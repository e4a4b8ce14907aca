//! Cuts a text into the words that a tokenizer counts one by one ("pre-tokens"), exactly as its regular expression does.
//!
//! The expressions have no states worth a regex engine: what a word's first character is decides how it goes on. A cut
//! looks at nothing before its place. Kinds of characters come from the engine's own Unicode tables.

use std::{ops::RangeInclusive, sync::LazyLock};

use regex_syntax::{
    Parser,
    hir::{Class, HirKind},
};

const UPPER: u8 = 1;
const LOWER: u8 = 1 << 1;
/// A letter that is neither, and one that modifies another.
const UNCASED: u8 = 1 << 2;
const MARK: u8 = 1 << 3;
const NUMBER: u8 = 1 << 4;
const SPACE: u8 = 1 << 5;
/// A space that is `\r` or `\n`.
const LINE_END: u8 = 1 << 6;
const OTHER: u8 = 1 << 7;

const LETTER: u8 = UPPER | LOWER | UNCASED;
/// `[^\s\p{L}\p{N}]`.
const SIGN: u8 = MARK | OTHER;

/// One for each character: of a length that the compiler knows, so that it need not be checked for each.
type Kinds = [u8; char::MAX as usize + 1];

/// The kind of every character.
static KINDS: LazyLock<Box<Kinds>> = LazyLock::new(|| {
    let kinds = vec![0; char::MAX as usize + 1];
    let mut kinds = Box::<Kinds>::try_from(kinds).expect("as many as there are characters");
    for (class, kind) in [
        (r"[\p{Lu}\p{Lt}]", UPPER),
        (r"\p{Ll}", LOWER),
        (r"[\p{Lm}\p{Lo}]", UNCASED),
        (r"\p{M}", MARK),
        (r"\p{N}", NUMBER),
        (r"\s", SPACE),
        (r"[\r\n]", LINE_END),
        (r"[^\p{L}\p{M}\p{N}\s]", OTHER),
    ] {
        for range in ranges(class) {
            for slot in &mut kinds[range] {
                *slot |= kind;
            }
        }
    }
    kinds
});

fn ranges(class: &str) -> Vec<RangeInclusive<usize>> {
    let parsed = Parser::new()
        .parse(class)
        .map(regex_syntax::hir::Hir::into_kind);
    let Ok(HirKind::Class(Class::Unicode(class))) = parsed else {
        unreachable!("every class above is one of characters")
    };
    let range = |range: &regex_syntax::hir::ClassUnicodeRange| {
        range.start() as usize..=range.end() as usize
    };
    class.iter().map(range).collect()
}

/// Which expression cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Cl100k,
    /// As above, but words begin anew at a capital after a small letter, contractions end a word, marks are in words,
    /// and slashes go with the signs before them.
    O200k,
}

/// The words of a text, in order; together they are the text.
pub(super) fn words(text: &str, pattern: Pattern) -> impl Iterator<Item = &str> {
    let scan = Scan {
        text,
        kinds: &KINDS,
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        at = match pattern {
            _ if start == text.len() => return None,
            Pattern::Cl100k => scan.cl100k(start),
            Pattern::O200k => scan.o200k(start),
        };
        Some(&text[start..at])
    })
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    text: &'a str,
    kinds: &'static Kinds,
}

impl Scan<'_> {
    fn cl100k(self, start: usize) -> usize {
        if let Some(end) = self.contraction(start) {
            return end;
        }
        let (first, next) = self.kind(start);
        if first & (NUMBER | LINE_END) == 0 {
            let end = self.run(next, LETTER);
            if end > next || first & LETTER != 0 {
                return end;
            }
        }
        self.without_letters(start, first, next, b'\n')
    }

    fn o200k(self, start: usize) -> usize {
        let (first, next) = self.kind(start);
        if first & (NUMBER | LINE_END) == 0
            && let Some(end) = self.cased(start, first, next)
        {
            return self.contraction(end).unwrap_or(end);
        }
        self.without_letters(start, first, next, b'/')
    }

    /// `[^\r\n\p{L}\p{N}]?` and then capitals before small letters, of which one kind may be missing.
    fn cased(self, start: usize, first: u8, next: usize) -> Option<usize> {
        let from = if first & LETTER == 0 { next } else { start };
        let (mut at, mut small_until) = (from, None);
        loop {
            let (kind, after) = self.kind(at);
            if kind & (UPPER | UNCASED | MARK) == 0 {
                break;
            }
            if kind & UPPER == 0 {
                small_until = Some(after);
            }
            at = after;
        }
        let (kind, after) = self.kind(at);
        if kind & LOWER != 0 {
            return Some(self.run(after, LOWER | UNCASED | MARK));
        }
        // Letters without case count as small ones where no small one follows.
        let alone = (first & MARK != 0).then_some(next);
        let capitals = (at > from).then_some(at);
        small_until.or(alone).or(capitals)
    }

    /// Numbers, signs and spaces; after signs, line ends go with them, and `also`.
    fn without_letters(self, start: usize, first: u8, next: usize, also: u8) -> usize {
        if first & NUMBER != 0 {
            return self.up_to_two_numbers(next);
        }
        let space = self.text.as_bytes()[start] == b' ';
        if first & SIGN == 0 && !space {
            return self.space(start);
        }
        let signs = self.run(next, SIGN);
        if first & SIGN != 0 || signs > next {
            let bytes = &self.text.as_bytes()[signs..];
            let tail = bytes
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n') || **byte == also);
            return signs + tail.count();
        }
        self.space(start)
    }

    fn up_to_two_numbers(self, mut at: usize) -> usize {
        for _ in 0..2 {
            let (kind, next) = self.kind(at);
            if kind & NUMBER == 0 {
                break;
            }
            at = next;
        }
        at
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end, else all but the space before a word.
    fn space(self, start: usize) -> usize {
        let (mut at, mut last, mut line_end) = (start, start, None);
        loop {
            let (kind, next) = self.kind(at);
            if kind & SPACE == 0 {
                break;
            }
            (last, at) = (at, next);
            if kind & LINE_END != 0 {
                line_end = Some(next);
            }
        }
        let all_but_one = if at < self.text.len() && last > start {
            last
        } else {
            at
        };
        line_end.unwrap_or(all_but_one)
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`; the long ſ is an s, too.
    fn contraction(self, start: usize) -> Option<usize> {
        let [b'\'', rest @ ..] = &self.text.as_bytes()[start..] else {
            return None;
        };
        let length = match rest {
            [0xc5, 0xbf, ..] => 2,
            [one, ..] if matches!(one.to_ascii_lowercase(), b's' | b't' | b'm' | b'd') => 1,
            [one, two, ..] => match [one.to_ascii_lowercase(), two.to_ascii_lowercase()] {
                [b'r' | b'v', b'e'] | [b'l', b'l'] => 2,
                _ => return None,
            },
            _ => return None,
        };
        Some(start + 1 + length)
    }

    /// The first place at or after this one whose character is of none of these kinds.
    #[inline]
    fn run(self, mut at: usize, kinds: u8) -> usize {
        let is_one = |byte: &u8| byte.is_ascii() && self.kinds[usize::from(*byte)] & kinds != 0;
        loop {
            at += self.text.as_bytes()[at..]
                .iter()
                .take_while(|byte| is_one(byte))
                .count();
            let (kind, next) = self.kind(at);
            if kind & kinds == 0 {
                return at;
            }
            at = next;
        }
    }

    /// The kind of the character at this place, and the place after it; no kind at the end.
    #[inline]
    fn kind(self, at: usize) -> (u8, usize) {
        match self.text.as_bytes().get(at) {
            Some(byte) if byte.is_ascii() => (self.kinds[usize::from(*byte)], at + 1),
            Some(_) => {
                let character = self.text[at..].chars().next().unwrap_or_default();
                (self.kinds[character as usize], at + character.len_utf8())
            }
            None => (0, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use bpe_openai::{Tokenizer, cl100k_base, o200k_base};
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn check(text: &str) {
        let expected = |tokenizer: &'static Tokenizer| tokenizer.split(text).collect::<Vec<_>>();
        let found = |pattern| words(text, pattern).collect::<Vec<_>>();
        assert_eq!(found(Pattern::Cl100k), expected(cl100k_base()), "{text:?}");
        assert_eq!(found(Pattern::O200k), expected(o200k_base()), "{text:?}");
    }

    /// Characters of every kind, and those with a part of their own in the expressions.
    fn any_character() -> impl Strategy<Value = char> {
        let special = "aAsStTrReEvVmMlLdDſK'’ \t\r\n\u{b}\u{85}\u{a0}\u{2028}\u{3000}/.=|0٣½ⅣǅʰªⅠⓐ漢かﾞあ가اَเ\u{e34}\u{301}\u{200d}\u{200c}\u{ad}_€🇯👩İß";
        prop_oneof![
            12 => select(special.chars().collect::<Vec<_>>()),
            2 => any::<char>(),
            1 => (0_u32..0x3000).prop_map(|code| char::from_u32(code).unwrap_or('x')),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn words_are_those_of_the_expressions(text in vec(any_character(), 0..24)) {
            check(&text.into_iter().collect::<String>());
        }
    }

    #[test]
    fn every_character_is_of_the_kind_that_the_expressions_say() {
        for character in '\0'..=char::MAX {
            let text = format!("a{character}A{character}1 {character}'{character}\n");
            let found = words(&text, Pattern::O200k);
            assert!(found.eq(o200k_base().split(&text)), "{text:?}");
        }
    }
}
