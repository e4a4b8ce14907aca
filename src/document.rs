//! The nouns: ids, a lease, an extracted document, its chunks and their vectors.
//!
//! Data and invariants only. This module imports nothing else of ours, and every other may import it.

use std::{
    fmt,
    ops::{Deref, Range},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// `files.id`.
    FileId
);
id!(
    /// `user_profiles.id`: the tenant.
    UserId
);

impl UserId {
    /// Whose local files are, which belong to no account.
    pub const NOBODY: Self = Self(Uuid::nil());
}

id!(
    /// `files.lease_token`: proves that a write belongs to the claim that it comes from.
    LeaseToken
);

/// What came out of a file: pages of blocks, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The mime type that the bytes showed, one of `file_type_configs.mime_type`.
    pub mime_type: String,
    /// In order; formats without pages have one page whose `number` is `None`.
    pub pages: Vec<Page>,
}

impl Document {
    /// Bytes of text in it.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let blocks = self.pages.iter().flat_map(|page| &page.blocks);
        blocks.map(|block| block.text.len()).sum()
    }
}

/// A page of a [`Document`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// 1-based; `None` where the format has no pages.
    pub number: Option<u32>,
    /// In reading order.
    pub blocks: Vec<Block>,
}

/// One paragraph-like piece of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// What the piece is.
    pub kind: BlockKind,
    /// Clean text: no NUL, no other control characters but `\n` and `\t`, never blank.
    pub text: String,
}

/// What a [`Block`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum BlockKind {
    /// A heading; 1 is the highest level, 6 the lowest.
    Heading {
        /// 1 to 6.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// An item of a list, its number or bullet included in the text.
    ListItem,
    /// A row of a table as `a | b | c`.
    TableRow {
        /// Whether the row names the columns.
        header: bool,
    },
    /// Program text, line breaks kept.
    Code,
    /// The caption of a figure or table.
    Caption,
    /// A footnote or endnote.
    Footnote,
}

/// A document cut into chunks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunked {
    /// The whole text as Markdown-like lines; `files.extracted_text`.
    pub text: String,
    /// In order; none if the document is blank.
    pub chunks: Vec<Chunk>,
    /// What is embedded, one chunk's after the other's: an allocation for each would take as long as to cut a small one.
    pub embedded: Arc<String>,
    /// The paths of headings, one after the other.
    pub headings: String,
}

impl Chunked {
    /// A chunk's text, stored as `document_chunks.content`; never blank.
    #[must_use]
    pub fn content(&self, chunk: &Chunk) -> &str {
        &self.embedded[chunk.embedded.text.clone()][chunk.embedded.prefix_bytes..]
    }

    /// What stands before a chunk's text where it is embedded; may be empty.
    #[must_use]
    pub fn prefix(&self, chunk: &Chunk) -> &str {
        &self.embedded[chunk.embedded.text.clone()][..chunk.embedded.prefix_bytes]
    }

    /// The prefix of a chunk and its text.
    #[must_use]
    pub fn embedded(&self, chunk: &Chunk) -> Text {
        Text {
            whole: Arc::clone(&self.embedded),
            span: chunk.embedded.text.clone(),
        }
    }

    /// The path of headings above a chunk, `Guide > Install`.
    #[must_use]
    pub fn heading(&self, chunk: &Chunk) -> Option<&str> {
        chunk.heading.clone().map(|path| &self.headings[path])
    }
}

/// A piece of a document, small enough to be embedded; what it says is in [`Chunked`].
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// 0-based place in the file.
    pub index: u32,
    /// The page on which it starts, 1-based.
    pub page: Option<u32>,
    /// The page on which it ends.
    pub last_page: Option<u32>,
    /// Byte range in [`Chunked::headings`]; none if no heading is above it.
    pub heading: Option<Range<usize>>,
    /// Tokens of its text by the embedding model's tokenizer.
    pub tokens: u32,
    /// Byte range in `files.extracted_text`.
    pub span: Range<usize>,
    /// What is embedded.
    pub embedded: Embedded,
    /// SHA-256 of the text that is embedded.
    pub sha256: [u8; 32],
}

/// The text of a chunk as it is embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Byte range in [`Chunked::embedded`] of a prefix, which may be empty, and the chunk's text.
    pub text: Range<usize>,
    /// Bytes of the prefix.
    pub prefix_bytes: usize,
    /// Tokens of all of it by the embedding model's tokenizer: what is billed.
    pub tokens: u32,
}

/// A part of a text that others have parts of.
#[derive(Clone)]
pub struct Text {
    whole: Arc<String>,
    span: Range<usize>,
}

impl<T: Into<String>> From<T> for Text {
    fn from(whole: T) -> Self {
        let whole = whole.into();
        Self {
            span: 0..whole.len(),
            whole: Arc::new(whole),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.whole[self.span.clone()]
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The model that makes vectors of a certain length.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Model {
    /// The provider's name of it, such as `text-embedding-3-small`.
    pub name: String,
    /// Length of its vectors.
    pub dimensions: u32,
}

/// One worker's claim on a file, and what it must know to ingest it.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The file.
    pub file: FileId,
    /// Whose file it is.
    pub user: UserId,
    /// Named by every write that ends the lease.
    pub token: LeaseToken,
    /// `files.storage_path`: user input, to be checked against the path policy.
    pub object_key: String,
    /// `files.original_name`.
    pub name: String,
    /// `files.mime_type`: a hint.
    pub mime_type: String,
    /// `files.file_size` in bytes, as the client said.
    pub claimed_bytes: Option<i64>,
    /// Failures charged to the file so far.
    pub attempts: i32,
    /// Claims of it that ended without a word.
    pub leases_lost: i32,
    /// SHA-256 of the object on which extraction died the last time that it did.
    pub fatal_sha256: Option<Vec<u8>>,
    /// Whether the row is so young that its upload may still come.
    pub upload_may_come: bool,
    /// When the lease is over if it is not renewed, by this machine's monotonic clock; never later than the database's own.
    pub ends_at: Instant,
}
