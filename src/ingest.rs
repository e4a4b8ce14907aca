//! The story of one file: admit, fetch, extract, chunk, embed; settling commits it.
//!
//! The only place where the leaves meet. No loops, no retries and no metrics here: if one is needed, a stage is
//! missing.

use pgvector::Vector;
use tokio::sync::SemaphorePermit;

use crate::{
    admit::{Refusal, admit},
    app::App,
    chunk,
    db::{DbError, Ingested},
    document::{Chunk, Chunked, Document, Lease},
    embedding::{Embedder, EmbeddingError, Expecting, Job, Piece},
    extract::{self, Hints, sandbox::SandboxError},
    failure::{Code, Verdict},
    fetch::fetch,
    file_type::FileTypes,
    metrics::Stage,
    objects::FetchError,
};

/// Takes one leased file from its object to all that is to be stored; settling commits it, which ends the lease.
///
/// Holds no database connection while it downloads, extracts and embeds. Safe to run twice: the commit replaces the
/// whole chunk set.
///
/// # Errors
///
/// The stage that failed, with its [`Verdict`].
pub async fn ingest(app: &App, lease: &Lease) -> Result<Ingested, IngestError> {
    // The semaphore is never closed.
    let hand = app.hands.acquire().await.ok();
    // One for the whole file: the active model may change meanwhile.
    let embedder = app.embedder();
    let coming = embedder.expect();
    let types = app.types();
    let max_bytes = admit(
        &app.db,
        app.path_policy,
        app.objects.bucket(),
        &types,
        lease,
    )
    .await?;
    let (object, room) = app
        .metrics
        .time(Stage::Fetch, fetch(app, lease, max_bytes))
        .await?;
    let document = app
        .metrics
        .time(Stage::Extract, extract(app, &types, lease, object.bytes))
        .await
        .map_err(|source| IngestError::Extract {
            sha256: object.sha256,
            source,
        })?;
    drop(room);
    let chunked = app
        .metrics
        .time(Stage::Chunk, cut(app, &types, document))
        .await?;
    let vectors = app
        .metrics
        .time(
            Stage::Embed,
            embed(&embedder, lease, &chunked, coming, hand),
        )
        .await?;
    Ok(Ingested {
        sha256: object.sha256,
        chunked,
        vectors,
        model: embedder.model().clone(),
    })
}

async fn extract(
    app: &App,
    types: &FileTypes,
    lease: &Lease,
    bytes: bytes::Bytes,
) -> Result<Document, SandboxError> {
    let hints = Hints {
        name: lease.name.clone(),
        mime_type: lease.mime_type.clone(),
    };
    app.sandbox
        .extract(lease.user, &hints, &extract::Settings::new(types), bytes)
        .await
}

/// Chunks whose vectors wait in memory: some kilobytes each.
const MAX_HELD: usize = 1_000;

/// Shorter texts are cut well within a millisecond at the usual sizes of chunks, for which no other thread is asked.
const SHORT_TEXT: usize = 8 << 10;

/// Cuts the text, a long one off the async threads.
async fn cut(app: &App, types: &FileTypes, document: Document) -> Result<Chunked, IngestError> {
    let file_type = types
        .by_mime(&document.mime_type)
        .ok_or(IngestError::Chunk)?;
    let settings = chunk::Settings::of(file_type, app.tokenizer);
    if document.text_bytes() <= SHORT_TEXT {
        return Ok(chunk::chunk(&document, &settings));
    }
    tokio::task::spawn_blocking(move || chunk::chunk(&document, &settings))
        .await
        .map_err(|_| IngestError::Chunk)
}

/// Vectors for all chunks: those that the user already has, and the others bought; `None` if they are so many that the
/// database keeps them. Meanwhile the file is not in hand, if there is a place to wait.
async fn embed(
    embedder: &Embedder,
    lease: &Lease,
    chunked: &Chunked,
    coming: Expecting,
    hand: Option<SemaphorePermit<'_>>,
) -> Result<Option<Vec<Vector>>, EmbeddingError> {
    let piece = |chunk: &Chunk| Piece {
        text: chunked.embedded(chunk),
        tokens: chunk.embedded.tokens,
        sha256: chunk.sha256,
    };
    let chunks = chunked.chunks.iter();
    let tokens = chunks.clone().map(|chunk| chunk.embedded.tokens).sum();
    let place = embedder.place(tokens);
    let _hand = hand.filter(|_| place.is_none());
    let job = Job {
        file: Some(lease.file),
        user: lease.user,
        pieces: chunks.map(piece).collect(),
    };
    if chunked.chunks.len() > MAX_HELD {
        embedder.embed_unheld(coming, job).await?;
        return Ok(None);
    }
    let vectors = embedder.embed(coming, job).await?;
    Ok(Some(vectors.into_iter().map(Into::into).collect()))
}

/// Why a file is not ingested, by the stage that failed.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// It is not read at all.
    #[error("admit")]
    Admit(#[from] Refusal),
    /// Its object could not be downloaded.
    #[error("fetch")]
    Fetch(#[from] FetchError),
    /// No text could be got from it.
    #[error("extract")]
    Extract {
        /// Of the object.
        sha256: [u8; 32],
        /// Why.
        source: SandboxError,
    },
    /// Its text could not be cut.
    #[error("chunk: the chunker failed, or the type was removed meanwhile")]
    Chunk,
    /// Its chunks have no vectors.
    #[error("embed")]
    Embed(#[from] EmbeddingError),
    /// Its chunks could not be stored.
    #[error("commit")]
    Commit(#[from] DbError),
}

impl IngestError {
    /// What becomes of the file.
    #[must_use]
    pub fn verdict(&self, lease: &Lease) -> Verdict {
        match self {
            Self::Fetch(FetchError::Missing) if !lease.upload_may_come => Verdict::Reject {
                code: Code::ObjectMissing,
            },
            Self::Admit(error) => error.verdict(),
            Self::Fetch(error) => error.verdict(),
            Self::Extract { source, sha256 } => match (source.verdict(), &lease.fatal_sha256) {
                // A third try would find what two have found.
                (Verdict::Retry { code: Some(code) }, Some(fatal)) if fatal[..] == sha256[..] => {
                    Verdict::Reject { code }
                }
                (verdict, _) => verdict,
            },
            Self::Chunk => Verdict::Retry { code: None },
            Self::Embed(error) => error.verdict(),
            Self::Commit(error) => error.verdict(),
        }
    }

    /// Hash of the object on which a child of the extractor died.
    #[must_use]
    pub fn death(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Extract { sha256, source } if source.is_death() => Some(sha256),
            Self::Admit(_)
            | Self::Fetch(_)
            | Self::Extract { .. }
            | Self::Chunk
            | Self::Embed(_)
            | Self::Commit(_) => None,
        }
    }

    /// What the file's owner may read: no text of the file, no key, no address.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Admit(error) => error.to_string(),
            Self::Fetch(error) => error.public_message(),
            Self::Extract { source, .. } => source.public_message(),
            Self::Chunk => "the text could not be divided; the file will be tried again".to_owned(),
            Self::Embed(error) => error.public_message().to_owned(),
            Self::Commit(_) => {
                "the chunks could not be stored; the file will be tried again".to_owned()
            }
        }
    }
}
