//! Where a word ends, for texts whose writers put no space there: by dictionaries for Thai, Lao, Khmer, Burmese, Chinese
//! and Japanese, by Unicode's rules for all others.

use std::ops::Range;

use icu_segmenter::{WordSegmenter, options::WordBreakInvariantOptions};

/// Bytes before the range's end that are looked at, so that a cut costs the same however long the text is.
const BEFORE: usize = 120;
/// Bytes behind it, to see how its last word goes on.
const AFTER: usize = 36;

/// The last end of a word that lies in the range or at its end, unless it is that of a word of hundreds of bytes.
pub(super) fn last(text: &str, range: Range<usize>) -> Option<usize> {
    let from = text.ceil_char_boundary(range.end.saturating_sub(BEFORE));
    let to = text.ceil_char_boundary(text.len().min(range.end + AFTER));
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
    fn a_word_of_kilobytes_has_no_end_inside() {
        assert_eq!(last(&"a".repeat(5_000), 1..4_000), None);
    }
}
