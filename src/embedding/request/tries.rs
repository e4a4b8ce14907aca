//! How often a request is tried, and how long it waits in between.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::{
    embed::EmbedError,
    embedding::{EmbeddingError, budget::PATIENCE},
};

/// Tries of one request when the provider fails or does not answer; a longer outage is waited out in the queue.
const MAX_TRIES: usize = 4;

/// Tries when the provider throttles: each waits out the pause that it asked for.
const MAX_THROTTLED: usize = 10;

/// Tries when answers are unusable: each may be billed.
const MAX_MALFORMED: usize = 3;

/// No pause between two tries is longer.
pub(in crate::embedding) const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// How often a request was tried, by what went wrong.
pub(super) struct Tries {
    failed: usize,
    throttled: usize,
    malformed: usize,
    backoff: ExponentialBackoff,
}

impl Tries {
    pub(super) fn new(retry_after: Duration) -> Self {
        Self {
            failed: 0,
            throttled: 0,
            malformed: 0,
            backoff: backoff(retry_after),
        }
    }

    /// How long to wait before the next try; `None` if there is none. `works`: the provider has given vectors before.
    pub(super) fn next_after(&mut self, error: &EmbeddingError, works: bool) -> Option<Duration> {
        let EmbeddingError::Provider(error) = error else {
            return None;
        };
        let (count, max, pause) = match error {
            // The budget holds the pause.
            EmbedError::Throttled { after } => {
                let is_too_long = after.is_some_and(|after| after > PATIENCE);
                let max = if is_too_long { 0 } else { MAX_THROTTLED };
                (&mut self.throttled, max, Some(Duration::ZERO))
            }
            EmbedError::Failing { .. } | EmbedError::Unreachable { .. } => {
                (&mut self.failed, MAX_TRIES, self.backoff.next())
            }
            // Of who gave the right ones before, it is a slip; else it is how the model is.
            EmbedError::WrongLength { .. } if !works => return None,
            EmbedError::WrongLength { .. } | EmbedError::Malformed { .. } => {
                (&mut self.malformed, MAX_MALFORMED, self.backoff.next())
            }
            EmbedError::QuotaSpent
            | EmbedError::CredentialsRefused { .. }
            | EmbedError::Misconfigured { .. }
            | EmbedError::Rejected { .. } => return None,
        };
        *count += 1;
        pause.filter(|_| *count < max)
    }
}

/// Doubling pauses with jitter, without end.
pub(in crate::embedding) fn backoff(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(MAX_BACKOFF)
        .without_max_times()
        .with_jitter()
        .build()
}
