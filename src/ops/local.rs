//! `extract` and `chunk`: one local file by the rules of `seed.sql`, without database or network.

use std::{fmt, fs::File, io::Read, path::Path};

use serde::Serialize;

use crate::{
    chunk::{self, Tokenizer},
    document::{Chunk, Chunked, Document, UserId},
    extract::{
        self, Hints,
        sandbox::{self, Sandbox, SandboxError},
    },
    file_type::FileTypes,
    ops::WrongUsage,
    spawner::Spawner,
};

/// Why a local file has no text to give.
#[derive(Debug)]
pub enum NoText {
    /// It is larger than its type may be.
    TooLarge {
        /// `max_file_size` of its type.
        max_bytes: u64,
    },
    /// What the extractor has against it.
    Refused(SandboxError),
}

/// What the extractor makes of a file.
///
/// # Errors
///
/// A file that cannot be read from disk; what is wrong with what is in it is the inner result.
pub async fn extract(
    path: &Path,
    settings: sandbox::Settings,
) -> anyhow::Result<Result<Document, NoText>> {
    let types = FileTypes::seeded();
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let max_bytes = max_bytes(&types, &name);
    let bytes = read(path, max_bytes)
        .map_err(|error| WrongUsage(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > max_bytes {
        return Ok(Err(NoText::TooLarge { max_bytes }));
    }
    let hints = Hints {
        name,
        mime_type: String::new(),
    };
    let sandbox = Sandbox::new(settings, Spawner::new()?);
    Ok(sandbox
        .extract(
            UserId::NOBODY,
            &hints,
            &extract::Settings::new(&types),
            bytes.into(),
        )
        .await
        .map_err(NoText::Refused))
}

/// What a file of this name may have; bytes of any type may be behind a name that says nothing.
fn max_bytes(types: &FileTypes, name: &str) -> u64 {
    let max_bytes = types
        .by_extension(name)
        .map(|row| row.max_file_size)
        .or_else(|| types.iter().map(|row| row.max_file_size).max());
    max_bytes.map_or(0, i64::unsigned_abs)
}

/// At most one byte more than `max_bytes`, whatever the file says of its length.
fn read(path: &Path, max_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Its text.
///
/// # Panics
///
/// If the document's type is none of `seed.sql`, which are all that its extractor knew.
#[must_use]
pub fn text(document: &Document) -> String {
    chunk::text(document, &settings(document, Tokenizer::default()))
}

/// Its text and chunks.
///
/// # Panics
///
/// As [`text`].
#[must_use]
pub fn chunk(document: &Document, tokenizer: Tokenizer) -> Chunked {
    chunk::chunk(document, &settings(document, tokenizer))
}

fn settings(document: &Document, tokenizer: Tokenizer) -> chunk::Settings {
    let types = FileTypes::seeded();
    let file_type = types.by_mime(&document.mime_type);
    let file_type = file_type.expect("the extractor answers with a seeded type");
    chunk::Settings::of(file_type, tokenizer)
}

/// A chunk as `chunk` prints it. Its keys only grow.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    chunk_index: u32,
    page_number: Option<u32>,
    heading: Option<&'a str>,
    token_count: u32,
    content: &'a str,
    last_page: Option<u32>,
    start: usize,
    end: usize,
    prefix: &'a str,
    embedded_tokens: u32,
}

impl<'a> Line<'a> {
    /// The printed form of a chunk.
    #[must_use]
    pub fn new(chunked: &'a Chunked, chunk: &Chunk) -> Self {
        Self {
            chunk_index: chunk.index,
            page_number: chunk.page,
            heading: chunked.heading(chunk),
            token_count: chunk.tokens,
            content: chunked.content(chunk),
            last_page: chunk.last_page,
            start: chunk.span.start,
            end: chunk.span.end,
            prefix: chunked.prefix(chunk),
            embedded_tokens: chunk.embedded.tokens,
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "── {} ", self.chunk_index)?;
        if let Some(page) = self.page_number {
            write!(f, "· page {page} ")?;
        }
        if let Some(heading) = self.heading {
            write!(f, "· {heading} ")?;
        }
        write!(f, "· {} tokens\n{}\n", self.token_count, self.content)
    }
}
