//! The story of one embedding request, and the only owner of HTTP retries.
//!
//! Reserve from the budget, record, send, check, book. Tries are few and capped; an answer that we hold is booked
//! however long the database takes. `request/refused.rs` has what becomes of a batch that is refused.

mod halving;
mod refused;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::refused::PROBE;
use super::{
    EmbeddingError, Settings, State, Totals,
    books::Books,
    budget::{PATIENCE, SharedBudget},
    pump::{Wanted, within_rate},
};
use crate::{
    db::Db,
    embed::{EmbedError, batcher::Limits, concurrency::Concurrency, openai::Client},
};

/// Tries of one request when the provider fails or does not answer; a longer outage is waited out in the queue.
const MAX_TRIES: usize = 4;

/// Tries when the provider throttles: each waits out the pause that it asked for.
const MAX_THROTTLED: usize = 10;

/// Tries when answers are unusable: each may be billed.
const MAX_MALFORMED: usize = 3;

/// No pause between two tries is longer.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// How long nothing is sent after a refusal that only a person can cure, in first pauses between two tries: half a
/// minute as a rule.
const COOL_DOWN: u32 = 60;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) stop: CancellationToken,
    client: Client,
    budget: SharedBudget,
    concurrency: Mutex<Concurrency>,
    pub(super) books: Books,
    retry_after: Duration,
    in_flight: AtomicUsize,
    /// Set once the provider has accepted anything.
    proven: AtomicBool,
    /// Held by who finds out how to ask.
    sounding: tokio::sync::Mutex<()>,
    /// How large requests may be, as far as is known.
    size: Mutex<Limits>,
    closed: Mutex<Option<(Instant, EmbeddingError)>>,
    state: watch::Sender<State>,
    totals: Arc<Mutex<Totals>>,
}

/// How often a request was tried, by what went wrong.
struct Tries {
    failed: usize,
    throttled: usize,
    malformed: usize,
    backoff: ExponentialBackoff,
}

