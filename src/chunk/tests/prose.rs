//! Where running text is cut and repeated.

use super::*;

#[test]
fn a_chunk_repeats_whole_sentences_of_the_one_before() {
    let sentences: Vec<String> = (0..100)
        .map(|n| format!("This is sentence number {n} of the text."))
        .collect();
    let chunked = checked(
        &document(&[(PARAGRAPH, &sentences.join(" "))]),
        &settings(100, 25),
    );
    for pair in chunked.chunks.windows(2) {
        let again = &chunked.text[pair[1].span.start..pair[0].span.end];
        assert!(
            again.starts_with("This is") && again.ends_with("text."),
            "{again:?}"
        );
        assert_eq!(again.matches('.').count(), 2, "as many as fit: {again:?}");
    }
}

#[test]
fn chinese_is_cut_after_its_own_punctuation() {
    let text = "這是一個關於機器的句子，說明它如何運作。".repeat(60);
    let chunked = checked(&document(&[(PARAGRAPH, &text)]), &settings(128, 0));
    for text in texts(&chunked) {
        assert!(text.ends_with('。'), "{text}");
    }
}

#[test]
fn a_text_without_spaces_is_cut_between_characters_that_people_see() {
    let text = "👩‍👩‍👧‍👦".repeat(200);
    let chunked = checked(&document(&[(PARAGRAPH, &text)]), &settings(100, 10));
    for text in texts(&chunked) {
        assert!(text.starts_with('👩') && text.ends_with('👦'), "{text}");
    }
}

#[test]
fn a_word_of_kilobytes_is_cut_between_characters_that_people_see() {
    let text = "e\u{301}\u{302}".repeat(3_000);
    for max_tokens in 97..104 {
        let chunked = checked(&document(&[(PARAGRAPH, &text)]), &settings(max_tokens, 10));
        for text in texts(&chunked) {
            assert!(text.starts_with('e') && text.ends_with('\u{302}'), "{text}");
        }
    }
}

#[test]
fn a_small_rest_is_not_left_alone() {
    let sentence = "This is a sentence of about ten tokens, or so. ";
    for times in 9..40 {
        let text = sentence.repeat(times);
        let chunked = checked(&document(&[(PARAGRAPH, &text)]), &settings(100, 0));
        let smallest = chunked
            .chunks
            .iter()
            .map(|chunk| chunk.tokens)
            .min()
            .unwrap();
        assert!(
            smallest >= 12 || chunked.chunks.len() == 1,
            "{times}: {smallest}"
        );
    }
}

#[test]
fn thai_is_cut_between_words() {
    let words = [
        "สถานี",
        "ตรวจ",
        "อากาศ",
        "อยู่",
        "บน",
        "เนิน",
        "เขา",
        "เหนือ",
        "หมู่บ้าน",
    ];
    let text = words.concat().repeat(60);
    let chunked = checked(&document(&[(PARAGRAPH, &text)]), &settings(100, 0));
    assert!(chunked.chunks.len() > 10);
    for text in texts(&chunked) {
        assert!(words.iter().any(|word| text.ends_with(word)), "{text}");
    }
}
