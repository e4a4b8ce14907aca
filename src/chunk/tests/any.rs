//! Properties that hold for any document, and for hostile ones.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

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
                from += found.unwrap_or_default() + word.len();
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
            let last = chunked.chunks.last().expect("a chunk");
            assert!(
                chunked.content(last).ends_with("after"),
                "{unit:?} as {kind:?}"
            );
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
fn long_titles_above_each_chunk_are_not_counted_again_for_each_part_that_is_left_out() {
    let title = "the quick brown fox jumps over the lazy dog ".repeat(4);
    let text = "and so on ".repeat(22);
    let mut blocks: Vec<_> = (1..6)
        .map(|level| (heading(level), title.as_str()))
        .collect();
    blocks.extend((0..500).flat_map(|_| [(heading(6), "More"), (PARAGRAPH, &text)]));
    token::STEPS.set(0);
    let chunked = chunk(&document(&blocks), &settings(512, 64));
    assert!(chunked.chunks.len() > 400, "each has a path of its own");
    let steps = token::STEPS.get();
    assert!(steps < 12 * chunked.text.len(), "{steps} bytes looked at");
}
