//! Bytes of text in any charset to a string.
//!
//! In order of trust: byte order mark, UTF-16 and UTF-32 by the place of their zeros, valid UTF-8, the charset that the
//! file's row names, the one that [the file itself](mod@declared) names, and last a guess by letter frequencies, unless
//! [`signs`] alone are to be judged or a code page of DOS reads better.

mod declared;
pub(super) mod dos;
mod oddness;
mod signs;

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use self::{declared::declared, dos::CodePage, oddness::Look};

/// Enough of a file to tell its charset by.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Less of a text, in thousandths of what is not ASCII, is odd by the author's own doing.
const MAX_ODDNESS: usize = 100;

/// Fewer odd places are slips, and the signs of a trade that no list of signs knows.
const MIN_ODD: usize = 3;

/// What bytes that are not Unicode may be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Web(&'static Encoding),
    Dos(CodePage),
}

impl Charset {
    /// By the name that a file or its row gives it.
    fn named(label: &str) -> Option<Self> {
        Encoding::for_label(label.as_bytes())
            .map(Self::Web)
            .or_else(|| CodePage::named(label).map(Self::Dos))
    }

    /// The text of bytes that are no valid UTF-8, or `None` where they are not of this charset.
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Web(encoding) if encoding == UTF_8 => None,
            Self::Web(encoding) => encoding
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map(Cow::into_owned),
            Self::Dos(page) => Some(page.decode(bytes)),
        }
    }
}

/// The text of `bytes`, or `None` where they are no text.
pub(super) fn decode(bytes: &[u8], label: Option<&str>) -> Option<String> {
    let wide = wide_mark(bytes).or_else(|| wide_guess(bytes).filter(|_| !is_narrow(bytes)));
    let text = if let Some((width, little, skip)) = wide {
        decode_wide(&bytes[skip..], width, little)
    } else {
        decode_narrow(bytes, label)
    };
    is_text(&text).then_some(text)
}

/// The charset named in a mime type, as in `text/plain; charset=koi8-r`.
pub(super) fn label_of(mime_type: &str) -> Option<&str> {
    mime_type.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    })
}

/// Bytes a unit, whether little endian, and the length of the mark.
fn wide_mark(bytes: &[u8]) -> Option<(usize, bool, usize)> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] if bytes.len().is_multiple_of(4) => Some((4, true, 4)),
        [0, 0, 0xfe, 0xff, ..] => Some((4, false, 4)),
        [0xff, 0xfe, ..] => Some((2, true, 2)),
        [0xfe, 0xff, ..] => Some((2, false, 2)),
        _ => None,
    }
}

/// The same without a mark: text has zeros in UTF-16 and UTF-32 only, and always at the same place in a unit.
fn wide_guess(bytes: &[u8]) -> Option<(usize, bool, usize)> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES) & !3];
    let mut zeros = [0_usize; 4];
    for unit in sample.chunks_exact(4) {
        for (count, byte) in zeros.iter_mut().zip(unit) {
            *count += usize::from(*byte == 0);
        }
    }
    let units = sample.len() / 4;
    let all = |count: usize| units > 0 && count * 20 >= units * 19;
    if all(zeros[3]) && all(zeros[2]) {
        return Some((4, true, 0));
    }
    if all(zeros[0]) && all(zeros[1]) {
        return Some((4, false, 0));
    }
    // East Asian text has few ASCII characters, and so few zeros: a fiftieth is spaces, digits and line ends.
    let (even, odd) = (zeros[0] + zeros[2], zeros[1] + zeros[3]);
    if odd * 25 > units && even * 20 <= odd {
        return Some((2, true, 0));
    }
    if even * 25 > units && odd * 20 <= even {
        return Some((2, false, 0));
    }
    None
}

/// Whether it is UTF-8 with a stray zero here and there: the bytes of UTF-16 and UTF-32 are half zeros, or not UTF-8, or, in
/// the alphabets of the first two thousand characters, full of other control characters.
fn is_narrow(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let zeros: usize = sample.iter().map(|byte| usize::from(*byte == 0)).sum();
    let control = |byte: &u8| {
        byte.is_ascii_control() && !matches!(byte, 0 | b'\t' | b'\n' | 0xc | b'\r' | 0x1b)
    };
    let utf_8 = match std::str::from_utf8(sample) {
        Ok(_) => true,
        // The sample may end within a character.
        Err(error) => error.error_len().is_none(),
    };
    zeros * 4 < sample.len() && utf_8 && !sample.iter().any(control)
}

fn decode_wide(bytes: &[u8], width: usize, little: bool) -> String {
    if width == 2 {
        let encoding = if little { UTF_16LE } else { UTF_16BE };
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    bytes
        .chunks_exact(4)
        .map(|unit| {
            let unit = [unit[0], unit[1], unit[2], unit[3]];
            let scalar = if little {
                u32::from_le_bytes(unit)
            } else {
                u32::from_be_bytes(unit)
            };
            char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)
        })
        .collect()
}

fn decode_narrow(bytes: &[u8], label: Option<&str>) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // ISO-2022-JP is ASCII with escapes, and so valid UTF-8 too.
        if !text.contains('\u{1b}') {
            return text.to_owned();
        }
    }
    let named = label
        .and_then(Charset::named)
        .and_then(|charset| charset.decode(bytes))
        .or_else(|| declared(bytes)?.decode(bytes));
    if let Some(text) = named {
        return text;
    }
    let guessed = signs::settle(bytes, guess(bytes));
    if guessed != UTF_8
        && let Some(page) = dos_page(bytes, guessed)
    {
        return page.decode(bytes);
    }
    guessed.decode(bytes).0.into_owned()
}

/// The code page of DOS that reads well where the charset that was guessed does not.
fn dos_page(bytes: &[u8], guessed: &'static Encoding) -> Option<CodePage> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let first = Look::of(&guessed.decode_without_bom_handling(sample).0);
    if first.oddness() <= MAX_ODDNESS {
        return None;
    }
    let looks = [dos::CP850, dos::CP437].map(|page| (Look::of(&page.decode(sample)), page));
    let (look, page) = looks.into_iter().min_by_key(|(look, _)| look.oddness())?;
    let reads_better = look.oddness() <= MAX_ODDNESS
        && look.oddness() * 2 < first.oddness()
        && look.odd() < first.odd();
    let western = Look::of(&WINDOWS_1252.decode_without_bom_handling(sample).0);
    let enough = if look.is_written() {
        first.odd() >= MIN_ODD || western.has_controls() || look.is_in_pairs()
    } else {
        western.is_controls()
    };
    (reads_better && enough).then_some(page)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    // A file cut within a character, or with a bad byte, is still UTF-8 if most of it is: in other charsets, bytes that
    // happen to make characters of UTF-8 are rare.
    let (mut right, mut wrong) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        wrong += usize::from(!chunk.invalid().is_empty());
    }
    if right > wrong * 3 {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow)
}

/// Whether next to nothing of it is control characters or undecodable.
fn is_text(text: &str) -> bool {
    let (mut all, mut bad) = (0_usize, 0_usize);
    for c in text.chars() {
        all += 1;
        let control =
            c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}' | '\u{85}');
        bad += usize::from(control || c == char::REPLACEMENT_CHARACTER);
    }
    bad * 50 <= all
}

#[cfg(test)]
mod tests;
