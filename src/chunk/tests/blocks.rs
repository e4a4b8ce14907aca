//! Tables, program text, pages: what is not running text.

use super::*;

#[test]
fn the_text_is_written_as_markdown() {
    let document = paged(&[
        (
            Some(1),
            &[
                (heading(1), "Guide"),
                (PARAGRAPH, "Read this."),
                (BlockKind::ListItem, "- one"),
                (BlockKind::ListItem, "- two"),
            ],
        ),
        (
            Some(2),
            &[
                (heading(2), "Use\nit"),
                (HEADER, "a | b"),
                (ROW, "1 | 2"),
                (BlockKind::Code, "let a = 1;\n```"),
            ],
        ),
    ]);
    let chunked = checked(&document, &settings(512, 0));
    let text = "# Guide\n\nRead this.\n\n- one\n- two\n\n## Use it\n\na | b\n1 | 2\n\n````\nlet a = 1;\n```\n````";
    assert_eq!(chunked.text, text);
    assert_eq!(texts(&chunked), [text]);
    assert_eq!(chunked.chunks[0].page, Some(1));
    assert_eq!(chunked.chunks[0].last_page, Some(2));
    assert_eq!(chunked.heading(&chunked.chunks[0]), Some("Guide"));
}

#[test]
fn a_long_table_repeats_its_header() {
    let rows: Vec<String> = (0..200)
        .map(|n| format!("{n} | item number {n} | {}", n * 7))
        .collect();
    let mut blocks = vec![(PARAGRAPH, "The stock:"), (HEADER, "id | name | count")];
    blocks.extend(rows.iter().map(|row| (ROW, row.as_str())));
    let chunked = checked(&document(&blocks), &settings(128, 32));
    assert!(chunked.chunks.len() > 10);
    for pair in chunked.chunks.windows(2) {
        assert!(pair[0].span.end < pair[1].span.start, "no row is repeated");
    }
    for chunk in &chunked.chunks[1..] {
        assert!(
            chunked.content(chunk).starts_with("id | name | count\n"),
            "{:?}",
            chunked.content(chunk)
        );
        let rows = &chunked.text[chunk.span.clone()];
        assert!(!rows.contains("name"), "the span is that of the rows");
        let whole = rows.lines().all(|row| row.split(" | ").count() == 3);
        assert!(whole, "rows are not cut: {rows:?}");
    }
}

#[test]
fn program_text_is_cut_between_functions() {
    let function = "fn add(a: u32, b: u32) -> u32 {\n    let c = a;\n\n    c + b\n}";
    let blocks: Vec<_> = (0..50).map(|_| (BlockKind::Code, function)).collect();
    let settings = Settings {
        splitter: Splitter::Code,
        ..settings(128, 0)
    };
    let chunked = checked(&document(&blocks), &settings);
    for text in texts(&chunked) {
        assert!(text.starts_with("fn add") && text.ends_with('}'), "{text}");
    }
}

#[test]
fn a_slash_after_a_header_is_counted_as_the_model_does() {
    let mut blocks = vec![(HEADER, "path | what?")];
    blocks.extend(std::iter::repeat_n((ROW, "/a/b/c | d?"), 60));
    let settings = Settings {
        tokenizer: Tokenizer::O200kBase,
        ..settings(40, 0)
    };
    let chunked = checked(&document(&blocks), &settings);
    assert!(texts(&chunked)[1].starts_with("path | what?\n/a"));
}

#[test]
fn a_blank_document_has_no_chunks() {
    let chunked = checked(&document(&[(PARAGRAPH, " \n ")]), &settings(100, 0));
    assert!(chunked.chunks.is_empty() && chunked.text.is_empty());
}

#[test]
fn a_page_break_shows_in_the_pages_of_a_chunk() {
    let text = "Some words on this page. ".repeat(10);
    let blocks: Blocks<'_> = &[(PARAGRAPH, &text)];
    let pages: Vec<_> = (1..6).map(|number| (Some(number), blocks)).collect();
    let chunked = checked(&paged(&pages), &settings(100, 0));
    for chunk in &chunked.chunks {
        assert!(chunk.page <= chunk.last_page);
    }
    let pages: Vec<_> = chunked
        .chunks
        .iter()
        .map(|chunk| chunk.page.expect("a page"))
        .collect();
    assert!(
        pages.is_sorted() && pages.contains(&1) && pages.contains(&5),
        "{pages:?}"
    );
}
