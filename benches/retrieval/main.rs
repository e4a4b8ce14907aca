//! Cuts a folder of documents as the worker would, for `score.py` to embed and search: see the README beside this file.
//!
//! `cargo bench --bench retrieval -- FOLDER 512/64 200/0 …` prints one JSON line for each document's text, then one for
//! each chunk of each configuration `size/overlap`, in tokens.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use orion_ingest::{
    chunk::{self, Settings, Tokenizer},
    document::Document,
    extract::{self, Hints},
    file_type::FileTypes,
};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let Some((folder, sizes)) = arguments.split_first() else {
        writeln!(io::stderr(), "nothing to cut: name a folder and sizes")?;
        return Ok(());
    };
    let cuts: Vec<Cut> = sizes
        .iter()
        .map(|size| Cut::parse(size))
        .collect::<Result<_, _>>()?;
    let types = FileTypes::seeded();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for path in files(Path::new(folder))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let document = read(&path, &name, &types)
            .with_context(|| format!("cannot read {}", path.display()))?;
        write(&mut out, &name, &document, &types, &cuts)?;
    }
    Ok(out.flush()?)
}

/// How to cut.
struct Cut {
    /// As it was asked for.
    name: String,
    /// By tokens alone, blind to what they mean, as the simplest of splitters does.
    naive: bool,
    max_tokens: u32,
    overlap_tokens: u32,
}

impl Cut {
    /// Reads `512/64` or `naive:512/64`.
    fn parse(name: &str) -> anyhow::Result<Self> {
        let size = name.strip_prefix("naive:");
        let (most, overlap) = size
            .unwrap_or(name)
            .split_once('/')
            .with_context(|| format!("{name} is not SIZE/OVERLAP"))?;
        Ok(Self {
            name: name.to_owned(),
            naive: size.is_some(),
            max_tokens: most.parse()?,
            overlap_tokens: overlap.parse()?,
        })
    }
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path, name: &str, types: &FileTypes) -> anyhow::Result<Document> {
    let hints = Hints {
        name: name.to_owned(),
        mime_type: String::new(),
    };
    let bytes = fs::read(path)?;
    Ok(extract::extract(
        &bytes,
        &hints,
        &extract::Settings::new(types),
    )?)
}

fn write(
    out: &mut impl Write,
    name: &str,
    document: &Document,
    types: &FileTypes,
    cuts: &[Cut],
) -> anyhow::Result<()> {
    let file_type = types
        .by_mime(&document.mime_type)
        .with_context(|| format!("{} has no row", document.mime_type))?;
    let settings = Settings::of(file_type, Tokenizer::Cl100kBase);
    let text = chunk::text(document, &settings);
    let line = json!({ "file": name, "splitter": file_type.splitter, "text": text });
    writeln!(out, "{line}")?;
    for cut in cuts {
        if cut.naive {
            for span in windows(&text, cut) {
                let content = &text[span.clone()];
                chunk_line(out, name, cut, &span, content, content)?;
            }
            continue;
        }
        let settings = Settings {
            max_tokens: cut.max_tokens,
            overlap_tokens: cut.overlap_tokens,
            ..settings
        };
        let chunked = chunk::chunk(document, &settings);
        for chunk in &chunked.chunks {
            let (content, embedded) = (chunked.content(chunk), chunked.embedded(chunk));
            chunk_line(out, name, cut, &chunk.span, content, &embedded)?;
        }
    }
    Ok(())
}

fn chunk_line(
    out: &mut impl Write,
    file: &str,
    cut: &Cut,
    span: &Range<usize>,
    content: &str,
    embedded: &str,
) -> io::Result<()> {
    let (start, end) = (span.start, span.end);
    let line = json!({
        "file": file, "cut": cut.name, "start": start, "end": end, "content": content, "embedded": embedded,
    });
    writeln!(out, "{line}")
}

/// Every so many tokens, wherever that is.
fn windows(text: &str, cut: &Cut) -> Vec<Range<usize>> {
    let tokenizer = bpe_openai::cl100k_base();
    let mut edges = vec![0];
    for token in tokenizer.encode(text) {
        let last = edges.last().copied().unwrap_or_default();
        edges.push(last + tokenizer.bpe.token_len(token));
    }
    let edge = |place: usize| text.floor_char_boundary(edges[place.min(edges.len() - 1)]);
    // A window of nothing but overlap is left out.
    let last = (edges.len() - 1)
        .saturating_sub(cut.overlap_tokens as usize)
        .max(1);
    let step = (cut.max_tokens - cut.overlap_tokens).max(1) as usize;
    (0..last)
        .step_by(step)
        .map(|place| edge(place)..edge(place + cut.max_tokens as usize))
        .filter(|span| !text[span.clone()].trim().is_empty())
        .collect()
}
