//! Where a word ends, for texts whose writers put no space there: by dictionaries for Thai, Lao, Khmer, Burmese, Chinese
//! and Japanese, by Unicode's rules for all others.

use std::ops::Range;

use icu_segmenter::{WordSegmenter, options::WordBreakInvariantOptions};

/// Bytes before the range's end that are looked at, so that a cut costs the same however long the text is, and bytes
/// behind it, to see how its last word goes on.
const WINDOW: (usize, usize) = (120, 36);
/// The same among ideographs and kana: their words have few characters, and to look each of them up takes long.
const EAST_ASIAN_WINDOW: (usize, usize) = (36, 18);

/// The last end of a word that lies in the range or at its end, unless it is that of a word of hundreds of bytes.
pub(super) fn last(text: &str, range: Range<usize>) -> Option<usize> {
    let is_east_asian = text[..text.floor_char_boundary(range.end)].ends_with(is_east_asian);
    let window = if is_east_asian {
        EAST_ASIAN_WINDOW
    } else {
        WINDOW
    };
    last_within(window, text, range)
}

/// Kana and ideographs.
fn is_east_asian(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

fn last_within((before, after): (usize, usize), text: &str, range: Range<usize>) -> Option<usize> {
    let from = text.ceil_char_boundary(range.end.saturating_sub(before));
    let to = text.ceil_char_boundary(text.len().min(range.end + after));
    let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
    let ends = segmenter.segment_str(&text[from..to]).skip(1);
    ends.map(|end| from + end)
        .take_while(|end| *end <= range.end)
        .last()
        .filter(|end| *end >= range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts the text of which `|` marks the ends of words anywhere, and expects one of these ends.
    fn check(marked: &str) {
        let text = marked.replace('|', "");
        let mut ends = vec![0];
        for word in marked.split('|') {
            ends.push(ends[ends.len() - 1] + word.len());
        }
        for latest in ends[2]..=text.len() {
            let expected = ends.iter().rfind(|end| **end <= latest);
            assert_eq!(
                last(&text, 1..latest),
                expected.copied(),
                "{marked} before {latest}"
            );
        }
    }

    #[test]
    fn words_without_spaces_end_where_a_reader_ends_them() {
        check("สถานี|ตรวจ|อากาศ|อยู่|บน|เนิน|เขา|เหนือ|หมู่บ้าน");
        check("ສະຖານີ|ອຸຕຸ|ນິຍົມ");
        check("ស្ថានីយ៍|ឧតុនិយម");
        check("မိုးလေဝသ|စခန်း");
        check("这|是|一个|关于|机器|的|句子");
        check("これ|は|機械|について|の|文章|です");
        check("foo|/|bar|-|baz|(|qux|)|3.5");
    }

    #[test]
    fn to_look_further_around_among_ideographs_would_find_the_same_words() {
        let text = include_str!("../../fixtures/source/quick-start.md");
        let text: String = text.chars().filter(|c| is_east_asian(*c)).collect();
        let places: Vec<_> = text.char_indices().map(|(at, _)| at).skip(1).collect();
        assert!(places.len() > 900, "{}", places.len());
        for latest in places {
            let wide = last_within((400, 120), &text, 1..latest);
            assert_eq!(last(&text, 1..latest), wide, "{}", &text[latest..]);
        }
    }

    #[test]
    fn a_word_of_kilobytes_has_no_end_inside() {
        assert_eq!(last(&"a".repeat(5_000), 1..4_000), None);
    }
}
