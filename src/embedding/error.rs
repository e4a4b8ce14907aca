//! Why there are no vectors, and what becomes of the file.

use std::{sync::Arc, time::Duration};

use crate::{
    db::DbError,
    embed::EmbedError,
    failure::{Code, Verdict},
};

/// Why a file's texts have no vectors.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// The provider gave none.
    #[error(transparent)]
    Provider(#[from] EmbedError),
    /// The database did not let us record, book or recall.
    #[error("the ledger of embeddings failed")]
    Ledger(#[source] Arc<DbError>),
    /// `DAILY_SPEND_LIMIT_USD` is reached.
    #[error("the day's spend limit is reached")]
    SpendLimit {
        /// Until midnight, UTC.
        after: Duration,
    },
    /// `user_profiles.monthly_token_quota` or `monthly_cost_quota_usd` does not allow this file.
    #[error("the user's monthly quota does not allow {tokens} more tokens")]
    UserQuota {
        /// What the file needs.
        tokens: u64,
    },
    /// `reembed --max-cost` would be passed by the next request.
    #[error("the re-embedding's cost limit is reached")]
    CostLimit,
    /// Another file that has a text in common with this one was turned away, or leaves its vectors in the database; this
    /// one may pass alone.
    #[error("a file with a text in common did not share its vectors")]
    Shared,
    /// The worker shuts down; nothing was sent for this file that is not booked.
    #[error("the worker is stopping")]
    Stopped,
}

impl From<DbError> for EmbeddingError {
    fn from(error: DbError) -> Self {
        Self::Ledger(Arc::new(error))
    }
}

impl EmbeddingError {
    /// What becomes of the file.
    ///
    /// A user's spent quota fails the file: waiting for the next month would keep `--drain` from ending, and the user
    /// can ask again by setting the file back to `pending`.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let wait = |code, after| Verdict::Wait { code, after };
        match self {
            Self::Provider(error) => error.verdict(),
            Self::Ledger(error) => error.verdict(),
            Self::SpendLimit { after } => wait(Some(Code::QuotaExceeded), Some(*after)),
            Self::UserQuota { .. } => Verdict::Reject {
                code: Code::QuotaExceeded,
            },
            Self::CostLimit | Self::Shared | Self::Stopped => wait(None, None),
        }
    }

    /// What the file's owner may read.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.public_message(),
            Self::Ledger(_) => "the database is not available; the file will be tried again",
            Self::SpendLimit { .. } => {
                "the day's budget for embedding is used up; the file will be tried again tomorrow"
            }
            Self::UserQuota { .. } => "your monthly quota does not allow this file",
            Self::CostLimit => "the re-embedding is over; the file will be tried again",
            Self::Shared => {
                "another file with the same text went first; this one will be tried again"
            }
            Self::Stopped => "the worker was stopped; the file will be tried again",
        }
    }
}
