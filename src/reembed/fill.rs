//! Fills the second column: claims slices, has their chunks embedded, hands them back.
//!
//! Vectors are written with the bill of the request that brought them, so that whoever is killed repeats no more than was
//! in flight; its slices come due again by themselves.

use std::{convert::Infallible, pin::pin, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    chunk::Tokenizer,
    db::{Db, DbError, reembed::Unfilled},
    document::Model,
    embed::EmbedError,
    embedding::{EmbeddingError, Filler, Row, State},
};

/// A killed process's slices come due again after this.
const LEASE: Duration = Duration::from_mins(1);
/// Held slices are renewed, and the table's size is noted.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How long to wait for slices that others hold, or that failed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the database may fail before we do.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// How a filling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Nothing is left, or only some files that came meanwhile.
    Whole,
    /// The next request would have passed `--max-cost`.
    CostLimit,
    /// A signal came.
    Stopped,
    /// The provider refuses our key, wants money, or has no such model.
    Halted(State),
}

/// What it takes to fill.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    db: &'a Db,
    filler: Filler,
    model: Model,
    tokenizer: Tokenizer,
    /// Slices in hand at once.
    concurrency: usize,
    stop: CancellationToken,
    /// Names this process in the slices that it holds.
    holder: Uuid,
}

/// What became of slices.
enum Outcome {
    Done,
    /// Handed back, for this reason.
    Failed(EmbeddingError),
}

impl<'a> Filling<'a> {
    pub(super) fn new(
        db: &'a Db,
        filler: Filler,
        model: Model,
        tokenizer: Tokenizer,
        concurrency: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            db,
            filler,
            model,
            tokenizer,
            concurrency,
            stop,
            holder: Uuid::new_v4(),
        }
    }

    /// Works until no more is left than so many files that came meanwhile, whoever holds what. Where files always come, it
    /// would never be nothing.
    pub(super) async fn fill(self, but_files: i64) -> Result<Filled, DbError> {
        let mut hands = FuturesUnordered::new();
        // At most one, and beside the hands: whoever waited for it alone would keep them from ending the transactions that
        // it may wait for. The renewals likewise.
        let mut claims = FuturesUnordered::new();
        let mut renewing = pin!(self.renew());
        let mut look_at = Instant::now();
        let mut answered_at = Instant::now();
        let mut ended = None;
        loop {
            let has_room = ended.is_none() && claims.is_empty() && hands.len() < self.concurrency;
            let is_due = look_at <= Instant::now();
            if has_room && is_due {
                claims.push(self.claim(but_files));
            }
            if let (Some(ended), true, true) = (ended, hands.is_empty(), claims.is_empty()) {
                return Ok(ended);
            }
            tokio::select! {
                Some(claim) = claims.next(), if !claims.is_empty() => {
                    match claim {
                        Ok(Claim::Slices(slices)) => hands.push(self.work_on(slices)),
                        Ok(Claim::Nothing) => look_at = Instant::now() + LOOK_EVERY,
                        Ok(Claim::Enough) => ended = ended.or(Some(Filled::Whole)),
                        Err(error) if answered_at.elapsed() > GIVE_UP_AFTER => return Err(error),
                        Err(error) => {
                            tracing::warn!(error = %error, "no slice could be claimed; trying again");
                            look_at = Instant::now() + LOOK_EVERY;
                            continue;
                        }
                    }
                    answered_at = Instant::now();
                }
                Some(outcome) = hands.next(), if !hands.is_empty() => {
                    if let Some(end) = self.conclude(outcome) {
                        ended = ended.or(Some(end));
                    }
                }
                never = &mut renewing => match never {},
                () = sleep_until(look_at), if has_room && !is_due => {}
                () = self.stop.cancelled(), if ended.is_none() => ended = Some(Filled::Stopped),
            }
        }
    }

    async fn claim(&self, but_files: i64) -> Result<Claim, DbError> {
        if self.db.is_filled_but(&self.model, but_files).await? {
            return Ok(Claim::Enough);
        }
        let slices = self
            .db
            .claim_slices(self.holder, &self.model, LEASE)
            .await?;
        Ok(if slices.is_empty() {
            Claim::Nothing
        } else {
            Claim::Slices(slices)
        })
    }

    /// Fills the chunks of slices and ends their lease. What the database does not take is left to the lease's own end.
    async fn work_on(&self, slices: Vec<i64>) -> Result<Outcome, DbError> {
        let rows = self.db.slice_rows(&slices).await?;
        let rows = rows.into_iter().map(|row| self.row(row)).collect();
        let mut skipped = Vec::new();
        for (row, outcome) in self.filler.fill(rows).await {
            match outcome {
                Ok(()) => {}
                Err(error @ EmbeddingError::Provider(EmbedError::Rejected { .. })) => {
                    skipped.push((row, error.to_string()));
                }
                Err(error) => {
                    self.db
                        .release_slices(self.holder, &slices, LOOK_EVERY)
                        .await?;
                    return Ok(Outcome::Failed(error));
                }
            }
        }
        self.db
            .finish_slices(self.holder, &slices, &self.model, &skipped)
            .await?;
        Ok(Outcome::Done)
    }

    fn row(&self, row: Unfilled) -> Row {
        Row {
            id: row.id,
            user: row.user,
            tokens: self.tokenizer.count(&row.text),
            text: row.text.into(),
        }
    }

    /// Whether an outcome ends the filling.
    fn conclude(&self, outcome: Result<Outcome, DbError>) -> Option<Filled> {
        match outcome {
            Ok(Outcome::Done) => None,
            Ok(Outcome::Failed(EmbeddingError::CostLimit)) => Some(Filled::CostLimit),
            Ok(Outcome::Failed(error)) => {
                let state = self.filler.state();
                if state.is_final() {
                    return Some(Filled::Halted(state));
                }
                tracing::warn!(error = %error, "slices were handed back; trying again");
                None
            }
            Err(error) => {
                tracing::warn!(error = %error, "slices are left to the end of their lease");
                None
            }
        }
    }

    async fn renew(&self) -> Infallible {
        loop {
            sleep(RENEW_EVERY).await;
            let renewed = self.db.renew_slices(self.holder, LEASE).await;
            if let Err(error) = renewed.and(self.db.note_size().await) {
                tracing::warn!(error = %error, "slices were not renewed; trying again");
            }
        }
    }
}

/// What came of asking for slices.
enum Claim {
    Slices(Vec<i64>),
    /// Others hold what is left, or it is not due.
    Nothing,
    /// Enough is filled.
    Enough,
}
