//! How much slower cutting is than counting tokens once: `cargo bench --bench chunking`.
//!
//! Prints megabytes a second and, since machines are noisy, ratios measured in one run.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use orion_ingest::{
    chunk::{self, Settings, Splitter, Tokenizer},
    document::{Block, BlockKind, Document, Page},
};

const SETTINGS: Settings = Settings {
    splitter: Splitter::Prose,
    max_tokens: 512,
    overlap_tokens: 64,
    tokenizer: Tokenizer::Cl100kBase,
    prefix: true,
};
/// Each text is repeated up to this size.
const BYTES: usize = 4_000_000;
/// The fastest of so many runs counts.
const RUNS: usize = 3;

fn main() -> io::Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/source");
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<28} {:>8} {:>12} {:>10} {:>8}",
        "text", "chunk", "bpe-openai", "tiktoken", "ratio"
    )?;
    for (name, text) in [
        ("English", fs::read_to_string(sources.join("handbook.md"))?),
        (
            "Chinese, Japanese, Russian",
            fs::read_to_string(sources.join("quick-start.md"))?,
        ),
        ("one line without spaces", "abcdefghij".repeat(1_000)),
    ] {
        let text = text.repeat(BYTES / text.len() + 1);
        let document = paragraphs(&text);
        let chunked = fastest(|| chunk::chunk(&document, &SETTINGS).chunks.len());
        let counted = fastest(|| bpe_openai::cl100k_base().count(&text));
        // Its time on a line of megabytes is a matter of hours.
        let oracle = (text.lines().count() > 1).then(|| {
            let tokenizer = tiktoken_rs::cl100k_base_singleton();
            fastest(|| tokenizer.encode_ordinary(&text).len())
        });
        writeln!(
            out,
            "{name:<28} {:>8.1} {:>12.1} {:>10} {:>8.2}",
            rate(&text, chunked),
            rate(&text, counted),
            oracle.map_or("-".into(), |oracle| format!("{:.1}", rate(&text, oracle))),
            counted.as_secs_f64() / chunked.as_secs_f64(),
        )?;
    }
    writeln!(
        out,
        "MB/s of one thread; ratio: how often the text could be counted ÷ cut in the same time"
    )
}

fn paragraphs(text: &str) -> Document {
    let blocks = text.split("\n\n").filter(|text| !text.trim().is_empty());
    let block = |text: &str| Block {
        kind: BlockKind::Paragraph,
        text: text.trim().to_owned(),
    };
    Document {
        mime_type: "text/plain".to_owned(),
        pages: vec![Page {
            number: None,
            blocks: blocks.map(block).collect(),
        }],
    }
}

fn fastest(mut work: impl FnMut() -> usize) -> Duration {
    let time = |_| {
        let started_at = Instant::now();
        std::hint::black_box(work());
        started_at.elapsed()
    };
    (0..RUNS).map(time).min().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(text: &str, took: Duration) -> f64 {
    text.len() as f64 / took.as_secs_f64() / 1e6
}
