//! An operator's re-embedding: rows to vectors, without look-ups, quotas or a line to stand in.
//!
//! Requests go the way of all others (`request.rs`), behind live ones in the budget. What comes back is booked, and
//! written to the rows, in one transaction.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    EmbeddingError, Settings, State, Totals,
    interest::Interest,
    pump::Wanted,
    request::{Desk, fitting},
};
use crate::{
    db::Db,
    document::{Text, UserId},
    embed::{EmbedError, batcher::Input, limiter},
};

/// What a re-embedding may take and cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    /// The part of the provider's limits that all its processes together may use, above 0 and up to 1.
    pub rate_share: f64,
    /// US dollars that it may cost from its plan on.
    pub max_cost_usd: Option<f64>,
}

impl Backfill {
    /// Its part of limits; a limit that is not known has no parts.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a u32 that is not negative"
    )]
    pub fn share_of(&self, limits: limiter::Limits) -> limiter::Limits {
        let share = |limit: u32| match limit {
            0 => 0,
            limit => ((f64::from(limit) * self.rate_share) as u32).max(1),
        };
        limiter::Limits {
            requests_per_minute: share(limits.requests_per_minute),
            tokens_per_minute: share(limits.tokens_per_minute),
        }
    }
}

/// A row whose vector is to be made.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// Who pays.
    pub user: UserId,
    /// What is embedded.
    pub text: Text,
    /// Its tokens by the model's tokenizer.
    pub tokens: u32,
}

/// Sends requests for rows.
#[derive(Debug)]
pub struct Filler {
    desk: Desk,
    state: watch::Receiver<State>,
    totals: Arc<Mutex<Totals>>,
    /// As in the pump: one request at a time waits for the rate limit.
    turnstile: Arc<Semaphore>,
}

impl Filler {
    /// Makes one, for the settings of a [`Backfill`].
    ///
    /// # Errors
    ///
    /// If the TLS set-up fails.
    pub fn new(
        settings: &Settings,
        db: &Db,
        stop: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let (publish, state) = watch::channel(State::Ready);
        let totals = Arc::new(Mutex::new(Totals::default()));
        let desk = Desk::new(settings, db.clone(), publish, Arc::clone(&totals), stop)?;
        Ok(Self {
            desk,
            state,
            totals,
            turnstile: Arc::new(Semaphore::new(1)),
        })
    }

    /// Embeds these rows in requests of the right size, one after the other; what came of each. The vectors of those that
    /// are `Ok` are written.
    pub async fn fill(&self, rows: Vec<Row>) -> Vec<(Uuid, Result<(), EmbeddingError>)> {
        let mut rest: Vec<Wanted> = rows.into_iter().map(wanted).collect();
        let mut outcomes = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let fitting = fitting(&rest, self.desk.size());
            let batch: Vec<Wanted> = rest.drain(..fitting).collect();
            let results = self.request(&batch).await;
            let is_over = results
                .iter()
                .any(|result| matches!(result, Err(error) if ends(error)));
            let ids = batch.iter().filter_map(|wanted| wanted.row);
            outcomes.extend(ids.zip(results.into_iter().map(|result| result.map(drop))));
            if is_over {
                break;
            }
        }
        outcomes
    }

    async fn request(&self, batch: &[Wanted]) -> Vec<Result<Vec<f32>, EmbeddingError>> {
        // Nobody closes it.
        let Ok(turn) = Arc::clone(&self.turnstile).acquire_owned().await else {
            return vec![Err(EmbeddingError::Stopped); batch.len()];
        };
        if let Some(error) = self.desk.closed() {
            return vec![Err(error); batch.len()];
        }
        self.desk.embed(batch, turn).await
    }

    /// Whether embedding works.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// What this process has sent and got.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the next request would fare no better.
fn ends(error: &EmbeddingError) -> bool {
    !matches!(error, EmbeddingError::Provider(EmbedError::Rejected { .. }))
}

fn wanted(row: Row) -> Wanted {
    Wanted {
        input: Input {
            user: row.user,
            sha256: Sha256::digest(row.text.as_bytes()).into(),
            text: row.text,
            tokens: row.tokens,
        },
        file: None,
        interest: Interest::default(),
        row: Some(row.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_limits_is_never_none_and_of_unknown_ones_unknown() {
        let backfill = Backfill {
            rate_share: 0.25,
            max_cost_usd: None,
        };
        let share = |requests_per_minute, tokens_per_minute| {
            let limits = backfill.share_of(limiter::Limits {
                requests_per_minute,
                tokens_per_minute,
            });
            (limits.requests_per_minute, limits.tokens_per_minute)
        };
        assert_eq!(share(3_000, 1_000_000), (750, 250_000));
        assert_eq!(share(1, 0), (1, 0));
    }
}
