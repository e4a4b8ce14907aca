//! What is embedded before a chunk's text: the document's title and the headings above, which the text itself does not
//! repeat and questions ask for.

use std::{iter, ops::Range};

use super::{Settings, Tokenizer, counter::Counter, cut::Piece, hash::Begun, written::Written};
use crate::document::Embedded;

/// Most tokens of a prefix; it is never more than a quarter of a chunk either.
pub(super) const MOST_TOKENS: u32 = 64;

/// Shorter parts are left out rather than shortened again.
const LEAST_CHARS: usize = 8;

/// Between the headings of a path.
const BELOW: &str = " > ";

/// Below a prefix.
const LINE_ENDS: &str = "\n\n";

/// Makes the prefixes of a document's chunks, and writes what is embedded.
pub(super) struct Prefixes<'a> {
    written: &'a Written,
    counter: Counter,
    tokenizer: Tokenizer,
    most_tokens: u32,
    title: Title,
    /// Of a text that does not begin with the title.
    no_hash: Begun,
    /// The last heading asked for, which neighbours share.
    heading: Option<usize>,
    /// Where its path is among `headings`.
    path: Range<usize>,
    prefix: Prefix,
    embedded: String,
    headings: String,
}

/// A document's title, which most prefixes begin with.
struct Title {
    text: String,
    /// Its tokens with the sign that stands between it and a path.
    tokens: u32,
    /// What is hashed of both.
    hash: Begun,
}

#[derive(Default)]
struct Prefix {
    text: String,
    tokens: u32,
    /// Whether it begins with the title and a path below it.
    is_titled: bool,
}

impl<'a> Prefixes<'a> {
    /// For about so many chunks.
    pub(super) fn of(
        written: &'a Written,
        mut counter: Counter,
        settings: &Settings,
        chunks: usize,
    ) -> Self {
        let most_tokens = MOST_TOKENS.min(settings.max_tokens / 4);
        let most_tokens = if settings.prefix { most_tokens } else { 0 };
        let title = Title::new(written.title().unwrap_or_default(), &mut counter);
        let embedded = String::with_capacity(written.text.len() + chunks * title.text.len());
        let mut prefix = Prefix::default();
        prefix.write(&mut counter, &title, "", most_tokens);
        Self {
            written,
            counter,
            tokenizer: settings.tokenizer,
            most_tokens,
            title,
            no_hash: Begun::with(""),
            heading: None,
            path: 0..0,
            prefix,
            embedded,
            headings: String::new(),
        }
    }

    /// Puts what is next under this heading; the path down to it.
    pub(super) fn go_below(&mut self, heading: Option<usize>) -> Option<Range<usize>> {
        if self.heading != heading {
            self.heading = heading;
            let start = self.headings.len();
            if let Some(heading) = heading {
                self.written.write_path(heading, &mut self.headings);
            }
            self.path = start..self.headings.len();
            let path = &self.headings[start..];
            self.prefix
                .write(&mut self.counter, &self.title, path, self.most_tokens);
        }
        heading.map(|_| self.path.clone())
    }

    /// Writes a piece's text, its table's header before it, below the prefix, and hashes it all.
    pub(super) fn put_before(&mut self, piece: &Piece) -> (Embedded, [u8; 32]) {
        let start = self.embedded.len();
        let prefix_bytes = self.prefix.text.len();
        self.embedded.push_str(&self.prefix.text);
        if let Some(header) = &piece.header {
            self.embedded.push_str(&self.written.text[header.clone()]);
        }
        self.embedded
            .push_str(&self.written.text[piece.span.clone()]);
        let text = &self.embedded[start..];
        let (prefix, below) = text.split_at(prefix_bytes);
        let tokens = match prefix_bytes {
            0 => piece.tokens,
            _ => self
                .tokenizer
                .count_joined((prefix, self.prefix.tokens), (below, piece.tokens)),
        };
        let begun = if self.prefix.is_titled {
            &self.title.hash
        } else {
            &self.no_hash
        };
        let sha256 = begun.hash(text);
        let embedded = Embedded {
            text: start..self.embedded.len(),
            prefix_bytes,
            tokens,
        };
        (embedded, sha256)
    }

    /// What is embedded of all chunks, and all paths.
    pub(super) fn written(self) -> (String, String) {
        (self.embedded, self.headings)
    }
}

impl Title {
    fn new(text: String, counter: &mut Counter) -> Self {
        let above = format!("{text}{BELOW}");
        Self {
            tokens: counter.count(above.trim_end()),
            hash: Begun::with(&above),
            text,
        }
    }
}

