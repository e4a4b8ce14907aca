//! What counts as clean text, for every format alike.
//!
//! Text comes out in NFC, with plain spaces, `\n` line ends and letters in place of ligatures and of other forms that only
//! look different; control characters, soft hyphens, zero-width and direction marks are gone, since they would split or hide
//! the words that people search for. Program text keeps its characters, but for those that nobody sees.

use std::borrow::Cow;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, char::decompose_compatible, is_nfc_quick,
};

/// Cleans `text` and leaves its lines and spacing as they are.
pub(super) fn verbatim(text: &str) -> Cow<'_, str> {
    let mut clean = by_char(text, push);
    if let Cow::Owned(text) = &mut clean
        && is_nfc_quick(text.chars()) != IsNormalized::Yes
    {
        *text = text.nfc().collect();
    }
    clean
}

/// Makes line ends of program text plain and drops what nobody sees; all else is as it was written.
pub(super) fn source(text: &str) -> Cow<'_, str> {
    by_char(text, |clean, c| {
        if matches!(c, '\n' | '\t') || !is_invisible(c) {
            clean.push(c);
        }
    })
}

/// Text with what is left of each of its characters; most text is plain and costs nothing.
fn by_char(text: &str, push: impl Fn(&mut String, char)) -> Cow<'_, str> {
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
            // Colours of a terminal, as logs have them.
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                chars.next_if(|c| matches!(c, '@'..='~'));
            }
            c => push(&mut clean, c),
        }
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
    trimmed(&verbatim(text))
}

/// The same of program text.
pub(super) fn source_layout(text: &str) -> String {
    trimmed(&source(text))
}

fn trimmed(text: &str) -> String {
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
        // The last two stand for letters of Korean that are not there, and are as wide.
        '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}'
        | '\u{3164}'
        | '\u{ffa0}' => clean.push(' '),
        '\u{2010}' | '\u{2011}' => clean.push('-'),
        // Word's bullets, drawn by the Symbol and Wingdings fonts from the private use area.
        '\u{f0a7}' | '\u{f0b7}' => clean.push('•'),
        c if c < '\u{132}' && !c.is_control() && c != '\u{ad}' => clean.push(c),
        '\u{200c}' | '\u{200d}' if !clean.ends_with(is_joined) => {}
        c if is_invisible(c) => {}
        c if is_disguised(c) => undisguise(clean, c),
        c => clean.push(radical(c)),
    }
}

/// Whether `c` only shows other characters in another shape: ligatures, letters and digits of full width, katakana of half
/// width, letters of Arabic by their place in a word, Roman numerals, units and words in one square, alphabets of
/// mathematics, radicals that stand for characters.
///
/// Not those that mean something by their shape: superscripts and fractions (`10²` is not `102`), circled numbers (`5①` is
/// not `51`), `…`, `№` and `™`; the punctuation of Chinese and Japanese, which has full width by right; the letters of
/// Korean and Thai whose decomposition is another spelling.
fn is_disguised(c: char) -> bool {
    matches!(c,
        '\u{132}' | '\u{133}' | '\u{13f}' | '\u{140}' | '\u{149}' | '\u{17f}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}'
        | '℀' | '℁' | '℃' | '℅' | '℆' | '℉'..='ℓ' | 'ℕ' | 'ℙ'..='ℝ' | '℡' | 'ℤ' | 'ℨ' | 'ℬ'..='ℹ' | '℻'..='ⅉ'
        | '\u{2160}'..='\u{217f}' | '\u{2474}'..='\u{24b5}'
        | '\u{2e9f}' | '\u{2ef3}' | '\u{2f00}'..='\u{2fd5}'
        | '\u{3200}'..='\u{3247}' | '\u{32c0}'..='\u{32cf}' | '\u{32ff}'..='\u{33ff}'
        | '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdfc}' | '\u{fe70}'..='\u{fefc}'
        | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe48}' | '\u{fe4d}'..='\u{fe6b}'
        | '＂'..='＇' | '＊' | '＋' | '－' | '／'..='９' | '＜'..='＞' | '＠'..='Ｚ' | '＼' | '＾'..='ｚ' | '｜'
        | '\u{ff61}'..='\u{ff9f}' | '￠' | '￡' | '￥' | '￦'
        | '\u{1d400}'..='\u{1d7ff}' | '\u{1f110}'..='\u{1f129}')
}

/// Appends what a disguised character shows; accents are composed afterwards.
fn undisguise(clean: &mut String, c: char) {
    // Units: `㎡` is m², since superscripts stay; the fraction slash of `㎧` is a plain one to whoever searches.
    let unit = matches!(c, '\u{3371}'..='\u{33df}');
    let mut first = true;
    decompose_compatible(c, |shown| {
        let shown = match shown {
            '2' if unit => '²',
            '3' if unit => '³',
            '\u{2215}' | '\u{2044}' => '/',
            shown => shown,
        };
        // Marks of Arabic are shown on a space that is not there.
        if !(first && shown == ' ') {
            clean.push(shown);
        }
        first = false;
    });
}

