//! What headings do to the chunks around them.

use super::*;

#[test]
fn sections_have_chunks_of_their_own() {
    let text = "A sentence of some length that says nothing in particular. ".repeat(12);
    let document = document(&[
        (heading(1), "Guide"),
        (heading(2), "Install"),
        (PARAGRAPH, &text),
        (heading(2), "Use"),
        (heading(3), "Daily"),
        (PARAGRAPH, &text),
        (heading(1), "Index"),
        (PARAGRAPH, &text),
    ]);
    let chunked = checked(&document, &settings(512, 64));
    let headings: Vec<_> = chunked
        .chunks
        .iter()
        .map(|c| chunked.heading(c).expect("a heading"))
        .collect();
    assert_eq!(
        headings,
        ["Guide > Install", "Guide > Use > Daily", "Index"]
    );
    assert!(texts(&chunked)[1].starts_with("## Use"));
}

#[test]
fn small_sections_share_a_chunk_under_the_heading_that_they_share() {
    let long = "A sentence of some length that says nothing in particular. ".repeat(12);
    let document = document(&[
        (heading(1), "Guide"),
        (heading(2), "First"),
        (PARAGRAPH, "Short."),
        (heading(2), "Second"),
        (PARAGRAPH, "Short too."),
        (heading(1), "Index"),
        (PARAGRAPH, &long),
        (heading(1), "Legal"),
        (PARAGRAPH, &long),
    ]);
    let chunked = checked(&document, &settings(200, 0));
    let headings: Vec<_> = chunked
        .chunks
        .iter()
        .map(|chunk| chunked.heading(chunk).unwrap())
        .collect();
    assert_eq!(headings, ["Guide", "Index", "Legal"]);
}

#[test]
fn a_heading_stays_with_what_follows_it() {
    let text = "Words and words and words. ".repeat(30);
    let blocks: Vec<(BlockKind, &str)> = (0..40)
        .flat_map(|_| [(heading(2), "Title"), (PARAGRAPH, text.as_str())])
        .collect();
    for max_tokens in [50, 100, 200, 300, 400] {
        let chunked = checked(&document(&blocks), &settings(max_tokens, 10));
        for text in texts(&chunked) {
            assert!(!text.ends_with("Title"), "{max_tokens}: {text:?}");
        }
    }
}

#[test]
fn nothing_is_repeated_across_a_heading() {
    let text = "Some words about this. ".repeat(50);
    let document = document(&[
        (heading(1), "A"),
        (PARAGRAPH, &text),
        (heading(1), "B"),
        (PARAGRAPH, &text),
    ]);
    let chunked = checked(&document, &settings(100, 40));
    let second = chunked.text.find("# B").unwrap();
    for chunk in &chunked.chunks {
        assert!(
            chunk.span.end <= second || chunk.span.start >= second,
            "{:?}",
            chunked.content(chunk)
        );
    }
}

#[test]
fn a_chunk_never_spans_two_chapters_however_small_they_are() {
    let questions: Vec<String> = (0..30)
        .map(|n| format!("May I ask question {n}?"))
        .collect();
    for level in [1, 3] {
        let mut blocks = vec![(PARAGRAPH, "Before all.")];
        for question in &questions {
            blocks.push((heading(level), question.as_str()));
            blocks.push((heading(level + 1), "Answer"));
            blocks.push((PARAGRAPH, "You may."));
        }
        let chunked = checked(&document(&blocks), &settings(512, 64));
        assert_eq!(chunked.chunks.len(), 31);
        let second = &chunked.chunks[1];
        assert_eq!(
            chunked.heading(second),
            Some("May I ask question 0? > Answer")
        );
        assert!(
            chunked.content(second).ends_with("You may."),
            "{}",
            chunked.content(second)
        );
    }
}
