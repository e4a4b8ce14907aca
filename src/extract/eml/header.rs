//! The header of a message or of a part of one: its fields, their parameters, and the words that are encoded in them.

use std::{borrow::Cow, collections::HashMap};

use super::super::{charset, escape::unescape};
use super::transfer;

/// The fields that are looked at; the first of each counts.
const FIELDS: &[&str] = &[
    "subject",
    "from",
    "to",
    "cc",
    "date",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-location",
];
/// A name of a file in more pieces is none.
const MAX_PIECES: usize = 100;

/// A header.
#[derive(Clone, Debug, Default)]
pub(super) struct Header<'a>(HashMap<&'static str, &'a [u8]>);

impl<'a> Header<'a> {
    /// Takes in a field with its folded lines.
    pub(super) fn add(&mut self, field: &'a [u8]) {
        let Some(colon) = field.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = (field[..colon].trim_ascii(), &field[colon + 1..]);
        let known = FIELDS
            .iter()
            .find(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if let Some(known) = known {
            self.0.entry(known).or_insert(value);
        }
    }

    /// What a field says, in words.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        let charset = self.content_type().get("charset");
        let text = decode_words(&unfold(value, charset.as_deref()));
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A list of addresses, without the quotes around names.
    pub(super) fn addresses(&self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let mut plain = String::with_capacity(text.len());
        let mut escaped = false;
        for c in text.chars() {
            match c {
                '"' | '\\' if !escaped => escaped = c == '\\',
                c => {
                    plain.push(c);
                    escaped = false;
                }
            }
        }
        Some(plain)
    }

    pub(super) fn content_type(&self) -> Parameters {
        self.parameters("content-type")
    }

    pub(super) fn disposition(&self) -> Parameters {
        self.parameters("content-disposition")
    }

    /// How the bytes of the part are written: `base64`, `quoted-printable` or as they are.
    pub(super) fn encoding(&self) -> String {
        self.parameters("content-transfer-encoding").value
    }

    fn parameters(&self, name: &str) -> Parameters {
        self.0.get(name).map_or_else(Parameters::default, |value| {
            Parameters::read(&unfold(value, None))
        })
    }
}

/// A value such as `text/plain` and the parameters behind it.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// In lower case.
    pub(super) value: String,
    /// By name; long ones come in pieces.
    named: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    piece: usize,
    encoded: bool,
    value: String,
}

impl Parameters {
    fn read(field: &str) -> Self {
        let mut pieces = split(field).into_iter();
        let value = pieces.next().unwrap_or_default();
        let value = value.split_ascii_whitespace().next().unwrap_or_default();
        Self {
            value: value.to_ascii_lowercase(),
            named: pieces
                .take(MAX_PIECES)
                .filter_map(|piece| parameter(&piece))
                .collect(),
        }
    }

    /// The value of a parameter, its pieces joined and decoded.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut pieces: Vec<&Parameter> = self
            .named
            .iter()
            .filter(|parameter| parameter.name == name)
            .collect();
        pieces.sort_by_key(|parameter| parameter.piece);
        // `name*` is the better spelling of a `name` beside it.
        if pieces.iter().any(|piece| piece.encoded) && pieces.iter().all(|piece| piece.piece == 0) {
            pieces.retain(|piece| piece.encoded);
            pieces.truncate(1);
        }
        let first = pieces.first()?;
        if !first.encoded {
            let whole: String = pieces.iter().map(|piece| piece.value.as_str()).collect();
            return Some(decode_words(&whole));
        }
        let (label, rest) = first.value.split_once('\'').unwrap_or(("", &first.value));
        let rest = rest.split_once('\'').map_or(rest, |(_, rest)| rest);
        let mut bytes = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let value = if at == 0 { rest } else { &piece.value };
            if piece.encoded {
                bytes.extend(unescape(value.as_bytes(), b'%'));
            } else {
                bytes.extend_from_slice(value.as_bytes());
            }
        }
        charset::decode(&bytes, Some(label))
    }
}

/// Cuts at the semicolons outside of quotes, and takes the quotes away.
fn split(field: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in field.chars() {
        match c {
            '\\' if quoted && !escaped => escaped = true,
            '"' if !escaped => quoted = !quoted,
            ';' if !quoted => pieces.push(String::new()),
            c => {
                escaped = false;
                if let Some(piece) = pieces.last_mut() {
                    piece.push(c);
                }
            }
        }
    }
    pieces
}

fn parameter(piece: &str) -> Option<Parameter> {
    let (name, value) = piece.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let (name, encoded) = match name.strip_suffix('*') {
        Some(name) => (name, true),
        None => (&*name, false),
    };
    let (name, piece) = match name.split_once('*') {
        Some((name, piece)) => (name, piece.parse().ok()?),
        None => (name, 0),
    };
    Some(Parameter {
        name: name.to_owned(),
        piece,
        encoded,
        value: value.trim().to_owned(),
    })
}

