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

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use self::timing::{fastest, megabytes};

#[path = "../timing/mod.rs"]
mod timing;
mod worst;

const SETTINGS: Settings = Settings {
    splitter: Splitter::Markdown,
    max_tokens: 512,
    overlap_tokens: 64,
    tokenizer: Tokenizer::Cl100kBase,
    prefix: true,
};
/// Each text is repeated up to this size.
const BYTES: usize = 4_000_000;

fn main() -> io::Result<()> {
    let mut table = Table {
        out: io::stdout().lock(),
        english: 0.0,
    };
    table.head()?;
    for (name, text) in ordinary()? {
        let document = document(&repeat(&text, BYTES));
        table.row(&name, &document, &SETTINGS, true)?;
    }
    for (name, document) in worst::documents() {
        table.row(name, &document, &SETTINGS, false)?;
    }
    for (name, document, settings) in worst::settings() {
        table.row(name, &document, &settings, false)?;
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

struct Table {
    out: io::StdoutLock<'static>,
    /// Rate of the first row.
    english: f64,
}

impl Table {
    fn head(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "{:<36} {:>8} {:>8} {:>8} {:>8} {:>10} {:>8} {:>8}",
            "text", "cut", "÷English", "made", "count", "bpe-openai", "tiktoken", "read"
        )
    }

    /// Other tokenizers need minutes for the worst texts.
    fn row(
        &mut self,
        name: &str,
        document: &Document,
        settings: &Settings,
        beside: bool,
    ) -> io::Result<()> {
        let chunked = chunk::chunk(document, settings);
        let made = chunked.chunks.iter().map(|chunk| chunk.embedded.text.len());
        let made: usize = made.sum();
        let text = chunked.text;
        let rate = |work: &mut dyn FnMut() -> usize| megabytes(text.len()) / fastest(work);
        let cut = rate(&mut || chunk::chunk(document, settings).chunks.len());
        let made = cut * megabytes(made) / megabytes(text.len());
        if self.english == 0.0 {
            self.english = cut;
        }
        let count = rate(&mut || settings.tokenizer.count(&text) as usize);
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
            "{name:<36} {cut:>8.1} {share:>8.2} {made:>8.1} {count:>8.1} {bpe_openai:>10} {tiktoken:>8} {read:>8.0}"
        )
    }

    fn foot(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "MB/s of CPU, one thread, {} tokens a chunk, {} of overlap unless the name says other; ÷English: how much slower \
             than the first row; made: by what is embedded rather than by the text",
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
