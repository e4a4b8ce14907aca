//! The story of one embedding request, and the only owner of HTTP retries.
//!
//! Reserve from the budget, record, send, check, book. Tries are few and capped; an answer that we hold is booked
//! however long the database takes. `request/refused.rs` has what becomes of a batch that is refused.

mod halving;
mod refused;
mod tries;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::refused::PROBE;
pub(super) use self::refused::fitting;
use self::tries::Tries;
pub(super) use self::tries::{MAX_BACKOFF, backoff};
use super::{
    EmbeddingError, Settings, State, Totals, books::Books, budget::SharedBudget, pump::Wanted,
};
use crate::{
    db::Db,
    embed::{
        EmbedError,
        batcher::Limits,
        concurrency::Concurrency,
        openai::{Client, Dialect},
    },
    failpoint::{self, Line},
};

/// How long nothing is sent after a refusal that only a person can cure, in first pauses between two tries: half a
/// minute as a rule.
const COOL_DOWN: u32 = 60;

/// What came of a request that did not fail.
enum Reply {
    /// One for each text.
    Vectors(Vec<Vec<f32>>),
    /// It was not sent, or not again: some of its texts are not wanted any more.
    Unwanted,
}

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
    /// When the provider last gave vectors: how we ask is accepted, and what fails meanwhile fails by itself.
    answered_at: Mutex<Option<Instant>>,
    /// How it is asked, as far as is known.
    dialect: Mutex<Dialect>,
    /// It gave vectors of another length and none of the right one since.
    gives_other_lengths: AtomicBool,
    /// Held by who finds out how to ask.
    sounding: tokio::sync::Mutex<()>,
    /// How large requests may be, whatever the rate.
    size: Mutex<Limits>,
    closed: Mutex<Option<(Instant, EmbeddingError)>>,
    state: watch::Sender<State>,
    totals: Arc<Mutex<Totals>>,
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
            answered_at: Mutex::new(None),
            dialect: Mutex::default(),
            gives_other_lengths: AtomicBool::new(false),
            sounding: tokio::sync::Mutex::default(),
            size: Mutex::new(settings.batch),
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

    /// Tries one request until it is answered, refused, or has been tried enough, and as long as all of it is wanted.
    async fn persist(
        &self,
        batch: &[Wanted],
        dialect: Dialect,
        turn: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Reply, EmbeddingError> {
        let began = Instant::now();
        let mut tries = Tries::new(self.retry_after);
        let tokens = batch.iter().map(|wanted| wanted.input.tokens).sum();
        loop {
            let is_probe = self
                .reserve(tokens)
                .await
                .inspect_err(|error| self.note(error))?;
            drop(turn.take());
            let left_at = Instant::now();
            let error = match self.request(batch, dialect, tokens).await {
                Ok(Reply::Unwanted) => return Ok(Reply::Unwanted),
                Ok(Reply::Vectors(vectors)) => {
                    *self.lock_answered_at() = Some(Instant::now());
                    self.gives_other_lengths.store(false, Ordering::Relaxed);
                    self.publish_unless_closed(State::Ready);
                    return Ok(Reply::Vectors(vectors));
                }
                Err(error) => error,
            };
            let pause = tries.next_after(&error, self.lock_answered_at().is_some());
            let Some(pause) = pause.filter(|_| !(is_probe && is_outage(&error))) else {
                if !is_outage(&error) {
                    self.note(&error);
                } else if self.lock_answered_at().is_none_or(|at| at < began) {
                    self.budget.broke(left_at).await;
                    self.note(&error);
                }
                return Err(error);
            };
            self.unless_stopped(sleep(pause)).await?;
        }
    }

    /// The story of one request.
    async fn request(
        &self,
        batch: &[Wanted],
        dialect: Dialect,
        tokens: u32,
    ) -> Result<Reply, EmbeddingError> {
        failpoint::reach(Line::Reserved);
        self.books.check_spend(tokens).await?;
        let request = self.books.record(batch.len(), tokens).await?;
        failpoint::reach(Line::Recorded);
        // Looked at last: the budget and the database may have taken longer than leases last.
        if batch.iter().any(|wanted| !wanted.interest.is_left()) {
            self.books.refuse(request).await?;
            return Ok(Reply::Unwanted);
        }
        let texts = batch
            .iter()
            .map(|wanted| wanted.input.text.clone())
            .collect::<Vec<_>>();
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let sent_at = Instant::now();
        let reply = self.client.embed(&texts, tokens, dialect).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match reply.outcome {
            Ok(answer) => {
                self.lock_concurrency()
                    .answered(tokens, sent_at, Instant::now(), in_flight);
                failpoint::reach(Line::Answered);
                // Booked before anything else: it is paid for.
                let vectors = self.books.settle(request, batch, answer).await;
                failpoint::reach(Line::Booked);
                self.budget.hear(reply.announced).await;
                Ok(Reply::Vectors(vectors?))
            }
            Err(error) => {
                self.close(request, batch, &error, sent_at).await;
                let error = error.into();
                // Whatever else it says, it works.
                if !is_outage(&error) {
                    self.budget.hear(reply.announced).await;
                }
                Err(error)
            }
        }
    }

    async fn reserve(&self, tokens: u32) -> Result<bool, EmbeddingError> {
        let began = Instant::now();
        let on_outage = || self.publish_unless_closed(State::Unavailable);
        let reserved = self.budget.reserve(tokens, on_outage);
        let reserved = self.unless_stopped(reserved).await?;
        self.totals().limiter_wait += began.elapsed();
        reserved
    }

    /// Books what a request without vectors costs, as far as we know, and tells the budget.
    async fn close(&self, request: Uuid, batch: &[Wanted], error: &EmbedError, left_at: Instant) {
        tracing::warn!(%request, inputs = batch.len(), error = %error, "an embedding request failed");
        self.totals().failed_requests += 1;
        if let EmbedError::Throttled { after } = error {
            self.totals().throttled_requests += 1;
            self.budget.refused(*after, left_at).await;
        }
        if let EmbedError::Unreachable { sent: true, .. } = error {
            self.lock_concurrency().unanswered();
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
                EmbedError::WrongLength { found, .. } => {
                    self.gives_other_lengths.store(true, Ordering::Relaxed);
                    State::WrongLength { found: *found }
                }
                EmbedError::Rejected { .. } => return,
                EmbedError::Throttled { .. }
                | EmbedError::Failing { .. }
                | EmbedError::Unreachable { .. }
                | EmbedError::Malformed { .. } => State::Unavailable,
            },
            EmbeddingError::SpendLimit { .. } => State::SpendLimit,
            EmbeddingError::Ledger(_)
            | EmbeddingError::UserQuota { .. }
            | EmbeddingError::CostLimit
            | EmbeddingError::Shared
            | EmbeddingError::Stopped => return,
        };
        // Under the lock, as in `publish_unless_closed`: state and closure never disagree.
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

    /// What an answer or another worker shows, unless something stopped all sending meanwhile.
    fn publish_unless_closed(&self, state: State) {
        let closed = self.lock_closed();
        if closed.is_none() {
            self.publish(state);
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

    fn lock_answered_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.answered_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_dialect(&self) -> MutexGuard<'_, Dialect> {
        self.dialect.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Requests no larger than what the rate limit gives in ten seconds: the provider's own bucket may hold little more, and
/// would refuse a larger one for ever.
pub(super) fn within_rate(batch: Limits, tokens_per_minute: u32) -> Limits {
    let Limits { inputs, tokens } = batch;
    let tokens = match tokens_per_minute {
        0 => tokens,
        rate => tokens.min(rate / 6),
    };
    Limits { inputs, tokens }
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
