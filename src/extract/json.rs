//! JSON and JSON Lines: a line per value, each with its path, so that any piece of the text makes sense alone.
//!
//! `{"user": {"name": "Ada", "tags": ["a", "b"]}}` becomes `user.name: Ada` and `user.tags: a, b`. A paragraph is one
//! top-level member, item or line. Order, repeated keys and numbers stay as written, and nesting may be of any depth.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::document::BlockKind;

use super::{blocks::Blocks, error::ExtractError};

/// Whether all of `text` is JSON: one value or several.
pub(super) fn is_valid(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut any = false;
    values.all(|value| {
        any = true;
        value.is_ok()
    }) && any
}

/// Adds the values of `text`, which [`is_valid`].
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut writer = Writer {
        blocks,
        path: Vec::new(),
        paragraph: String::new(),
        line_open: false,
        just_opened: false,
    };
    for token in Tokens(text) {
        writer.token(token)?;
    }
    writer.end_paragraph()
}

/// A piece of valid JSON; commas and colons are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    OpenObject,
    OpenArray,
    Close,
    /// With its quotes.
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Bare(&'a str),
}

/// The tokens of valid JSON.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self
            .0
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ':'));
        let (token, len) = match text.bytes().next()? {
            b'{' => (Token::OpenObject, 1),
            b'[' => (Token::OpenArray, 1),
            b'}' | b']' => (Token::Close, 1),
            b'"' => {
                let len = string_len(text);
                (Token::String(&text[..len]), len)
            }
            _ => {
                let end = |c: char| {
                    c.is_ascii_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"')
                };
                let len = text.find(end).unwrap_or(text.len());
                (Token::Bare(&text[..len]), len)
            }
        };
        self.0 = &text[len..];
        Some(token)
    }
}

/// Length of the string that `text` starts with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A step of the path to where the writer is.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// In an object; the key of the member that is being read, with its quotes.
    Member(Option<&'a str>),
    /// In an array; the index of the item that is being read.
    Item(usize),
}

/// Longest paragraph in bytes: long keys over many values must not grow one without end.
const MAX_PARAGRAPH_BYTES: usize = 16 * 1024;

struct Writer<'a, 'b> {
    blocks: &'b mut Blocks,
    path: Vec<Step<'a>>,
    paragraph: String,
    /// The last line holds scalars of the innermost array and may take one more.
    line_open: bool,
    /// The last token opened an array or object.
    just_opened: bool,
}

impl<'a> Writer<'a, '_> {
    fn token(&mut self, token: Token<'a>) -> Result<(), ExtractError> {
        let just_opened = std::mem::take(&mut self.just_opened);
        match token {
            Token::OpenObject => self.open(Step::Member(None))?,
            Token::OpenArray => self.open(Step::Item(0))?,
            Token::Close => self.close(just_opened)?,
            Token::String(text) => {
                if let Some(Step::Member(key @ None)) = self.path.last_mut() {
                    *key = Some(text);
                    return Ok(());
                }
                self.scalar(&unquote(text))?;
                self.value_ended();
            }
            Token::Bare(text) => {
                self.scalar(text)?;
                self.value_ended();
            }
        }
        Ok(())
    }

    fn open(&mut self, step: Step<'a>) -> Result<(), ExtractError> {
        self.end_line();
        if self.is_section() {
            self.end_paragraph()?;
        }
        self.path.push(step);
        self.just_opened = true;
        Ok(())
    }

    fn close(&mut self, empty: bool) -> Result<(), ExtractError> {
        self.end_line();
        let closed = self.path.pop();
        if empty {
            self.scalar(if matches!(closed, Some(Step::Item(_))) {
                "[]"
            } else {
                "{}"
            })?;
            self.end_line();
        }
        if self.is_section() {
            self.end_paragraph()?;
        }
        self.value_ended();
        Ok(())
    }

    /// Whether the array or object here is a paragraph: a top-level one, or an item of an outermost array.
    fn is_section(&self) -> bool {
        let Some((last, above)) = self.path.split_last() else {
            return true;
        };
        above.is_empty()
            || matches!(last, Step::Item(_))
                && !above.iter().any(|step| matches!(step, Step::Item(_)))
    }

    fn value_ended(&mut self) {
        match self.path.last_mut() {
            Some(Step::Member(key)) => *key = None,
            Some(Step::Item(index)) => *index += 1,
            None => {}
        }
    }

    /// Writes `path: value`, or `, value` after the first of an array.
    fn scalar(&mut self, value: &str) -> Result<(), ExtractError> {
        if self.paragraph.len() > MAX_PARAGRAPH_BYTES {
            self.end_paragraph()?;
        }
        if self.line_open {
            self.paragraph.push_str(", ");
            self.paragraph.push_str(value);
            return Ok(());
        }
        let in_array = matches!(self.path.last(), Some(Step::Item(_)));
        self.write_path(self.path.len() - usize::from(in_array));
        self.paragraph.push_str(value);
        self.line_open = true;
        if !in_array {
            self.end_line();
        }
        Ok(())
    }

    /// Writes the first `steps` of the path as in `users[0].name: `.
    fn write_path(&mut self, steps: usize) {
        let start = self.paragraph.len();
        for step in &self.path[..steps] {
            match step {
                Step::Member(key) => {
                    if self.paragraph.len() > start {
                        self.paragraph.push('.');
                    }
                    self.paragraph.push_str(&unquote(key.unwrap_or_default()));
                }
                Step::Item(index) => {
                    self.paragraph.push('[');
                    self.paragraph.push_str(&index.to_string());
                    self.paragraph.push(']');
                }
            }
        }
        if self.paragraph.len() > start {
            self.paragraph.push_str(": ");
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_open) {
            self.paragraph.push('\n');
        }
    }

    fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        self.line_open = false;
        self.blocks.layout(BlockKind::Paragraph, &self.paragraph)?;
        self.paragraph.clear();
        Ok(())
    }
}

