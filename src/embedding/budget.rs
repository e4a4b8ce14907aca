//! This process's side of the provider's limits: what it reserves of the budget that all workers on the database share,
//! what it waits for, and what it tells the others.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{EmbeddingError, Settings};
use crate::{
    db::{self, Db, DbError, Heard, Part},
    embed::{
        EmbedError,
        limiter::{Announced, Announcement, Limits, Purse, Span},
    },
};

/// How often whoever waits looks whether what it has reserved still holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A shorter wait is over before a look would be.
const SHORT: Duration = Duration::from_millis(100);

/// How often the others are told what headers say, unless limits changed.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How often they are told the same limits.
const TELL_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// A pause without a time in it.
const PAUSE: Duration = Duration::from_secs(1);

/// A pause is tested again after this, whatever the provider wished.
const MAX_PAUSE: Duration = Duration::from_mins(15);

/// Nobody stands in line for longer while nothing may be sent: files had better wait in the queue.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// The shared budget, as this process sees it.
#[derive(Debug)]
pub(super) struct SharedBudget {
    db: Db,
    row: db::Budget,
    purse: tokio::sync::Mutex<Reserved>,
    /// The last that was seen; what was reserved in another one is void.
    epoch: AtomicI64,
    told: Mutex<Told>,
    /// In an outage, from one try to the next at first.
    first_pause: Duration,
    /// Of a re-embedding: the part of the limits that all its processes share, taken from first.
    share: Option<Box<SharedBudget>>,
}

/// What was reserved, and in which epoch.
#[derive(Debug)]
struct Reserved {
    purse: Purse,
    epoch: i64,
}

/// When a request may leave, if nothing changes.
#[derive(Debug)]
struct Turn {
    leaves_at: Instant,
    epoch: i64,
    /// It tries a provider that fails.
    is_probe: bool,
}

/// Requests and tokens per minute, as headers tell them.
type ToldLimits = [Option<u32>; 2];

const NO_LIMITS: ToldLimits = [None; 2];

/// What the others were last told.
#[derive(Debug)]
struct Told {
    limits: ToldLimits,
    at: Instant,
    /// Whether the provider's buckets were well filled.
    was_safe: bool,
    /// Whether they wait for an outage to end.
    in_outage: bool,
}

impl SharedBudget {
    pub(super) fn new(settings: &Settings, db: Db) -> Self {
        let model = &settings.provider.model.name;
        let share = settings.backfill.as_ref().map(|backfill| {
            let limits = backfill.share_of(settings.limits);
            let name = format!("{model} (re-embedding)");
            Box::new(Self::of(settings, db.clone(), name, limits, None))
        });
        Self::of(settings, db, model.clone(), settings.limits, share)
    }