impl Prefix {
    /// Makes this the title and the path with line ends below them. Of one that is too long the first part, which says
    /// least of the chunk, is halved or left out until the rest is short enough.
    fn write(&mut self, counter: &mut Counter, title: &Title, path: &str, most_tokens: u32) {
        let is_named = !title.text.is_empty() && !begins_with(path, &title.text);
        self.is_titled = is_named && !path.is_empty() && most_tokens > 0;
        self.text.clear();
        if most_tokens == 0 || !is_named && path.is_empty() {
            return;
        }
        if is_named {
            self.text.push_str(&title.text);
        }
        let mut known_bytes = 0;
        self.tokens = 0;
        if self.is_titled {
            self.text.push_str(BELOW);
            known_bytes = self.text.trim_end().len();
            self.tokens = title.tokens;
        }
        self.text.push_str(path);
        self.text.push_str(LINE_ENDS);
        self.tokens += counter.count(&self.text[known_bytes..]);
        if self.tokens > most_tokens {
            let title = is_named.then_some(&*title.text);
            let parts = title.into_iter().chain(path.split(BELOW));
            let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
            *self = shortened(counter, &parts, most_tokens);
        }
    }
}

/// Parts are counted one by one, as tokens never go on from a part into what is between two, and from the last one up, so
/// that all above what fits costs nothing.
fn shortened(counter: &mut Counter, parts: &[&str], most_tokens: u32) -> Prefix {
    let (mut longest, mut rest) = (Prefix::default(), Prefix::default());
    let mut line_ends = LINE_ENDS;
    for part in parts.iter().rev() {
        let room = most_tokens - rest.tokens;
        let mut texts = halves(part).map(|half| {
            let text = half + line_ends;
            (counter.count(&text), text)
        });
        if let Some((tokens, text)) = texts.find(|(tokens, _)| *tokens <= room) {
            longest = Prefix {
                text: text + &rest.text,
                tokens: tokens + rest.tokens,
                is_titled: false,
            };
        }
        let below = [BELOW, part, line_ends].concat();
        rest.tokens += counter.count(&below);
        if rest.tokens > most_tokens {
            break;
        }
        rest.text.insert_str(0, &below);
        line_ends = "";
    }
    longest
}

/// A part, its half, the half of that and so on.
fn halves(part: &str) -> impl Iterator<Item = String> {
    iter::successors(Some(part.to_owned()), |part| {
        let half = part.chars().count() / 2;
        let (end, _) = part.char_indices().nth(half)?;
        let kept = part[..end].trim_end_matches(['…', ' ']);
        (half >= LEAST_CHARS).then(|| format!("{kept}…"))
    })
}

/// Whether the path's first heading is the title.
fn begins_with(path: &str, title: &str) -> bool {
    let rest = path.strip_prefix(title);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(BELOW))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn prefix(title: &str, path: &str, most_tokens: u32) -> String {
        let mut counter = Counter::new(Tokenizer::Cl100kBase, "");
        let mut prefix = Prefix::default();
        let title = Title::new(title.to_owned(), &mut counter);
        prefix.write(&mut counter, &title, path, most_tokens);
        let tokens = Tokenizer::Cl100kBase.count(&prefix.text);
        assert!(prefix.text.is_empty() || prefix.tokens == tokens);
        prefix.text
    }

    #[test]
    fn a_prefix_is_the_title_and_the_path_without_saying_the_title_twice() {
        let guide = |path| prefix("Guide", path, 64);
        assert_eq!(guide("Guide > Install"), "Guide > Install\n\n");
        assert_eq!(guide("Guide"), "Guide\n\n");
        assert_eq!(guide("Guidelines"), "Guide > Guidelines\n\n");
        assert_eq!(guide(""), "Guide\n\n");
        assert_eq!(prefix("", "", 64), "");
    }

    #[test]
    fn a_prefix_that_is_too_long_loses_of_its_title_first() {
        let title = "The complete handbook of the weather station on the hill above the village";
        let path = "Care > Rain gauge";
        let shorter = "The complete handbook of the weather… > Care > Rain gauge\n\n";
        assert_eq!(prefix(title, path, 16), shorter);
        assert_eq!(prefix(title, path, 4), "Rain gauge\n\n");
        assert_eq!(prefix(title, path, 1), "");
    }

    /// The first that fits of the parts, the parts with the first one halved, and so on.
    fn by_trial(parts: &[&str], most_tokens: u32) -> String {
        let mut shorter = (0..parts.len()).flat_map(|first| {
            let rest = parts[first + 1..].iter().map(|part| (*part).to_owned());
            halves(parts[first]).map(move |half| {
                let parts: Vec<String> = iter::once(half).chain(rest.clone()).collect();
                parts.join(BELOW) + LINE_ENDS
            })
        });
        let fits = shorter.find(|text| Tokenizer::Cl100kBase.count(text) <= most_tokens);
        fits.unwrap_or_default()
    }

    fn any_title() -> impl Strategy<Value = String> {
        let words = select(vec![
            "rain", " gauge", "!", "…", "/a", "(b)", "漢字", "12345", "'s", "e\u{301}", ">",
        ]);
        vec(words, 0..40).prop_map(|words| format!("A{}", words.concat()))
    }

    proptest! {
        #[test]
        fn a_prefix_keeps_as_much_as_trying_all_would(
            title in any_title(),
            path in vec(any_title(), 1..7),
            most_tokens in 1_u32..65,
        ) {
            let mut parts = vec![&*title];
            parts.extend(path.iter().map(String::as_str));
            let expected = by_trial(&parts[usize::from(path[0] == title)..], most_tokens);
            prop_assert_eq!(prefix(&title, &path.join(BELOW), most_tokens), expected);
        }
    }
}
