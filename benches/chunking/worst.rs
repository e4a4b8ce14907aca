//! Documents and settings that are slow to cut, each as slow as it could be made.

use std::ops::Range;

use orion_ingest::{
    chunk::Settings,
    document::{Block, BlockKind, Document, Page},
};

use super::{SETTINGS, block, of, repeat};

/// Each text is repeated up to this size.
const BYTES: usize = 1_000_000;

/// What makes tokenizers and splitters stumble.
pub(crate) fn documents() -> Vec<(&'static str, Document)> {
    let mut random = Random(1);
    let letters = ('a'..='z').collect::<Vec<_>>();
    let signs = "!\"#$%&()*+,-./:;<=>?@[]^_`{|}~"
        .chars()
        .collect::<Vec<_>>();
    let base64 = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .collect::<Vec<_>>();
    let ideographs = ('\u{4e00}'..'\u{9000}').collect::<Vec<_>>();
    let rare = ('\u{20000}'..'\u{2a000}').collect::<Vec<_>>();
    let emoji = ('\u{1f300}'..'\u{1f5ff}').collect::<Vec<_>>();
    let thai = ('\u{e01}'..='\u{e2e}').collect::<Vec<_>>();
    let scripts = ['a', 'B', '1', '漢', 'か', 'ж', 'ع', 'ก', '가', '-', '😀'];
    let mut texts: Vec<(&str, String)> = [
        ("random letters, one line", &letters[..]),
        ("random signs, one line", &signs),
        ("random base64, one line", &base64),
        ("random ideographs, one line", &ideographs),
        ("rare ideographs, one line", &rare),
        ("random emoji, one line", &emoji),
        ("random Thai, one line", &thai),
        ("random scripts, one line", &scripts),
    ]
    .map(|(name, of)| (name, random.text(of)))
    .into();
    for (name, unit) in [
        ("one letter", "a"),
        ("equals signs", "="),
        ("a a a", "a "),
        ("abcdefghij", "abcdefghij"),
        ("digits", "0123456789"),
        ("one ideograph", "漢"),
        ("families of emoji", "👩‍👩‍👧‍👦"),
        ("flags", "🇯🇵"),
        ("combining marks", "e\u{301}\u{302}\u{303}"),
        ("empty lines", "x\n\n"),
        ("short sentences", "A. "),
        ("quotes after dots", ".\"'"),
    ] {
        texts.push((name, repeat(unit, BYTES)));
    }
    texts.push(("a megabyte of spaces", format!("a{}b", repeat(" ", BYTES))));
    let mut documents: Vec<_> = texts
        .into_iter()
        .map(|(name, text)| (name, of(vec![block(BlockKind::Paragraph, &text)])))
        .collect();
    documents.extend(worst_blocks());
    documents
}

/// Documents whose blocks are the trouble.
fn worst_blocks() -> Vec<(&'static str, Document)> {
    let many = |kind, text: &str, times| vec![block(kind, text); times];
    let below = |first: Block, kind, text| [vec![first], many(kind, text, 100_000)].concat();
    let numbers = || (0..100_000).map(|number| number.to_string());
    let chapter = |title: String| block(heading(1), &title);
    let title = "the quick brown fox jumps over the lazy dog ".repeat(3);
    let headers = [block(row(true), "1"), block(row(false), "2")];
    vec![
        ("10⁵ chapters", of(many(heading(1), "Two words", 100_000))),
        (
            "10⁵ chapters of a letter",
            of(many(heading(1), "x", 100_000)),
        ),
        (
            "10⁵ chapters, numbered",
            of(numbers().map(chapter).collect()),
        ),
        (
            "10⁵ chapters below a long title",
            of([title.clone()]
                .into_iter()
                .chain(numbers())
                .map(chapter)
                .collect()),
        ),
        (
            "10⁵ sections",
            of(below(block(heading(1), "Title"), heading(2), "Two words")),
        ),
        ("long titles above each chunk", of(deep(&title))),
        (
            "rows below a huge header",
            of(below(
                block(row(true), &"a column | ".repeat(40)),
                row(false),
                "1 | 2 | 3",
            )),
        ),
        ("rows of a letter", of(many(row(false), "x", 400_000))),
        ("tables of a letter", of(vec![headers; 100_000].concat())),
        (
            "10⁵ list items",
            of(many(BlockKind::ListItem, "- item", 100_000)),
        ),
        (
            "list items of a sign",
            of(many(BlockKind::ListItem, "-", 400_000)),
        ),
        ("pages of a letter", pages()),
        (
            "lines of code",
            of(vec![block(BlockKind::Code, &repeat("x\n", BYTES))]),
        ),
    ]
}

/// A path of 700 characters above each chunk, of which the last one is its own.
fn deep(title: &str) -> Vec<Block> {
    let mut blocks: Vec<_> = (1..6).map(|level| block(heading(level), title)).collect();
    let text = "and so on ".repeat(22);
    for number in 0..5_000 {
        blocks.push(block(heading(6), &number.to_string()));
        blocks.push(block(BlockKind::Paragraph, &text));
    }
    blocks
}

fn pages() -> Document {
    let mut document = of(Vec::new());
    document.pages = (1..300_000)
        .map(|number| Page {
            number: Some(number),
            blocks: vec![block(BlockKind::Paragraph, "x")],
        })
        .collect();
    document
}

/// Sizes that are worse than the usual one: the default, and the smallest that there may be.
pub(crate) fn settings() -> Vec<(&'static str, Document, Settings)> {
    let mut random = Random(1);
    let mut line = |of_them: Range<char>| {
        let letters: Vec<_> = of_them.collect();
        of(vec![block(BlockKind::Paragraph, &random.text(&letters))])
    };
    let (letters, ideographs) = (line('a'..'{'), line('\u{4e00}'..'\u{9000}'));
    let prose = repeat("It rained again, and nobody had emptied the gauge. ", BYTES);
    let prose = of(vec![block(BlockKind::Paragraph, &prose)]);
    let sized = |max_tokens, overlap_tokens| Settings {
        max_tokens,
        overlap_tokens,
        ..SETTINGS
    };
    vec![
        (
            "200/0: random letters, one line",
            letters.clone(),
            sized(200, 0),
        ),
        (
            "200/0: random ideographs, one line",
            ideographs.clone(),
            sized(200, 0),
        ),
        ("16/7: one paragraph of prose", prose, sized(16, 7)),
        ("16/7: random letters, one line", letters, sized(16, 7)),
        (
            "16/7: random ideographs, one line",
            ideographs,
            sized(16, 7),
        ),
    ]
}

fn heading(level: u8) -> BlockKind {
    BlockKind::Heading { level }
}

fn row(header: bool) -> BlockKind {
    BlockKind::TableRow { header }
}

/// Always the same numbers (xorshift), so that runs compare.
struct Random(u64);

impl Random {
    fn text(&mut self, of: &[char]) -> String {
        let mut text = String::new();
        while text.len() < BYTES {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let place = usize::try_from(self.0 >> 33).unwrap_or_default();
            text.push(of[place % of.len()]);
        }
        text
    }
}