/// A field as one line; bytes that should have been encoded are read as the part's charset or by a guess.
fn unfold(value: &[u8], label: Option<&str>) -> String {
    let text =
        charset::decode(value, label).map_or_else(|| String::from_utf8_lossy(value), Cow::Owned);
    text.replace(['\r', '\n'], "")
}

/// A word such as `=?utf-8?Q?caf=C3=A9?=`, and what follows it.
struct Word<'a> {
    label: &'a str,
    bytes: Vec<u8>,
    rest: &'a str,
}

fn word(text: &str) -> Option<Word<'_>> {
    let mut pieces = text.strip_prefix("=?")?.splitn(4, '?');
    let (label, encoding, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let rest = pieces.next()?.strip_prefix('=')?;
    let bytes = match encoding {
        "B" | "b" => transfer::base64(encoded.as_bytes()),
        "Q" | "q" => unescape(encoded.replace('_', " ").as_bytes(), b'='),
        _ => return None,
    };
    Some(Word {
        // A language may follow the charset.
        label: label.split('*').next().unwrap_or_default(),
        bytes,
        rest,
    })
}

/// Decodes the words that are encoded; the space between two of them means nothing, and characters may be cut between them.
fn decode_words(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(mut first) = word(rest) else {
            decoded.push_str("=?");
            rest = &rest[2..];
            continue;
        };
        rest = first.rest;
        while let Some(next) = word(rest.trim_ascii_start()) {
            rest = next.rest;
            if next.label.eq_ignore_ascii_case(first.label) {
                first.bytes.extend(next.bytes);
            } else {
                decoded.push_str(&plain(&first));
                first = next;
            }
        }
        decoded.push_str(&plain(&first));
    }
    decoded.push_str(rest);
    decoded
}

fn plain(word: &Word<'_>) -> String {
    charset::decode(&word.bytes, Some(word.label))
        .unwrap_or_else(|| String::from_utf8_lossy(&word.bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(value: &[u8]) -> Option<String> {
        let field = [b"Subject:".as_slice(), value].concat();
        let mut header = Header::default();
        header.add(&field);
        header.text("subject")
    }

    #[test]
    fn encoded_words_are_decoded_and_joined() {
        for (value, expected) in [
            (&b" =?utf-8?Q?caf=C3=A9_bar?= x"[..], "café bar x"),
            (b" =?UTF-8?B?w6k=?=\r\n =?utf-8*en?q?=21?=", "é!"),
            // One character in two words.
            (b" =?utf-8?Q?=E6=97?= =?utf-8?Q?=A5?=", "日"),
            (b" =?koi8-r?B?08/MzsPF?= =?iso-8859-1?Q?=E9?=", "солнцеé"),
            (b" =?iso-2022-jp?B?GyRCRnwbKEI=?=", "日"),
            (b" 1 =? 2 =?x?= =?utf-8?X?a?=", "1 =? 2 =?x?= =?utf-8?X?a?="),
            (b" folded\r\n\tline", "folded\tline"),
            ("né".as_bytes(), "né"),
        ] {
            assert_eq!(subject(value).as_deref(), Some(expected));
        }
        assert_eq!(subject(b"  \r\n "), None);
    }

    #[test]
    fn parameters_are_found_in_all_their_spellings() {
        let name = |field: &str| Parameters::read(field).get("filename");
        for (field, expected) in [
            ("attachment; filename=\"a; \\\"b\\\".txt\"", "a; \"b\".txt"),
            ("attachment; FileName = plain.txt ; size=3", "plain.txt"),
            (
                "attachment; filename*=utf-8'en'caf%C3%A9.txt; filename=cafe.txt",
                "café.txt",
            ),
            (
                "attachment; filename*1*=%A9.txt; filename*0*=utf-8''caf%C3",
                "café.txt",
            ),
            (
                "attachment; filename*0=long; filename*1=er.txt",
                "longer.txt",
            ),
            ("attachment; filename=\"=?utf-8?B?w6k=?=.txt\"", "é.txt"),
        ] {
            assert_eq!(name(field).as_deref(), Some(expected), "{field}");
        }
        assert_eq!(Parameters::read(" Text/HTML (a)").value, "text/html");
        assert_eq!(name("attachment"), None);
    }

    #[test]
    fn long_fields_take_linear_time() {
        for piece in ["=?", "=?a?q?", "=?a?b?YQ==?= ", "\"\\", ";a*0=b"] {
            let field = piece.repeat(1 << 18);
            assert!(!decode_words(&field).is_empty());
            assert!(Parameters::read(&field).get("b").is_none());
        }
    }
}