    fn of(
        settings: &Settings,
        db: Db,
        model: String,
        limits: Limits,
        share: Option<Box<Self>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            db,
            share,
            row: db::Budget {
                provider: settings.provider.authority(),
                model,
                requests_per_minute: limits.requests_per_minute,
                tokens_per_minute: limits.tokens_per_minute,
                is_backfill: settings.backfill.is_some(),
                answer_within: settings.provider.answer_within,
            },
            purse: tokio::sync::Mutex::new(Reserved {
                purse: Purse::new(now),
                epoch: 0,
            }),
            epoch: AtomicI64::new(0),
            told: Mutex::new(Told {
                limits: NO_LIMITS,
                at: now,
                was_safe: true,
                in_outage: false,
            }),
            first_pause: 2 * settings.retry_after,
        }
    }

    /// Waits for a request's turn, however long the line is; tells `on_outage` if the provider is known to fail. Whether
    /// the request is the one that tries it then.
    ///
    /// # Errors
    ///
    /// If nobody may send anything for longer than one should wait for that, or the database fails.
    pub(super) async fn reserve(
        &self,
        tokens: u32,
        on_outage: impl Fn() + Sync,
    ) -> Result<bool, EmbeddingError> {
        if let Some(share) = &self.share {
            share.reserve_here(tokens, &|| {}).await?;
        }
        self.reserve_here(tokens, &on_outage).await
    }

    async fn reserve_here(
        &self,
        tokens: u32,
        on_outage: &(dyn Fn() + Sync),
    ) -> Result<bool, EmbeddingError> {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            match self.take(tokens).await? {
                Ok(turn) => {
                    if self.holds(&turn).await? {
                        return Ok(turn.is_probe);
                    }
                }
                Err(wait) => {
                    if self.told().in_outage {
                        on_outage();
                    }
                    let now = Instant::now();
                    if now + wait > give_up_at {
                        return Err(EmbedError::Throttled { after: Some(wait) }.into());
                    }
                    sleep_until(now + wait.min(LOOK_EVERY)).await;
                }
            }
        }
    }

    /// Takes a request of so many tokens from the purse, which is filled first if it runs short; or how long nothing may
    /// be reserved.
    async fn take(&self, tokens: u32) -> Result<Result<Turn, Duration>, DbError> {
        let mut held = self.purse.lock().await;
        held.void_unless(self.epoch.load(Ordering::Relaxed));
        let mut is_probe = false;
        if !held.purse.holds(Instant::now(), tokens) {
            let (requests, more) = held.purse.wants(Instant::now(), tokens);
            let reserved = self.db.reserve_budget(&self.row, requests, more).await?;
            self.told().in_outage = reserved.in_outage;
            self.learn(reserved.epoch);
            // Not the latest that anybody read: the part is of this one.
            held.void_unless(reserved.epoch);
            let now = Instant::now();
            let part = match reserved.outcome {
                Ok(part) => part,
                Err(wait) => return Ok(Err(wait)),
            };
            is_probe = reserved.in_outage;
            let units = if is_probe {
                held.purse = Purse::new(now);
                (1, tokens)
            } else {
                (requests, more)
            };
            fill(&mut held.purse, now, units, &part);
            // A purse that was void may hold too little even now.
            if !held.purse.holds(now, tokens) {
                return Ok(Err(Duration::ZERO));
            }
        }
        Ok(Ok(Turn {
            leaves_at: held.purse.spend(tokens),
            epoch: held.epoch,
            is_probe,
        }))
    }

    /// Waits for the turn; whether what was reserved for it still holds then.
    async fn holds(&self, turn: &Turn) -> Result<bool, DbError> {
        let is_short = turn.leaves_at.saturating_duration_since(Instant::now()) < SHORT;
        loop {
            let now = Instant::now();
            sleep_until(turn.leaves_at.min(now + LOOK_EVERY)).await;
            if !is_short {
                self.learn(self.db.budget_epoch(&self.row).await?);
            }
            if self.epoch.load(Ordering::Relaxed) != turn.epoch {
                return Ok(false);
            }
            if turn.leaves_at <= Instant::now() {
                return Ok(true);
            }
        }
    }

    /// Notes what an answer's headers say, and tells the others what they had better know.
    pub(super) async fn hear(&self, announced: Announcement) {
        let limit = |announced: Option<Announced>| announced.map(|announced| announced.limit);
        let stock =
            |announced: Option<Announced>| announced.map_or(1.0, |announced| announced.stock());
        let heard = Heard {
            requests_per_minute: limit(announced.requests),
            tokens_per_minute: limit(announced.tokens),
            requests_left: stock(announced.requests),
            tokens_left: stock(announced.tokens),
        };
        if !self.is_news(&heard) {
            return;
        }
        match self.db.hear_budget(&self.row, &heard).await {
            Ok(epoch) => {
                self.learn(epoch);
                *self.told() = Told {
                    limits: heard.limits(),
                    at: Instant::now(),
                    was_safe: heard.is_safe(),
                    in_outage: false,
                };
            }
            Err(error) => {
                tracing::warn!(error = %error, "what the provider says of its limits was not noted");
            }
        }
    }

    /// Limits are told again after a while, since the row may have been made anew.
    fn is_news(&self, heard: &Heard) -> bool {
        let told = self.told();
        let is_due = told.at.elapsed() >= TELL_EVERY && !(heard.is_safe() && told.was_safe);
        let is_old = told.at.elapsed() >= TELL_AGAIN_AFTER && heard.limits() != NO_LIMITS;
        is_due || is_old || told.in_outage || told.limits != heard.limits()
    }

    /// Tokens per minute by the settings and by what the provider told; 0 where nobody knows.
    pub(super) fn tokens_per_minute(&self) -> u32 {
        if let Some(share) = &self.share {
            return share.tokens_per_minute();
        }
        let configured = self.row.tokens_per_minute;
        match self.told().limits[1] {
            Some(told) if configured == 0 || told < configured => told,
            Some(_) | None => configured,
        }
    }

    /// A 429 to a request that left then: pauses every worker, and lowers the pace.
    pub(super) async fn refused(&self, after: Option<Duration>, left_at: Instant) {
        self.pause(after.unwrap_or(PAUSE), true, left_at).await;
    }

    /// The provider asks for time: pauses every worker.
    pub(super) async fn wait(&self, after: Duration) {
        self.pause(after, false, Instant::now()).await;
    }

    async fn pause(&self, pause: Duration, is_refusal: bool, left_at: Instant) {
        let pause = pause.min(MAX_PAUSE);
        let paused = self
            .db
            .pause_budget(&self.row, pause, is_refusal, left_at.into_std());
        match paused.await {
            Ok(epoch) => self.learn(epoch),
            Err(error) => {
                tracing::warn!(error = %error, "a pause that the provider asked for was not noted");
            }
        }
    }

    /// A request that last left then failed for all its tries: one at a time is sent from now on.
    pub(super) async fn broke(&self, left_at: Instant) {
        let broken = self
            .db
            .break_budget(&self.row, self.first_pause, left_at.into_std());
        match broken.await {
            Ok(epoch) => self.learn(epoch),
            Err(error) => tracing::warn!(error = %error, "an outage of the provider was not noted"),
        }
    }

    /// So that what waits in this process hears of a change at once, and never of an earlier one after it.
    fn learn(&self, epoch: i64) {
        self.epoch.fetch_max(epoch, Ordering::Relaxed);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn limits(&self) -> ToldLimits {
        [self.requests_per_minute, self.tokens_per_minute]
    }

    /// Whether the provider's buckets are well filled.
    fn is_safe(&self) -> bool {
        self.requests_left >= 1.0 && self.tokens_left >= 1.0
    }
}

impl Reserved {
    /// Loses what was reserved in another epoch.
    fn void_unless(&mut self, epoch: i64) {
        if self.epoch != epoch {
            *self = Self {
                purse: Purse::new(Instant::now()),
                epoch,
            };
        }
    }
}

fn fill(purse: &mut Purse, now: Instant, (requests, tokens): (u32, u32), part: &Part) {
    purse.fill(
        now,
        (requests, span(now, part.requests)),
        (tokens, span(now, part.tokens)),
    );
}

/// From seconds after now; what was earned before is earned now.
fn span(now: Instant, (from, until): (f64, f64)) -> Span {
    let at = |seconds: f64| now + Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Span {
        from: at(from),
        until: at(until),
    }
}
