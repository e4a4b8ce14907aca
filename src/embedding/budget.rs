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
        limiter::{Announced, Announcement, Purse, Span},
    },
};

/// How often whoever waits looks whether what it has reserved still holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A shorter wait is over before a look would be.
const SHORT: Duration = Duration::from_millis(100);

/// How often the others are told what headers say, unless limits changed.
const TELL_EVERY: Duration = Duration::from_secs(1);

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
}

/// What was reserved, and in which epoch.
#[derive(Debug)]
struct Reserved {
    purse: Purse,
    epoch: i64,
}

/// What the others were last told.
#[derive(Debug)]
struct Told {
    limits: [Option<u32>; 2],
    at: Instant,
    /// Whether the provider's buckets were well filled.
    was_safe: bool,
    /// Whether they wait for an outage to end.
    in_outage: bool,
}

impl SharedBudget {
    pub(super) fn new(settings: &Settings, db: Db) -> Self {
        let now = Instant::now();
        Self {
            db,
            row: db::Budget {
                provider: settings.provider.authority(),
                model: settings.provider.model.name.clone(),
                requests_per_minute: settings.limits.requests_per_minute,
                tokens_per_minute: settings.limits.tokens_per_minute,
                is_backfill: settings.is_backfill,
            },
            purse: tokio::sync::Mutex::new(Reserved {
                purse: Purse::new(now),
                epoch: 0,
            }),
            epoch: AtomicI64::new(0),
            told: Mutex::new(Told {
                limits: [None; 2],
                at: now,
                was_safe: true,
                in_outage: false,
            }),
            first_pause: 2 * settings.retry_after,
        }
    }

    /// Waits until a request of so many tokens may leave; tells `on_outage` if the provider is known to fail.
    ///
    /// # Errors
    ///
    /// If nothing may be sent for longer than anybody should stand in line, or the database fails.
    pub(super) async fn reserve(
        &self,
        tokens: u32,
        on_outage: impl Fn(),
    ) -> Result<(), EmbeddingError> {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            match self.take(tokens).await? {
                Ok((leaves_at, epoch)) => {
                    if self.holds_until(leaves_at, epoch).await? {
                        return Ok(());
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

    /// Takes a request of so many tokens from the purse, which is filled first if it runs short: when it may leave, and
    /// the epoch; or how long nothing may be reserved.
    async fn take(&self, tokens: u32) -> Result<Result<(Instant, i64), Duration>, DbError> {
        let mut held = self.purse.lock().await;
        held.void_unless(self.epoch.load(Ordering::Relaxed));
        if !held.purse.holds(Instant::now(), tokens) {
            let (requests, more) = held.purse.wants(Instant::now(), tokens);
            let reserved = self.db.reserve_budget(&self.row, requests, more).await?;
            self.told().in_outage = reserved.in_outage;
            self.epoch.store(reserved.epoch, Ordering::Relaxed);
            held.void_unless(reserved.epoch);
            let now = Instant::now();
            match reserved.outcome {
                Ok(part) => fill(&mut held.purse, now, (requests, more), &part),
                Err(wait) => return Ok(Err(wait)),
            }
            // A purse that was void may hold too little even now.
            if !held.purse.holds(now, tokens) {
                return Ok(Err(Duration::ZERO));
            }
        }
        Ok(Ok((held.purse.spend(tokens), held.epoch)))
    }

    /// Waits; whether what was reserved in this epoch still holds then.
    async fn holds_until(&self, leaves_at: Instant, epoch: i64) -> Result<bool, DbError> {
        let is_short = leaves_at.saturating_duration_since(Instant::now()) < SHORT;
        loop {
            let now = Instant::now();
            sleep_until(leaves_at.min(now + LOOK_EVERY)).await;
            if !is_short {
                let found = self.db.budget_epoch(&self.row).await?;
                self.epoch.store(found, Ordering::Relaxed);
            }
            if self.epoch.load(Ordering::Relaxed) != epoch {
                return Ok(false);
            }
            if leaves_at <= Instant::now() {
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
        if self.is_news(&heard) {
            let epoch = self.db.hear_budget(&self.row, &heard).await;
            self.learn(epoch, "what the provider says of its limits was not noted");
        }
    }

    fn is_news(&self, heard: &Heard) -> bool {
        let limits = [heard.requests_per_minute, heard.tokens_per_minute];
        let is_safe = heard.requests_left >= 1.0 && heard.tokens_left >= 1.0;
        let mut told = self.told();
        let is_due = told.at.elapsed() >= TELL_EVERY && !(is_safe && told.was_safe);
        let is_news = is_due || told.in_outage || told.limits != limits;
        if is_news {
            *told = Told {
                limits,
                at: Instant::now(),
                was_safe: is_safe,
                in_outage: false,
            };
        }
        is_news
    }

    /// A 429 to a request that left so long ago: pauses every worker, and lowers the pace.
    pub(super) async fn refused(&self, after: Option<Duration>, age: Duration) {
        self.pause(after.unwrap_or(PAUSE), true, age).await;
    }

    /// The provider asks for time: pauses every worker.
    pub(super) async fn wait(&self, after: Duration) {
        self.pause(after, false, Duration::ZERO).await;
    }

    async fn pause(&self, pause: Duration, is_refusal: bool, age: Duration) {
        let pause = pause.min(MAX_PAUSE);
        let paused = self.db.pause_budget(&self.row, pause, is_refusal, age);
        self.learn(
            paused.await,
            "a pause that the provider asked for was not noted",
        );
    }

    /// A request that last left so long ago failed for all its tries: one at a time is sent from now on.
    pub(super) async fn broke(&self, age: Duration) {
        let broken = self.db.break_budget(&self.row, self.first_pause, age);
        self.learn(broken.await, "an outage of the provider was not noted");
    }

    /// So that what waits in this process hears of the change at once.
    fn learn(&self, epoch: Result<i64, DbError>, or_complain: &'static str) {
        match epoch {
            Ok(epoch) => self.epoch.store(epoch, Ordering::Relaxed),
            Err(error) => tracing::warn!(error = %error, "{or_complain}"),
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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
