//! The tokens of valid JSON, as they are written.

use std::borrow::Cow;

/// A piece of valid JSON; commas and colons are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    OpenObject,
    OpenArray,
    Close,
    /// With its quotes.
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Bare(&'a str),
}

/// The tokens of valid JSON.
pub(super) struct Tokens<'a>(pub(super) &'a str);

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

/// The value of a string; one with half a surrogate pair stays as written.
pub(super) fn unquote(string: &str) -> Cow<'_, str> {
    let inner = string
        .get(1..string.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(string).map_or(Cow::Borrowed(inner), Cow::Owned)
}
