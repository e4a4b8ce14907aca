//! Properties that hold for any document, and what a reader expects of an ordinary one.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::document::{Block, BlockKind, Page};

const PARAGRAPH: BlockKind = BlockKind::Paragraph;
const ROW: BlockKind = BlockKind::TableRow { header: false };
const HEADER: BlockKind = BlockKind::TableRow { header: true };

fn heading(level: u8) -> BlockKind {
    BlockKind::Heading { level }
}

fn document(blocks: Blocks<'_>) -> Document {
    paged(&[(None, blocks)])
}

type Blocks<'a> = &'a [(BlockKind, &'a str)];

fn paged(pages: &[(Option<u32>, Blocks<'_>)]) -> Document {
    let pages = pages.iter().map(|(number, blocks)| Page {
        number: *number,
        blocks: blocks
            .iter()
            .map(|(kind, text)| Block {
                kind: *kind,
                text: (*text).into(),
            })
            .collect(),
    });
    Document {
        mime_type: "text/plain".into(),
        pages: pages.collect(),
    }
}

fn settings(max_tokens: u32, overlap_tokens: u32) -> Settings {
    Settings {
        splitter: Splitter::Markdown,
        max_tokens,
        overlap_tokens,
        tokenizer: Tokenizer::default(),
        prefix: PREFIX,
    }
}

fn texts(chunked: &Chunked) -> Vec<&str> {
    chunked.chunks.iter().map(|chunk| &*chunk.text).collect()
}

fn oracle(tokenizer: Tokenizer, text: &str) -> u32 {
    small(match tokenizer {
        Tokenizer::Cl100kBase => tiktoken_rs::cl100k_base_singleton()
            .encode_ordinary(text)
            .len(),
        Tokenizer::O200kBase => tiktoken_rs::o200k_base_singleton()
            .encode_ordinary(text)
            .len(),
        Tokenizer::Characters => text.chars().count(),
    })
}

/// What holds for every chunking.
fn check(chunked: &Chunked, settings: &Settings) {
    let text = &chunked.text;
    let count = |text: &str| oracle(settings.tokenizer, text);
    let (mut start, mut end) = (0, 0);
    for (index, chunk) in (0..).zip(&chunked.chunks) {
        assert_eq!(chunk.index, index);
        assert!(!chunk.text.trim().is_empty(), "a blank chunk");
        assert!(
            chunk.text.ends_with(&text[chunk.span.clone()]),
            "a chunk that is not the text"
        );
        assert_eq!(chunk.tokens, count(&chunk.text), "{:?}", chunk.text);
        assert!(
            chunk.tokens <= settings.max_tokens.max(4),
            "{:?}",
            chunk.text
        );
        assert!(
            chunk.span.start >= start && chunk.span.end > end,
            "out of order"
        );
        if chunk.span.start > end {
            let gap = &text[end..chunk.span.start];
            assert!(gap.trim().is_empty(), "lost: {gap:?}");
        } else {
            let again = &text[chunk.span.start..end];
            assert!(
                count(again) <= settings.overlap_tokens + 2,
                "repeats {again:?}"
            );
        }
        check_embedded(chunk, settings);
        (start, end) = (chunk.span.start, chunk.span.end);
    }
    assert!(
        text[end..].trim().is_empty(),
        "lost at the end: {:?}",
        &text[end..]
    );
}

fn check_embedded(chunk: &Chunk, settings: &Settings) {
    let embedded = &chunk.embedded;
    assert_eq!(
        *embedded.text,
        format!("{}{}", embedded.prefix(), chunk.text)
    );
    assert_eq!(embedded.tokens, oracle(settings.tokenizer, &embedded.text));
    let sha256: [u8; 32] = Sha256::digest(embedded.text.as_bytes()).into();
    assert_eq!(chunk.sha256, sha256);
    let most = (settings.max_tokens / 4).min(64);
    assert!(oracle(settings.tokenizer, embedded.prefix()) <= most);
    assert!(settings.prefix || embedded.prefix().is_empty());
}

fn checked(document: &Document, settings: &Settings) -> Chunked {
    let chunked = chunk(document, settings);
    check(&chunked, settings);
    let walls = Written::from(document, settings.splitter).outline.highest();
    for chunk in &chunked.chunks {
        let inside = |wall: &usize| chunk.span.start < *wall && *wall < chunk.span.end;
        assert!(!walls.iter().any(inside), "two chapters: {:?}", chunk.text);
    }
    chunked
}

/// Text of all that makes tokenizers and splitters stumble.
fn any_text() -> impl Strategy<Value = String> {
    let words = select(vec![
        "The",
        " cat",
        " sat",
        ". ",
        "Don't",
        " (really)",
        ", ",
        "! ",
        "?\" ",
        "\n",
        "\n\n",
        "  ",
        "\t",
        "e.g. so",
        "3.14159",
        "12345678",
        "漢字仮名",
        "交じり文",
        "。",
        "」",
        "、",
        "안녕하세요",
        "مرحبا",
        "؟ ",
        "नमस्ते",
        "।",
        "👩‍👩‍👧‍👦",
        "🇯🇵🇩🇪",
        "e\u{301}\u{302}",
        "\u{200d}",
        "ﷺ",
        "𒐫",
        "----",
        "====\n",
        "...",
        "|",
        " | ",
        "```",
        "#",
        "'ll",
        "'S",
        "\u{a0}",
        "\u{3000}",
        "\r\n",
        "İ",
        "ß",
        "x\u{300}\u{300}\u{300}\u{300}\u{300}",
    ]);
    let run = (
        select(vec![
            "a",
            "é",
            "漢",
            " ",
            "\n",
            "=",
            "🇯",
            "ab",
            "é\u{301}",
            ". ",
            "。",
            "x1",
            "!\n",
        ]),
        1_usize..300,
    )
        .prop_map(|(unit, times)| unit.repeat(times));
    let piece = prop_oneof![
        12 => words.prop_map(str::to_owned),
        1 => run,
        1 => "[a-zA-Z]{1,90}",
        1 => "\\PC{0,12}",
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn any_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        (1_u8..7).prop_map(heading),
        Just(PARAGRAPH),
        Just(PARAGRAPH),
        Just(BlockKind::ListItem),
        Just(ROW),
        Just(ROW),
        Just(HEADER),
        Just(BlockKind::Code),
        Just(BlockKind::Footnote),
    ]
}

fn any_document() -> impl Strategy<Value = Document> {
    let block = (any_kind(), any_text()).prop_map(|(kind, text)| Block { kind, text });
    let page = (any::<Option<u32>>(), vec(block, 0..8))
        .prop_map(|(number, blocks)| Page { number, blocks });
    vec(page, 0..4).prop_map(|pages| Document {
        mime_type: "text/plain".into(),
        pages,
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let splitter = select(vec![
        Splitter::Prose,
        Splitter::Markdown,
        Splitter::Table,
        Splitter::Code,
    ]);
    (splitter, 1_u32..200, 0_u32..100).prop_map(|(splitter, max_tokens, overlap_tokens)| Settings {
        splitter,
        max_tokens,
        overlap_tokens,
        tokenizer: Tokenizer::default(),
        prefix: PREFIX,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_or_out_of_order_or_miscounted(document in any_document(), settings in any_settings()) {
        let chunked = checked(&document, &settings);
        prop_assert_eq!(&chunk(&document, &settings), &chunked, "the same document is cut the same");
    }

    #[test]
    fn tokens_are_counted_as_the_model_does(text in any_text()) {
        for tokenizer in [Tokenizer::Cl100kBase, Tokenizer::O200kBase, Tokenizer::Characters] {
            prop_assert_eq!(tokenizer.count(&text), oracle(tokenizer, &text));
        }
    }

    #[test]
    fn all_words_of_a_document_are_in_its_text(document in any_document()) {
        let settings = settings(64, 0);
        let text = chunk(&document, &settings).text;
        let mut from = 0;
        for block in document.pages.iter().flat_map(|page| &page.blocks) {
            for word in block.text.split_whitespace() {
                let found = text[from..].find(word);
                prop_assert!(found.is_some(), "{word:?} is missing");
                from += found.unwrap() + word.len();
            }
        }
    }
}

/// Half a megabyte of each; a splitter that is not linear would take hours.
#[test]
fn hostile_texts_of_half_a_megabyte_are_cut_in_one_pass() {
    let units = [
        "a",
        "漢",
        "\n",
        " ",
        "x\n",
        "x \n\n",
        "=",
        ".",
        "。",
        "a.",
        "!?",
        "ab ",
        "🇯",
        "👩\u{200d}",
        "e\u{301}",
        "\u{301}",
        "0",
        "`\n",
        "| ",
        "a\t",
        "ก",
        "aB1漢ж",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    ];
    for unit in units {
        let text = unit.repeat((1 << 19) / unit.len());
        for kind in [PARAGRAPH, BlockKind::Code, heading(1)] {
            let document = document(&[(PARAGRAPH, "before"), (kind, &text), (PARAGRAPH, "after")]);
            token::STEPS.set(0);
            let chunked = chunk(&document, &settings(512, 64));
            let last = chunked.chunks.last().unwrap();
            assert!(last.text.ends_with("after"), "{unit:?} as {kind:?}");
            let steps = token::STEPS.get();
            assert!(
                2 * steps < 7 * text.len(),
                "{unit:?} as {kind:?}: {steps} bytes looked at"
            );
        }
    }
}

#[test]
fn many_small_blocks_do_not_become_as_many_chunks() {
    for kind in [
        heading(2),
        PARAGRAPH,
        ROW,
        BlockKind::ListItem,
        BlockKind::Code,
    ] {
        let mut blocks = vec![(heading(1), "title")];
        blocks.extend((0..50_000).map(|_| (kind, "two words")));
        let chunked = chunk(&document(&blocks), &settings(512, 64));
        let tokens = Tokenizer::default().count(&chunked.text);
        assert!(chunked.chunks.len() < tokens as usize / 50, "{kind:?}");
    }
}

#[test]
fn a_repetitive_text_is_counted_exactly() {
    for unit in ["a", "漢", "=", "ab", "\u{301}", "x1", "🇯", "lo", "  x"] {
        let text = unit.repeat(30_000 / unit.len());
        checked(&document(&[(PARAGRAPH, &text)]), &settings(100, 20));
    }
}

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
    assert_eq!(chunked.chunks[0].heading.as_deref(), Some("Guide"));
}

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
        .map(|c| c.heading.as_deref().unwrap())
        .collect();
    assert_eq!(
        headings,
        ["Guide > Install", "Guide > Use > Daily", "Index"]
    );
    assert!(chunked.chunks[1].text.starts_with("## Use"));
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
        .map(|chunk| chunk.heading.as_deref().unwrap())
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
            chunk.text.starts_with("id | name | count\n"),
            "{:?}",
            chunk.text
        );
        let rows = &chunked.text[chunk.span.clone()];
        assert!(!rows.contains("name"), "the span is that of the rows");
        let whole = rows.lines().all(|row| row.split(" | ").count() == 3);
        assert!(whole, "rows are not cut: {rows:?}");
    }
}

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
            chunk.text
        );
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
            second.heading.as_deref(),
            Some("May I ask question 0? > Answer")
        );
        assert!(second.text.ends_with("You may."), "{}", second.text);
    }
}

