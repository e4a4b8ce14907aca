//! The pieces that rich text is written in: braces, control words, symbols and bytes of text.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `{`
    Open,
    /// `}`
    Close,
    /// A backslash and letters, with the number that follows them.
    Word(&'a [u8], Option<i32>),
    /// A backslash and a character that is no letter.
    Symbol(u8),
    /// `\'e4`
    Byte(u8),
    /// Plain bytes without line ends, which mean nothing.
    Text(&'a [u8]),
}

/// Longer names are no control words.
const MAX_NAME: usize = 32;

/// Cuts bytes into tokens, each byte once.
pub(super) struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn after_backslash(&mut self) -> Token<'a> {
        let name = count(
            &self.0[..self.0.len().min(MAX_NAME)],
            u8::is_ascii_alphabetic,
        );
        if name > 0 {
            return self.word(name);
        }
        match self.take(1) {
            [b'\''] => Token::Byte(self.hex()),
            [symbol] => Token::Symbol(*symbol),
            _ => Token::Symbol(b'\\'),
        }
    }

    fn word(&mut self, name: usize) -> Token<'a> {
        let name = self.take(name);
        let minus = usize::from(self.0.first() == Some(&b'-'));
        let digits = count(self.0.get(minus..).unwrap_or_default(), u8::is_ascii_digit);
        let number = if digits > 0 {
            // A number beyond all measure is none.
            std::str::from_utf8(self.take(minus + digits))
                .ok()
                .and_then(|number| number.parse().ok())
        } else {
            None
        };
        if self.0.first() == Some(&b' ') {
            self.take(1);
        }
        if name == b"bin" {
            // Raw bytes, which may look like anything.
            self.take(
                number
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .unwrap_or(0),
            );
        }
        Token::Word(name, number)
    }

    fn hex(&mut self) -> u8 {
        let digits = count(&self.0[..self.0.len().min(2)], u8::is_ascii_hexdigit);
        std::str::from_utf8(self.take(digits))
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .unwrap_or(b' ')
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let ends = count(self.0, |byte| matches!(byte, b'\r' | b'\n' | b'\0'));
        self.take(ends);
        let token = match self.0.first()? {
            b'{' => Token::Open,
            b'}' => Token::Close,
            b'\\' => {
                self.take(1);
                return Some(self.after_backslash());
            }
            _ => {
                let text = count(self.0, |byte| {
                    !matches!(byte, b'\\' | b'{' | b'}' | b'\r' | b'\n' | b'\0')
                });
                return Some(Token::Text(self.take(text)));
            }
        };
        self.take(1);
        Some(token)
    }
}

/// How many bytes at the start are like this.
fn count(bytes: &[u8], like: impl Fn(&u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|byte| !like(byte))
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(rtf: &[u8]) -> Vec<Token<'_>> {
        Tokens::new(rtf).collect()
    }

    #[test]
    fn words_end_at_their_space_and_text_at_the_next_mark() {
        assert_eq!(
            tokens(b"{\\b0 a \r\nb\\'e4\\u-10?\\~}"),
            [
                Token::Open,
                Token::Word(b"b", Some(0)),
                Token::Text(b"a "),
                Token::Text(b"b"),
                Token::Byte(0xe4),
                Token::Word(b"u", Some(-10)),
                Token::Text(b"?"),
                Token::Symbol(b'~'),
                Token::Close,
            ]
        );
    }

    #[test]
    fn raw_bytes_are_no_tokens() {
        assert_eq!(
            tokens(b"\\bin4 }}}}a\\bin99999 b"),
            [
                Token::Word(b"bin", Some(4)),
                Token::Text(b"a"),
                Token::Word(b"bin", Some(99_999)),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_still_read() {
        assert_eq!(tokens(b"\\"), [Token::Symbol(b'\\')]);
        assert_eq!(tokens(b"\\'f"), [Token::Byte(15)]);
        assert_eq!(
            tokens(b"\\li99999999999-"),
            [Token::Word(b"li", None), Token::Text(b"-")]
        );
    }
}
