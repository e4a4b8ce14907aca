//! The provider's limits, shared by every worker on the database; the arithmetic is in `migrations/004_budgets.sql`.

use std::time::{Duration, Instant};

use super::{Db, DbError, Unnamed, seconds};

/// Of a row that somebody deleted; the next reservation makes it anew.
const NO_EPOCH: i64 = -1;

/// Whose limits.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Host and port of the provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// What is configured; 0 means that the limit is not known.
    pub requests_per_minute: u32,
    /// What is configured; 0 means that the limit is not known.
    pub tokens_per_minute: u32,
    /// Whether it takes what nobody else stands in line for.
    pub is_backfill: bool,
    /// How long an answer may take: in an outage the next request waits for it.
    pub answer_within: Duration,
}

/// What came of asking for a part of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reserved {
    /// The part, or how long to wait before asking again; nothing is taken then.
    pub outcome: Result<Part, Duration>,
    /// Whether the provider fails, so that one request at a time may try it.
    pub in_outage: bool,
    /// What makes the part void once it changes.
    pub epoch: i64,
}

/// When a part of a budget may be spent, in seconds from now, which may have passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Requests are earned evenly from the first to the second.
    pub requests: (f64, f64),
    /// So are tokens.
    pub tokens: (f64, f64),
}

/// What an answer's headers say of the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Requests per minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<u32>,
    /// Share of a safe reserve that is left in the provider's bucket, 0 to 1.
    pub requests_left: f64,
    /// As `requests_left`.
    pub tokens_left: f64,
}

impl Db {
    /// Takes requests and tokens from a budget.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn reserve_budget(
        &self,
        budget: &Budget,
        requests: u32,
        tokens: u32,
    ) -> Result<Reserved, DbError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_file!(
            "src/db/sql/reserve_budget.sql",
            budget.provider,
            budget.model,
            number(budget.requests_per_minute),
            number(budget.tokens_per_minute),
            number(requests),
            i64::from(tokens),
            budget.is_backfill,
            seconds(budget.answer_within),
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        let part = Part {
            requests: (row.requests_from, row.requests_until),
            tokens: (row.tokens_from, row.tokens_until),
        };
        let wait = Duration::try_from_secs_f64(row.wait).unwrap_or(Duration::MAX);
        Ok(Reserved {
            outcome: if row.granted { Ok(part) } else { Err(wait) },
            in_outage: row.in_outage,
            epoch: row.epoch,
        })
    }

    /// Whether what was reserved still holds: the epoch.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn budget_epoch(&self, budget: &Budget) -> Result<i64, DbError> {
        let mut tx = self.begin().await?;
        let epoch = sqlx::query_scalar!(
            "select epoch from orion_ingest.provider_budgets where provider = $1 and model = $2",
            budget.provider,
            budget.model,
        )
        .fetch_optional(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(epoch.unwrap_or(NO_EPOCH))
    }

    /// Notes what an answer said of the limits, and that there was one: an outage is over; the epoch.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn hear_budget(&self, budget: &Budget, heard: &Heard) -> Result<i64, DbError> {
        let mut tx = self.begin().await?;
        let epoch = sqlx::query_scalar!(
            "select orion_ingest.hear_budget($1, $2, $3, $4, $5, $6)",
            budget.provider,
            budget.model,
            heard.requests_per_minute.map(number),
            heard.tokens_per_minute.map(number),
            heard.requests_left,
            heard.tokens_left,
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(epoch.unwrap_or(NO_EPOCH))
    }

    /// Lets no worker send anything for a while; the epoch. A refusal also lowers the pace, unless the request left before
    /// that last happened.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn pause_budget(
        &self,
        budget: &Budget,
        pause: Duration,
        is_refusal: bool,
        left_at: Instant,
    ) -> Result<i64, DbError> {
        let mut tx = self.begin().await?;
        let epoch = sqlx::query_scalar!(
            "select orion_ingest.pause_budget($1, $2, $3, $4, $5, $6, $7)",
            budget.provider,
            budget.model,
            number(budget.requests_per_minute),
            number(budget.tokens_per_minute),
            seconds(pause),
            is_refusal,
            // Now that a connection is there: what comes before the statement is part of the age.
            seconds(left_at.elapsed()),
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(epoch.unwrap_or(NO_EPOCH))
    }

    /// Notes that a request failed for all its tries: from now on one at a time tries the provider, after a pause that
    /// doubles up to half a minute; the epoch. Not if it last left before the outage was noted.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn break_budget(
        &self,
        budget: &Budget,
        first_pause: Duration,
        left_at: Instant,
    ) -> Result<i64, DbError> {
        let mut tx = self.begin().await?;
        let epoch = sqlx::query_scalar!(
            "select orion_ingest.break_budget($1, $2, $3, $4)",
            budget.provider,
            budget.model,
            seconds(first_pause),
            // Now that a connection is there: what comes before the statement is part of the age.
            seconds(left_at.elapsed()),
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(epoch.unwrap_or(NO_EPOCH))
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
