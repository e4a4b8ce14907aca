//! Texts to vectors through an OpenAI-compatible provider: the client, the rate limiter, the batcher.
//!
//! Knows no database and no file. `embedding.rs`, above the leaves, joins these parts with the ledger and owns every
//! retry. No text of a document and no key may appear in an error or a log line of this module.

pub mod batcher;
pub mod concurrency;
pub mod limiter;
pub mod openai;
pub mod price;

use std::{sync::Arc, time::Duration};

use crate::failure::{Code, Verdict};

/// Why the provider gave no usable vectors.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbedError {
    /// 429: too many requests or tokens for now.
    #[error("the embedding provider asks to slow down")]
    Throttled {
        /// How long it asks to wait.
        after: Option<Duration>,
    },
    /// 429 `insufficient_quota` and its like: no money left there. Waiting does not help, a person does.
    #[error("the quota at the embedding provider is spent")]
    QuotaSpent,
    /// 401 or 403.
    #[error("the embedding provider refuses the credentials (status {status})")]
    CredentialsRefused {
        /// HTTP status.
        status: u16,
    },
    /// The endpoint, the model or its dimensions do not exist there, whatever the text.
    #[error("the embedding provider does not offer this model or endpoint (status {status})")]
    Misconfigured {
        /// HTTP status.
        status: u16,
    },
    /// 400, 413 or 422: one of the inputs, or all of them together, are refused.
    #[error("the embedding provider refuses the input (status {status})")]
    Rejected {
        /// HTTP status.
        status: u16,
    },
    /// 5xx and other answers that pass by themselves.
    #[error("the embedding provider fails (status {status})")]
    Failing {
        /// HTTP status.
        status: u16,
        /// How long it asks to wait.
        after: Option<Duration>,
    },
    /// No connection, a time-out, or an answer that broke off.
    #[error("the embedding provider does not answer")]
    Unreachable {
        /// Whether the request may have reached it, and so may be billed.
        sent: bool,
        /// What the connection said, without the address.
        #[source]
        source: Arc<reqwest::Error>,
    },
    /// The model gives vectors of another length, and the server does not shorten them.
    #[error(
        "the embedding provider's vectors have {found} numbers and not {wanted}; set EMBEDDING_DIMENSIONS to {found} if EMBEDDING_MODEL is the model that is meant"
    )]
    WrongLength {
        /// The length that came.
        found: usize,
        /// The length that was wanted.
        wanted: usize,
        /// The tokens that it has billed.
        billed: u32,
    },
    /// A success that is none.
    #[error("the embedding provider's answer is unusable: {flaw}")]
    Malformed {
        /// What is wrong with it.
        flaw: Flaw,
        /// The tokens that it says it has billed.
        billed: Option<u32>,
    },
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not the JSON of an embeddings answer, or base64 that is none.
    #[error("not an embeddings answer")]
    Shape,
    /// More or fewer vectors than inputs.
    #[error("wrong number of vectors")]
    Count,
    /// An index out of range or given twice.
    #[error("vectors with wrong indexes")]
    Index,
    /// A vector with NaN or an infinity.
    #[error("vectors that are not finite")]
    NotFinite,
    /// A vector of zeros, to which no distance is defined.
    #[error("vectors without a direction")]
    Zero,
}

impl EmbedError {
    /// What becomes of the file whose text was sent.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let wait = |after| Verdict::Wait {
            code: Some(Code::ProviderUnavailable),
            after,
        };
        match self {
            Self::Throttled { after } | Self::Failing { after, .. } => wait(*after),
            Self::QuotaSpent
            | Self::CredentialsRefused { .. }
            | Self::Misconfigured { .. }
            | Self::WrongLength { .. }
            | Self::Unreachable { .. }
            | Self::Malformed { billed: None, .. } => wait(None),
            // Each try costs money, so tries are charged.
            Self::Malformed {
                billed: Some(_), ..
            } => Verdict::Retry {
                code: Some(Code::ProviderUnavailable),
            },
            Self::Rejected { .. } => Verdict::Reject {
                code: Code::EmbeddingRejected,
            },
        }
    }

    /// What the file's owner may read.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "the embedding service refuses a part of this file's text",
            Self::Throttled { .. } => "the embedding service is busy; the file will be tried again",
            Self::QuotaSpent
            | Self::CredentialsRefused { .. }
            | Self::Misconfigured { .. }
            | Self::WrongLength { .. }
            | Self::Failing { .. }
            | Self::Unreachable { .. }
            | Self::Malformed { .. } => {
                "the embedding service is not available; the file will be tried again"
            }
        }
    }

    /// Whether the provider may have billed the request although no vectors came.
    #[must_use]
    pub fn may_be_billed(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::WrongLength { .. } | Self::Malformed { .. } => true,
            // A gateway's or a time-out's answer: the provider behind it may have done the work.
            Self::Failing { status, .. } => matches!(status, 408 | 499 | 502 | 504 | 520..=529),
            Self::Throttled { .. }
            | Self::QuotaSpent
            | Self::CredentialsRefused { .. }
            | Self::Misconfigured { .. }
            | Self::Rejected { .. } => false,
        }
    }
}