/// The character that a radical stands for where a font took one for the other; Unicode decomposes only those of Kangxi.
fn radical(c: char) -> char {
    match c {
        '⺠' => '民',
        '⻁' => '虎',
        '⻄' => '西',
        '⻑' => '長',
        '⻒' => '镸',
        '⻓' => '长',
        '⻔' => '门',
        '⻘' => '青',
        '⻛' => '风',
        '⻜' => '飞',
        '⻝' => '食',
        '⻢' => '马',
        '⻣' => '骨',
        '⻤' => '鬼',
        '⻥' => '鱼',
        '⻦' => '鸟',
        '⻨' => '麦',
        '⻩' => '黄',
        '⻫' => '斉',
        '⻬' => '齐',
        '⻭' => '歯',
        '⻮' => '齿',
        '⻯' => '竜',
        '⻰' => '龙',
        '⻲' => '亀',
        '⻅' => '见',
        '⻉' => '贝',
        '⻋' => '车',
        c => c,
    }
}

/// Whether a zero-width joiner may mean something after `c`: Persian, Indic scripts and emoji are spelled with them, while in
/// Latin, Greek and Cyrillic they only part ligatures.
const fn is_joined(c: char) -> bool {
    c >= '\u{590}'
}

/// Whether `c` is nothing to a reader of the text alone: controls, soft hyphens, zero-width and direction marks, letters of
/// Korean and Khmer that are not there, places of objects, noncharacters, the private use area, whose ornaments only their
/// fonts know, and what selects a shape of the character before it, but for that of emoji.
///
/// Mongolian is spelled with selectors of its own, which stay.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffc}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
        || u32::from(c) & 0xfffe == 0xfffe
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
            verbatim(
                "a\0b\u{7f}c\u{ad}d\u{200b}e\u{feff}f\u{202e}g\u{ffff}h\u{9b}i\u{fffc}j\u{1160}k\u{e0100}l"
            ),
            "abcdefghijkl"
        );
        assert_eq!(verbatim("기상\u{3164}관측소\u{ffa0}7"), "기상 관측소 7");
    }

    #[test]
    fn colours_of_a_terminal_are_gone() {
        assert_eq!(verbatim("\u{1b}[1;31mred\u{1b}[0m\u{1b}[é\u{1b}"), "redé");
    }

    #[test]
    fn joiners_stay_where_words_are_spelled_with_them() {
        for text in ["می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}🔬"] {
            assert_eq!(verbatim(text), text);
        }
        assert_eq!(
            verbatim("Auf\u{200c}lage für\u{200d} \u{200d}alle"),
            "Auflage für alle"
        );
    }

    #[test]
    fn ligatures_are_spelled_out_and_accents_composed() {
        assert_eq!(verbatim("e\u{fb03}cient cafe\u{301}"), "efficient café");
    }

    #[test]
    fn other_shapes_of_a_character_are_that_character() {
        for (shown, meant) in [
            ("ﬁnd ﬅ ĳ ſo", "find st ij so"),
            ("Ｈｅｒｏｎ　Ｗ７：１００％", "Heron W7：100%"),
            ("ｶﾞｽ ﾊﾟ｡｢ｱ｣", "ガス パ。「ア」"),
            ("ﺍﻟﻤﻄﺮ ﻻ ﷲ ﷼", "المطر لا الله ریال"),
            ("\u{fc60}", "\u{64e}\u{651}"),
            ("Ⅳ ⅻ ⑴ ⒈ ㈱", "IV xii (1) 1. (株)"),
            (
                "5 ㎞ 20 ℃ 3 ㎡ 8 ㎧ 2 ℓ ㍻ ㏢",
                "5 km 20 °C 3 m² 8 m/s 2 l 平成 3日",
            ),
            ("⼈⽇⻑⻘ 豈", "人日長青 豈"),
            ("𝐇𝑒𝓇𝔬𝚗 ℝ 𝟟", "Heron R 7"),
            ("︵︶﹐", "(),"),
            ("ǆ שׁ ﭏ", "dž שׁ אל"),
        ] {
            assert_eq!(verbatim(shown), meant);
        }
    }

    #[test]
    fn shapes_that_mean_something_stay() {
        for text in [
            "10² H₂O 1½ ⅔ 5① ⓐ № ™ … µ ª º",
            "好，（是）！？：；．～",
            "ㅋㅋ 한 ทำ",
            "❤\u{fe0f} 👩\u{200d}🔬",
        ] {
            assert_eq!(verbatim(text), text);
        }
    }

    #[test]
    fn program_text_keeps_its_characters() {
        assert_eq!(
            source("a\r\n\tb = \"ﬁ Ｘ\u{a0}e\u{301}\"\0\u{202e}\u{feff}\u{c}\rc"),
            "a\n\tb = \"ﬁ Ｘ\u{a0}e\u{301}\"\nc"
        );
    }

    #[test]
    fn no_character_passes_that_must_not_and_cleaning_again_changes_nothing() {
        // Beyond these planes there is nothing but ideographs and what is private.
        for c in ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{f0fff}') {
            let text = c.to_string();
            let clean = verbatim(&text).into_owned();
            let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
            assert!(!clean.contains(bad), "{c:?}");
            assert!(!source(&text).contains(bad), "{c:?}");
            assert_eq!(verbatim(&clean), clean, "{c:?}");
        }
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