#[test]
fn what_is_embedded_begins_with_the_title_and_the_path() {
    let long = "A sentence of some length that says nothing in particular. ".repeat(12);
    let document = document(&[
        (heading(1), "Station handbook"),
        (PARAGRAPH, &long),
        (heading(2), "Rain gauge"),
        (heading(3), "Care"),
        (PARAGRAPH, &long),
    ]);
    let chunked = checked(&document, &settings(200, 0));
    let prefixes: Vec<_> = chunked
        .chunks
        .iter()
        .map(|chunk| chunk.embedded.prefix())
        .collect();
    let path = "Station handbook > Rain gauge > Care\n\n";
    assert_eq!(prefixes, ["Station handbook\n\n", path]);
    assert!(chunked.chunks[1].text.starts_with("## Rain gauge"));
    let without = Settings {
        prefix: false,
        ..settings(200, 0)
    };
    for chunk in checked(&document, &without).chunks {
        assert_eq!(chunk.embedded.text, chunk.text);
    }
}

#[test]
fn a_chunk_with_its_prefix_is_no_longer_than_models_take() {
    let text = "rain ".repeat(20_000);
    let document = document(&[(heading(1), "Station handbook"), (PARAGRAPH, &text)]);
    let chunked = checked(&document, &settings(8_192, 0));
    for chunk in &chunked.chunks {
        assert!(chunk.embedded.tokens <= 8_192, "{}", chunk.embedded.tokens);
    }
    assert!(chunked.chunks[0].tokens > 8_000);
}

