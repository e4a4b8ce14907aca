//! What is embedded before a chunk's text: the document's title and the headings above, which the text itself does not
//! repeat and questions ask for.

use std::sync::Arc;

use super::{Settings, Tokenizer, written::Written};
use crate::document::Embedded;

/// Most tokens of a prefix; it is never more than a quarter of a chunk either.
pub(super) const MOST_TOKENS: u32 = 64;

/// Shorter parts are left out rather than shortened again.
const LEAST_CHARS: usize = 8;

/// Makes the prefixes of a document's chunks.
pub(super) struct Prefixes {
    tokenizer: Tokenizer,
    most_tokens: u32,
    title: Option<String>,
    /// The last heading asked for, which neighbours share, and its prefix.
    last: (Option<String>, Prefix),
}

#[derive(Default)]
struct Prefix {
    text: String,
    tokens: u32,
}

impl Prefixes {
    pub(super) fn of(written: &Written, settings: &Settings) -> Self {
        let most_tokens = MOST_TOKENS.min(settings.max_tokens / 4);
        let mut prefixes = Self {
            tokenizer: settings.tokenizer,
            most_tokens: if settings.prefix { most_tokens } else { 0 },
            title: written.title().map(str::to_owned),
            last: (None, Prefix::default()),
        };
        prefixes.last.1 = prefixes.write(None);
        prefixes
    }

    /// A chunk's text under this path of headings with its prefix.
    pub(super) fn put_before(
        &mut self,
        heading: Option<&str>,
        text: &Arc<str>,
        tokens: u32,
    ) -> Embedded {
        let tokenizer = self.tokenizer;
        let prefix = self.under(heading);
        if prefix.text.is_empty() {
            return Embedded {
                text: Arc::clone(text),
                prefix_bytes: 0,
                tokens,
            };
        }
        Embedded {
            text: [&prefix.text, &**text].concat().into(),
            prefix_bytes: prefix.text.len(),
            tokens: tokenizer.count_joined((&prefix.text, prefix.tokens), (text, tokens)),
        }
    }

    /// The prefix under this path of headings; empty if there is nothing to say.
    fn under(&mut self, heading: Option<&str>) -> &Prefix {
        if self.last.0.as_deref() != heading {
            self.last = (heading.map(str::to_owned), self.write(heading));
        }
        &self.last.1
    }

    fn write(&self, heading: Option<&str>) -> Prefix {
        let path: Vec<&str> = heading.map_or(Vec::new(), |path| path.split(" > ").collect());
        let title = self.title.as_deref();
        let title = title.filter(|title| heading.is_none_or(|path| !begins_with(path, title)));
        let mut parts: Vec<String> = title.into_iter().chain(path).map(str::to_owned).collect();
        while !parts.is_empty() {
            let text = format!("{}\n\n", parts.join(" > "));
            let tokens = self.tokenizer.count(&text);
            if tokens <= self.most_tokens {
                return Prefix { text, tokens };
            }
            shorten(&mut parts);
        }
        Prefix::default()
    }
}

/// Whether the path's first heading is the title.
fn begins_with(path: &str, title: &str) -> bool {
    let rest = path.strip_prefix(title);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" > "))
}

/// Halves the first part, which says least of the chunk, or leaves it out.
fn shorten(parts: &mut Vec<String>) {
    let first = parts.remove(0);
    let half = first.chars().count() / 2;
    if half >= LEAST_CHARS {
        let kept: String = first.chars().take(half).collect();
        parts.insert(0, format!("{}…", kept.trim_end_matches(['…', ' '])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(title: Option<&str>, most_tokens: u32) -> Prefixes {
        Prefixes {
            tokenizer: Tokenizer::Cl100kBase,
            most_tokens,
            title: title.map(str::to_owned),
            last: (Some("none of these".to_owned()), Prefix::default()),
        }
    }

    #[test]
    fn a_prefix_is_the_title_and_the_path_without_saying_the_title_twice() {
        let mut guide = prefixes(Some("Guide"), 64);
        assert_eq!(
            guide.under(Some("Guide > Install")).text,
            "Guide > Install\n\n"
        );
        assert_eq!(guide.under(Some("Guide")).text, "Guide\n\n");
        assert_eq!(
            guide.under(Some("Guidelines")).text,
            "Guide > Guidelines\n\n"
        );
        assert_eq!(guide.under(None).text, "Guide\n\n");
        assert_eq!(prefixes(None, 64).under(None).text, "");
    }

    #[test]
    fn a_prefix_that_is_too_long_loses_of_its_title_first() {
        let title = "The complete handbook of the weather station on the hill above the village";
        let path = "Care > Rain gauge";
        let shorter = "The complete handbook of the weather… > Care > Rain gauge\n\n";
        assert_eq!(prefixes(Some(title), 16).under(Some(path)).text, shorter);
        assert_eq!(
            prefixes(Some(title), 4).under(Some(path)).text,
            "Rain gauge\n\n"
        );
        assert_eq!(prefixes(Some(title), 1).under(Some(path)).text, "");
    }
}
