//! What counts as clean text, for every format alike.
//!
//! Text comes out in NFC, with plain spaces, `\n` line ends and letters in place of ligatures; control characters, soft
//! hyphens, zero-width and direction marks are gone, since they would split or hide the words that people search for.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Cleans `text` and leaves its lines and spacing as they are.
pub(super) fn verbatim(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|b| matches!(b, b'\n' | b'\t' | b' '..=b'~'))
    {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    clean.push('\n');
                }
            }
            c => push(&mut clean, c),
        }
    }
    if is_nfc_quick(clean.chars()) != IsNormalized::Yes {
        clean = clean.nfc().collect();
    }
    Cow::Owned(clean)
}

/// Cleans `text` and makes any white space within a line one space; lines are trimmed and empty ones dropped.
pub(super) fn prose(text: &str) -> String {
    let text = verbatim(text);
    let mut prose = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if !prose.is_empty() {
            prose.push('\n');
        }
        prose.push_str(first);
        for word in words {
            prose.push(' ');
            prose.push_str(word);
        }
    }
    prose
}

/// Cleans `text` into one line.
pub(super) fn line(text: &str) -> String {
    let mut line = prose(text);
    if line.contains('\n') {
        line = line.replace('\n', " ");
    }
    line
}

/// Cleans `text`, trims line ends and the empty lines around it, and keeps the rest of its layout.
pub(super) fn layout(text: &str) -> String {
    let text = verbatim(text);
    let mut layout = String::with_capacity(text.len());
    let lines = text.lines().map(str::trim_end);
    for line in lines.skip_while(|line| line.is_empty()) {
        layout.push_str(line);
        layout.push('\n');
    }
    layout.truncate(layout.trim_end().len());
    layout
}

/// Appends what is left of one character.
fn push(clean: &mut String, c: char) {
    match c {
        '\n' | '\t' | ' '..='~' => clean.push(c),
        '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            clean.push(' ');
        }
        '\u{2010}' | '\u{2011}' => clean.push('-'),
        '\u{fb00}'..='\u{fb06}' => clean.push_str(ligature(c)),
        // Word's bullets, drawn by the Symbol and Wingdings fonts from the private use area.
        '\u{f0a7}' | '\u{f0b7}' => clean.push('•'),
        c if is_invisible(c) => {}
        c => clean.push(c),
    }
}

/// Whether `c` is nothing to a reader of the text alone: controls, soft hyphens, zero-width and direction marks,
/// noncharacters, and the private use area, whose ornaments only their fonts know.
///
/// The zero-width joiners stay: Persian, Indic scripts and emoji are spelled with them.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{e000}'..='\u{f8ff}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || u32::from(c) & 0xfffe == 0xfffe
}

fn ligature(c: char) -> &'static str {
    match c {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        _ => "st",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_newlines() {
        assert_eq!(verbatim("a\r\nb\rc\u{2028}d\u{c}e"), "a\nb\nc\nd\ne");
    }

    #[test]
    fn nothing_invisible_passes() {
        assert_eq!(
            verbatim("a\0b\u{7f}c\u{ad}d\u{200b}e\u{feff}f\u{202e}g\u{ffff}h\u{9b}i"),
            "abcdefghi"
        );
    }

    #[test]
    fn joiners_stay_where_words_are_spelled_with_them() {
        assert_eq!(verbatim("می\u{200c}خواهم"), "می\u{200c}خواهم");
    }

    #[test]
    fn ligatures_are_spelled_out_and_accents_composed() {
        assert_eq!(verbatim("e\u{fb03}cient cafe\u{301}"), "efficient café");
    }

    #[test]
    fn prose_has_single_spaces_and_no_empty_lines() {
        assert_eq!(prose("  a \u{a0}\t b\n\n  c\u{3000}d \n"), "a b\nc d");
    }

    #[test]
    fn layout_keeps_indents_and_inner_empty_lines() {
        assert_eq!(layout("\n\n  a  \n\n    b\t\n\n"), "  a\n\n    b");
    }
}