/// The value of a string; one with half a surrogate pair stays as written.
fn unquote(string: &str) -> Cow<'_, str> {
    let inner = string
        .get(1..string.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(string).map_or(Cow::Borrowed(inner), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraphs(json: &str) -> Vec<String> {
        assert!(is_valid(json), "{json}");
        let mut blocks = Blocks::new(1 << 20);
        extract(json, &mut blocks).expect("within the limit");
        blocks.take().into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn every_value_has_its_path_and_arrays_of_scalars_one_line() {
        assert_eq!(
            paragraphs(
                r#"{"user": {"name": "Ada\nL.", "tags": ["a", "b", 1.10]}, "n": 12345678901234567890123, "ok": true}"#
            ),
            [
                "user.name: Ada\nL.\nuser.tags: a, b, 1.10",
                "n: 12345678901234567890123\nok: true"
            ]
        );
    }

    #[test]
    fn items_of_an_outermost_array_are_paragraphs() {
        assert_eq!(
            paragraphs(r#"{"rows": [{"a": 1, "b": [{"c": 2}, {"c": 3}]}, {"a": 4}]}"#),
            [
                "rows[0].a: 1\nrows[0].b[0].c: 2\nrows[0].b[1].c: 3",
                "rows[1].a: 4"
            ]
        );
    }

    #[test]
    fn lines_of_json_are_paragraphs() {
        assert_eq!(paragraphs("{\"a\": 1}\n\n{\"a\": 2}\n"), ["a: 1", "a: 2"]);
    }

    #[test]
    fn empty_values_and_repeated_keys_are_kept() {
        assert_eq!(
            paragraphs(r#"{"a": [], "a": {}, "": "x"}"#),
            ["a: []", "a: {}", "x"]
        );
        assert_eq!(paragraphs("[[1, 2], [3]]"), ["[0]: 1, 2", "[1]: 3"]);
        assert_eq!(paragraphs("\"alone\""), ["alone"]);
    }

    #[test]
    fn half_a_surrogate_pair_stays_as_written() {
        assert_eq!(
            paragraphs(r#"{"a": "x\ud800y", "b": "\ud83d\ude00"}"#),
            ["a: x\\ud800y\nb: 😀"]
        );
    }

    #[test]
    fn broken_json_is_not_valid() {
        assert!(!is_valid("{\"a\": "));
        assert!(!is_valid(""));
        assert!(!is_valid(&"[".repeat(100_000)));
    }

    #[test]
    fn nesting_may_be_of_any_depth() {
        let deep = format!("{}7{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(paragraphs(&deep)[0].ends_with("[0]: 7"));
    }

    #[test]
    fn long_keys_over_many_values_run_into_the_limit() {
        let values = vec!["{\"k\": 1}"; 1000].join(",");
        let json = format!("{{\"{}\": [{values}]}}", "long".repeat(10_000));
        assert!(matches!(
            extract(&json, &mut Blocks::new(1 << 20)),
            Err(ExtractError::TooLarge { .. })
        ));
    }
}