impl Desk {
    pub(super) fn new(
        settings: &Settings,
        db: Db,
        state: watch::Sender<State>,
        totals: Arc<Mutex<Totals>>,
        stop: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            stop,
            client: Client::new(&settings.provider)?,
            budget: SharedBudget::new(settings, db.clone()),
            concurrency: Mutex::new(Concurrency::new(settings.max_concurrency)),
            books: Books::new(settings, db, Arc::clone(&totals)),
            retry_after: settings.retry_after,
            in_flight: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
            sounding: tokio::sync::Mutex::default(),
            size: Mutex::new(within_rate(settings)),
            closed: Mutex::new(None),
            state,
            totals,
        })
    }

    /// The error that stops all sending, while it does.
    pub(super) fn closed(&self) -> Option<EmbeddingError> {
        self.lock_closed().as_ref().map(|(_, error)| error.clone())
    }

    /// When what stopped all sending had better be tried again; never while nothing did.
    pub(super) fn reopens_at(&self) -> Option<Instant> {
        self.lock_closed().as_ref().map(|(until, _)| *until)
    }

    /// Lets one try show whether a person has cured it: nobody would claim a file for that otherwise.
    pub(super) fn reopen(&self) {
        *self.lock_closed() = None;
        self.publish(State::Unavailable);
    }

    pub(super) fn count_waiting(&self, inputs: usize) {
        self.totals().waiting_inputs = inputs;
    }

    pub(super) fn count_reused(&self) {
        self.totals().reused_inputs += 1;
    }

    /// Tries one request until it is answered, refused, or has been tried enough.
    async fn persist(
        &self,
        batch: &[Wanted],
        turn: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let mut tries = Tries::new(self.retry_after);
        let tokens = batch.iter().map(|wanted| wanted.input.tokens).sum();
        loop {
            let epoch = self
                .reserve(tokens)
                .await
                .inspect_err(|error| self.note(error))?;
            drop(turn.take());
            let error = match self.request(batch, tokens, epoch).await {
                Ok(vectors) => {
                    self.proven.store(true, Ordering::Relaxed);
                    self.note_success();
                    return Ok(vectors);
                }
                Err(error) => error,
            };
            let Some(pause) = tries.next_after(&error) else {
                if is_outage(&error) {
                    self.budget.broke(epoch).await;
                }
                self.note(&error);
                return Err(error);
            };
            self.unless_stopped(sleep(pause)).await?;
        }
    }

    /// The story of one request.
    async fn request(
        &self,
        batch: &[Wanted],
        tokens: u32,
        epoch: i64,
    ) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        self.books.check_spend(tokens).await?;
        let request = self.books.record(batch.len(), tokens).await?;
        let texts = batch
            .iter()
            .map(|wanted| Arc::clone(&wanted.input.text))
            .collect::<Vec<_>>();
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let sent_at = Instant::now();
        let reply = self.client.embed(&texts, tokens).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match reply.outcome {
            Ok(answer) => {
                self.lock_concurrency()
                    .answered(tokens, sent_at.elapsed(), in_flight);
                self.budget.hear(reply.announced).await;
                Ok(self.books.settle(request, batch, answer).await?)
            }
            Err(error) => {
                self.close(request, batch, &error, epoch).await;
                Err(error.into())
            }
        }
    }

    async fn reserve(&self, tokens: u32) -> Result<i64, EmbeddingError> {
        let began = Instant::now();
        let reserved = self.unless_stopped(self.budget.reserve(tokens)).await?;
        self.totals().limiter_wait += began.elapsed();
        reserved
    }

    /// Books what a request without vectors costs, as far as we know, and tells the budget.
    async fn close(&self, request: Uuid, batch: &[Wanted], error: &EmbedError, epoch: i64) {
        tracing::warn!(%request, inputs = batch.len(), error = %error, "an embedding request failed");
        self.totals().failed_requests += 1;
        if let EmbedError::Throttled { after } = error {
            self.totals().throttled_requests += 1;
            self.budget.refused(*after, epoch).await;
        }
        if let EmbedError::Failing {
            after: Some(after), ..
        } = error
        {
            self.budget.wait(*after).await;
        }
        let closed = if let EmbedError::WrongLength { billed, .. }
        | EmbedError::Malformed {
            billed: Some(billed),
            ..
        } = error
        {
            self.books.settle_waste(request, batch, *billed).await
        } else if error.may_be_billed() {
            // It stays uncertain: nobody here knows.
            return;
        } else {
            self.books.refuse(request).await
        };
        if let Err(error) = closed {
            // The request stays uncertain, which is the truth as far as the database knows it.
            tracing::warn!(%request, error = %error, "a failed embedding request was not closed");
        }
    }

    /// Draws the conclusions from an error that stays.
    fn note(&self, error: &EmbeddingError) {
        let state = match error {
            EmbeddingError::Provider(error) => match error {
                EmbedError::QuotaSpent => State::QuotaSpent,
                EmbedError::CredentialsRefused { .. } => State::CredentialsRefused,
                EmbedError::Misconfigured { .. } => State::Misconfigured,
                EmbedError::WrongLength { found, .. } => State::WrongLength { found: *found },
                EmbedError::Rejected { .. } => return,
                EmbedError::Throttled { .. }
                | EmbedError::Failing { .. }
                | EmbedError::Unreachable { .. }
                | EmbedError::Malformed { .. } => State::Unavailable,
            },
            EmbeddingError::SpendLimit { .. } => State::SpendLimit,
            EmbeddingError::Ledger(_)
            | EmbeddingError::UserQuota { .. }
            | EmbeddingError::Shared
            | EmbeddingError::Stopped => return,
        };
        // Under the lock, as in `note_success`: state and closure never disagree.
        let mut closed = self.lock_closed();
        self.publish(state);
        if state != State::Unavailable {
            let cool_down = if let EmbeddingError::SpendLimit { after } = error {
                *after
            } else {
                self.retry_after * COOL_DOWN
            };
            *closed = Some((Instant::now() + cool_down, error.clone()));
        }
    }

    /// An answer shows that embedding works, unless something stopped all sending after its request had gone.
    fn note_success(&self) {
        let closed = self.lock_closed();
        if closed.is_none() {
            self.publish(State::Ready);
        }
    }

    /// Says so when the state changes: once, as an alert.
    fn publish(&self, state: State) {
        let changed = self.state.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
        if changed && state == State::Ready {
            tracing::info!("embedding works again");
        } else if changed {
            tracing::error!(?state, "embedding is held up");
        }
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, EmbeddingError> {
        self.stop
            .run_until_cancelled(work)
            .await
            .ok_or(EmbeddingError::Stopped)
    }

    /// How many requests may be in flight: one while the provider fails.
    pub(super) fn concurrency(&self) -> usize {
        match *self.state.borrow() {
            State::Unavailable => 1,
            State::Ready
            | State::QuotaSpent
            | State::CredentialsRefused
            | State::Misconfigured
            | State::WrongLength { .. }
            | State::SpendLimit => self.lock_concurrency().limit(),
        }
    }

    fn lock_concurrency(&self) -> MutexGuard<'_, Concurrency> {
        self.concurrency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_size(&self) -> MutexGuard<'_, Limits> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_closed(&self) -> MutexGuard<'_, Option<(Instant, EmbeddingError)>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tries {
    fn new(retry_after: Duration) -> Self {
        Self {
            failed: 0,
            throttled: 0,
            malformed: 0,
            backoff: backoff(retry_after),
        }
    }

    /// How long to wait before the next try; `None` if there is none.
    fn next_after(&mut self, error: &EmbeddingError) -> Option<Duration> {
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
            EmbedError::Malformed { .. } => {
                (&mut self.malformed, MAX_MALFORMED, self.backoff.next())
            }
            EmbedError::QuotaSpent
            | EmbedError::CredentialsRefused { .. }
            | EmbedError::Misconfigured { .. }
            | EmbedError::WrongLength { .. }
            | EmbedError::Rejected { .. } => return None,
        };
        *count += 1;
        pause.filter(|_| *count < max)
    }
}

/// Doubling pauses with jitter, without end.
pub(super) fn backoff(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(MAX_BACKOFF)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Whether the provider fails whatever it is asked.
fn is_outage(error: &EmbeddingError) -> bool {
    matches!(
        error,
        EmbeddingError::Provider(
            EmbedError::Failing { .. }
                | EmbedError::Unreachable { .. }
                | EmbedError::Malformed { .. }
        )
    )
}