#[test]
fn only_a_title_is_put_before_chapters() {
    let titled: Blocks<'_> = &[
        (heading(1), "Station handbook"),
        (heading(1), "Rain gauge"),
        (PARAGRAPH, "It is full."),
    ];
    let chunked = checked(&document(titled), &settings(200, 0));
    let prefix = chunked.chunks[1].embedded.prefix();
    assert_eq!(prefix, "Station handbook > Rain gauge\n\n");
    let untitled: Blocks<'_> = &[
        (heading(1), "Rain gauge"),
        (PARAGRAPH, "It is full."),
        (heading(1), "Wind vane"),
        (PARAGRAPH, "It turns."),
    ];
    let chunked = checked(&document(untitled), &settings(200, 0));
    assert_eq!(chunked.chunks[1].embedded.prefix(), "Wind vane\n\n");
}

#[test]
fn a_type_says_whether_its_chunks_have_a_prefix() {
    let mut file_type = crate::file_type::FileTypes::seeded()
        .by_mime("text/markdown")
        .unwrap()
        .clone();
    for (options, prefix) in [
        (serde_json::json!({}), PREFIX),
        (serde_json::json!({ "embedding_prefix": true }), true),
        (serde_json::json!({ "embedding_prefix": false }), false),
        (serde_json::json!({ "embedding_prefix": "no" }), PREFIX),
        (serde_json::Value::Null, PREFIX),
    ] {
        file_type.options = options;
        assert_eq!(
            Settings::of(&file_type, Tokenizer::default()).prefix,
            prefix
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

#[test]
fn a_slash_after_a_header_is_counted_as_the_model_does() {
    let mut blocks = vec![(HEADER, "path | what?")];
    blocks.extend(std::iter::repeat_n((ROW, "/a/b/c | d?"), 60));
    let settings = Settings {
        tokenizer: Tokenizer::O200kBase,
        ..settings(40, 0)
    };
    let chunked = checked(&document(&blocks), &settings);
    assert!(chunked.chunks[1].text.starts_with("path | what?\n/a"));
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
        .map(|chunk| chunk.page.unwrap())
        .collect();
    assert!(
        pages.is_sorted() && pages.contains(&1) && pages.contains(&5),
        "{pages:?}"
    );
}
