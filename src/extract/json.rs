//! JSON and JSON Lines: a line per value, each with its path, so that any piece of the text makes sense alone.
//!
//! `{"user": {"name": "Ada", "tags": ["a", "b"]}}` becomes `user.name: Ada` and `user.tags: a, b`. A paragraph is one
//! top-level member, item or line. Order, repeated keys and numbers stay as written, and nesting may be of any depth.

mod token;

use serde::de::IgnoredAny;

use crate::document::BlockKind;

use self::token::{Token, Tokens, unquote};
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

#[cfg(test)]
mod tests;
