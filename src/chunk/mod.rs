//! Cuts a document into chunks that an embedding model takes: pure, and linear in the text whatever the text is.
//!
//! Every chunk's token count is that of the model's own tokenizer and at most the limit; chunks are in order and never
//! blank; between two of them nothing but white space is lost. Cuts fall on the highest boundary that leaves a chunk
//! well filled: heading, paragraph, row or item, sentence, clause, word, and a character only where there is no word.
//! No chunk goes beyond a heading of the document's highest level.

mod counter;
mod cut;
mod hash;
mod marks;
mod near;
mod outline;
mod prefix;
mod sentence;
mod token;
mod vocabulary;
mod window;
mod word;
mod word_break;
mod written;

use serde::{Deserialize, Serialize};

use self::{
    counter::Counter,
    cut::{Cutter, Piece},
    prefix::Prefixes,
    written::Written,
};
use crate::{
    document::{Chunk, Chunked, Document},
    file_type::FileType,
};

pub use self::token::Tokenizer;

/// How a type of file is cut; `file_type_configs.splitter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitter {
    /// Headings may be guesses of the extractor: a section ends a chunk that is a fifth full.
    Prose,
    /// Headings are the author's: a section ends a chunk that is a tenth full.
    Markdown,
    /// As Markdown; rows are the matter.
    Table,
    /// Program text, written without fences.
    Code,
}

impl Splitter {
    /// The splitter of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "prose" => Some(Self::Prose),
            "markdown" => Some(Self::Markdown),
            "table" => Some(Self::Table),
            "code" => Some(Self::Code),
            _ => None,
        }
    }
}

/// How to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the document's structure is to be trusted.
    pub splitter: Splitter,
    /// Most tokens in a chunk; less than 4, the most that one character takes, counts as 4.
    pub max_tokens: u32,
    /// Most tokens that a chunk repeats of the one before it; more than half of `max_tokens` counts as half.
    pub overlap_tokens: u32,
    /// Whose tokens these are.
    pub tokenizer: Tokenizer,
    /// Whether title and headings are embedded before the text.
    pub prefix: bool,
}

/// Whether a type's chunks are embedded with a prefix unless its `options` say `"embedding_prefix": false`.
pub const PREFIX: bool = true;

impl Settings {
    /// Those of a type of file; a splitter that this version does not know cuts as prose.
    #[must_use]
    pub fn of(file_type: &FileType, tokenizer: Tokenizer) -> Self {
        Self {
            splitter: Splitter::parse(&file_type.splitter).unwrap_or(Splitter::Prose),
            max_tokens: file_type.chunk_size.unsigned_abs(),
            overlap_tokens: file_type.chunk_overlap.unsigned_abs(),
            tokenizer,
            prefix: file_type.options["embedding_prefix"]
                .as_bool()
                .unwrap_or(PREFIX),
        }
    }
}

/// Writes the document as text and cuts that.
///
/// # Panics
///
/// If the text is 4 GiB or longer, which no extraction's limits let through.
#[must_use]
pub fn chunk(document: &Document, settings: &Settings) -> Chunked {
    let written = Written::from(document, settings.splitter);
    let mut counter = Counter::new(settings.tokenizer, &written.text);
    let cutter = Cutter::new(&written, &mut counter, settings);
    let mut chunks = Vec::with_capacity(cutter.about());
    let mut prefixes = Prefixes::of(&written, counter, settings, cutter.about());
    let finish = |(index, piece)| finish(&written, &mut prefixes, index, piece);
    chunks.extend((0..).zip(cutter.pieces()).map(finish));
    let (embedded, headings) = prefixes.written();
    Chunked {
        text: written.text,
        chunks,
        embedded: embedded.into(),
        headings,
    }
}

/// The document as text, as [`chunk()`] writes it; for whoever needs no tokens, whose tables take longer to load.
#[must_use]
pub fn text(document: &Document, settings: &Settings) -> String {
    Written::from(document, settings.splitter).text
}

fn finish(written: &Written, prefixes: &mut Prefixes, index: u32, piece: Piece) -> Chunk {
    let heading = prefixes.go_below(written.heading_of(&piece.span));
    let (embedded, sha256) = prefixes.put_before(&piece);
    let (page, last_page) = written.pages_of(&piece.span);
    Chunk {
        index,
        page,
        last_page,
        heading,
        tokens: piece.tokens,
        span: piece.span,
        embedded,
        sha256,
    }
}

/// Lengths and counts of a text below 4 GiB.
#[inline]
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("texts are shorter than 4 GiB")
}

#[cfg(test)]
mod tests;
