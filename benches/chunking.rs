//! How fast texts are cut, ordinary ones and the worst: `cargo bench --bench chunking`.
//!
//! Prints megabytes a second of one thread's CPU time and, since machines are noisy, what the same run needed to count
//! with other tokenizers and to read each byte once.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use orion_ingest::{
    chunk::{self, Settings, Splitter, Tokenizer},
    document::{Block, BlockKind, Document, Page},
};
use rustix::time::{ClockId, clock_gettime};

const SETTINGS: Settings = Settings {
    splitter: Splitter::Markdown,
    max_tokens: 512,
    overlap_tokens: 64,
    tokenizer: Tokenizer::Cl100kBase,
    prefix: true,
};
/// Each text is repeated up to this size.
const BYTES: usize = 4_000_000;
/// The worst ones up to this.
const WORST_BYTES: usize = 1_000_000;
/// The fastest of so many runs counts.
const RUNS: usize = 3;

fn main() -> io::Result<()> {
    let mut table = Table {
        out: io::stdout().lock(),
        english: 0.0,
    };
    table.head()?;
    for (name, text) in ordinary()? {
        let document = document(&repeat(&text, BYTES));
        table.row(&name, &document, true)?;
    }
    for (name, document) in worst() {
        table.row(name, &document, false)?;
    }
    table.foot()
}

/// Texts that people write.
fn ordinary() -> io::Result<Vec<(String, String)>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let read = |name: &str| fs::read_to_string(sources.join(name));
    let handbook = read("source/handbook.md")?;
    let prose: Vec<&str> = handbook
        .lines()
        .filter(|line| line.len() > 120 && line.starts_with(char::is_alphabetic))
        .collect();
    let three = read("source/quick-start.md")?;
    let titles = ["# 苍鹭", "# ヘロン", "# Метео"].map(|title| three.find(title));
    let [Some(chinese), Some(japanese), Some(russian)] = titles else {
        return Err(io::Error::other("quick-start.md lost a language"));
    };
    Ok(vec![
        ("English prose".to_owned(), prose.join("\n\n") + "\n\n"),
        ("Markdown".to_owned(), handbook.clone()),
        (
            "Markdown with code".to_owned(),
            read("programmers-guide.md")?,
        ),
        ("Chinese".to_owned(), three[chinese..japanese].to_owned()),
        ("Japanese".to_owned(), three[japanese..russian].to_owned()),
        ("Russian".to_owned(), three[russian..].to_owned()),
    ])
}

/// What makes tokenizers and splitters stumble.
fn worst() -> Vec<(&'static str, Document)> {
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
        texts.push((name, repeat(unit, WORST_BYTES)));
    }
    texts.push((
        "a megabyte of spaces",
        format!("a{}b", repeat(" ", WORST_BYTES)),
    ));
    let mut documents: Vec<_> = texts
        .into_iter()
        .map(|(name, text)| (name, of(vec![block(BlockKind::Paragraph, &text)])))
        .collect();
    documents.extend(worst_blocks());
    documents
}

/// Documents whose blocks are the trouble.
fn worst_blocks() -> Vec<(&'static str, Document)> {
    let heading = |level| BlockKind::Heading { level };
    let row = |header| BlockKind::TableRow { header };
    let many = |kind, text: &str, times| vec![block(kind, text); times];
    let mut sections = vec![block(heading(1), "Title")];
    sections.extend(many(heading(2), "Two words", 100_000));
    let mut table = vec![block(row(true), &"a column | ".repeat(40))];
    table.extend(many(row(false), "1 | 2 | 3", 100_000));
    vec![
        ("10⁵ chapters", of(many(heading(1), "Two words", 100_000))),
        ("10⁵ sections", of(sections)),
        ("rows below a huge header", of(table)),
        (
            "10⁵ list items",
            of(many(BlockKind::ListItem, "- item", 100_000)),
        ),
        (
            "lines of code",
            of(vec![block(BlockKind::Code, &repeat("x\n", WORST_BYTES))]),
        ),
    ]
}

struct Table {
    out: io::StdoutLock<'static>,
    /// Rate of the first row.
    english: f64,
}

impl Table {
    fn head(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "{:<28} {:>8} {:>8} {:>8} {:>10} {:>8} {:>8}",
            "text", "cut", "÷English", "count", "bpe-openai", "tiktoken", "read"
        )
    }

    /// Other tokenizers need minutes for the worst texts.
    fn row(&mut self, name: &str, document: &Document, beside: bool) -> io::Result<()> {
        let text = chunk::text(document, &SETTINGS);
        let rate = |work: &mut dyn FnMut() -> usize| rate(&text, fastest(work));
        let cut = rate(&mut || chunk::chunk(document, &SETTINGS).chunks.len());
        if self.english == 0.0 {
            self.english = cut;
        }
        let count = rate(&mut || SETTINGS.tokenizer.count(&text) as usize);
        let read = rate(&mut || text.bytes().map(usize::from).sum());
        let mut others = ["-".to_owned(), "-".to_owned()];
        if beside {
            let tiktoken = tiktoken_rs::cl100k_base_singleton();
            others = [
                rate(&mut || bpe_openai::cl100k_base().count(text.as_str())),
                rate(&mut || tiktoken.encode_ordinary(&text).len()),
            ]
            .map(|rate| format!("{rate:.1}"));
        }
        let [bpe_openai, tiktoken] = others;
        let share = self.english / cut;
        writeln!(
            self.out,
            "{name:<28} {cut:>8.1} {share:>8.2} {count:>8.1} {bpe_openai:>10} {tiktoken:>8} {read:>8.0}"
        )
    }

    fn foot(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "MB/s of CPU, one thread, {} tokens a chunk, {} of overlap; ÷English: how much slower than the first row",
            SETTINGS.max_tokens, SETTINGS.overlap_tokens
        )
    }
}

fn repeat(text: &str, bytes: usize) -> String {
    text.repeat(bytes / text.len() + 1)
}

/// A document of headings, items and paragraphs.
fn document(text: &str) -> Document {
    let parts = text.split("\n\n").filter(|part| !part.trim().is_empty());
    of(parts.map(str::trim).map(part).collect())
}

fn part(text: &str) -> Block {
    let rest = text.trim_start_matches('#');
    match u8::try_from(text.len() - rest.len()) {
        Ok(level @ 1..=6) if rest.starts_with(' ') => {
            block(BlockKind::Heading { level }, rest.trim())
        }
        _ if text.starts_with("- ") => block(BlockKind::ListItem, text),
        _ => block(BlockKind::Paragraph, text),
    }
}

fn block(kind: BlockKind, text: &str) -> Block {
    Block {
        kind,
        text: text.to_owned(),
    }
}

fn of(blocks: Vec<Block>) -> Document {
    Document {
        mime_type: "text/plain".to_owned(),
        pages: vec![Page {
            number: None,
            blocks,
        }],
    }
}

/// Always the same numbers (xorshift), so that runs compare.
struct Random(u64);

impl Random {
    fn text(&mut self, of: &[char]) -> String {
        let mut text = String::new();
        while text.len() < WORST_BYTES {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let place = usize::try_from(self.0 >> 33).unwrap_or_default();
            text.push(of[place % of.len()]);
        }
        text
    }
}

/// Seconds of CPU; other work on the machine does not count.
fn fastest(work: &mut dyn FnMut() -> usize) -> f64 {
    let time = |_| {
        let started_at = cpu_seconds();
        std::hint::black_box(work());
        cpu_seconds() - started_at
    };
    (0..RUNS).map(time).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(text: &str, seconds: f64) -> f64 {
    text.len() as f64 / seconds / 1e6
}
