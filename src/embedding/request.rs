//! The story of one embedding request, and the only owner of HTTP retries.
//!
//! Reserve from the budget, record, send, check, book. What is refused is halved until the text at fault is alone, or
//! until it shows how much the provider takes at once. Before the provider has accepted anything, a refusal may be for
//! how we ask: then one word finds out what it understands. Tries are few and capped; an answer that we hold is booked
//! however long the database takes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    EmbeddingError, Settings, State, Totals,
    books::Books,
    budget::{PATIENCE, SharedBudget},
    halving::Halving,
    pump::{Wanted, within_rate},
};
use crate::{
    db::Db,
    embed::{
        EmbedError,
        batcher::{Input, Limits},
        concurrency::Concurrency,
        openai::{Client, Dialect},
    },
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

/// A text that every provider accepts: tells a refused text from a refused request.
pub(crate) const PROBE: &str = "probe";

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

/// What a refusal is about, by what the provider says to a word that can't be at fault.
enum Sounded {
    /// What was sent: how we ask is accepted.
    Well,
    /// How we asked, which has changed since.
    AskAgain,
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

    /// One result for each text. `turn` is given back when the first request may leave.
    pub(super) async fn embed(
        &self,
        batch: &[Wanted],
        turn: OwnedSemaphorePermit,
    ) -> Vec<Result<Vec<f32>, EmbeddingError>> {
        let mut turn = Some(turn);
        let mut results = Vec::with_capacity(batch.len());
        let mut halving = Halving::default();
        // The next part to send is on top, so that results come in order.
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            // Others may have learned meanwhile how much is too much.
            let (part, rest) = part.split_at(fitting(part, self.size()));
            if !rest.is_empty() {
                parts.push(rest);
            }
            let dialect = self.client.dialect();
            let refusal = match self.persist(part, &mut turn).await {
                Ok(vectors) => {
                    results.extend(vectors.into_iter().map(Ok));
                    if let Some(texts) = halving.passed(part.len()) {
                        self.learn_size(texts);
                    }
                    continue;
                }
                Err(error) if is_for_the_text(&error) => {
                    let sounded = self.sound_out(&part[0], dialect).await;
                    sounded.map(|verdict| (verdict, error))
                }
                Err(error) => Err(error),
            };
            match (refusal, part) {
                (Ok((Sounded::AskAgain, _)), _) => parts.push(part),
                (Ok((Sounded::Well, error)), [_]) => {
                    halving.blamed();
                    results.push(Err(error));
                }
                (Ok((Sounded::Well, _)), _) => {
                    halving.refused();
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                // Not the texts' fault: the rest would fare no better now.
                (Err(error), _) => {
                    results.resize_with(batch.len(), || Err(error.clone()));
                    break;
                }
            }
        }
        results
    }

    /// How large requests may be, as far as is known.
    pub(super) fn size(&self) -> Limits {
        *self.lock_size()
    }

    /// Remembers for the life of the process that the provider takes no more texts than these at once. Whether their
    /// number or their tokens were too much cannot be told, but a text has about as many tokens as the next.
    fn learn_size(&self, inputs: usize) {
        let mut size = self.lock_size();
        if inputs < size.inputs {
            size.inputs = inputs;
            tracing::warn!(
                inputs,
                "the embedding provider takes no larger requests; set EMBEDDING_BATCH_INPUTS or EMBEDDING_BATCH_TOKENS to what it takes"
            );
        }
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

    /// Finds out, by a word that can't be at fault, how the provider can be asked, if it has accepted nothing so far.
    async fn sound_out(&self, wanted: &Wanted, asked: Dialect) -> Result<Sounded, EmbeddingError> {
        let _only_one = self.sounding.lock().await;
        if let Some(error) = self.closed() {
            return Err(error);
        }
        if self.client.dialect() != asked {
            return Ok(Sounded::AskAgain);
        }
        if self.proven.load(Ordering::Relaxed) {
            return Ok(Sounded::Well);
        }
        let found = self.try_dialects(wanted).await;
        match &found {
            Ok(dialect) if *dialect == asked => return Ok(Sounded::Well),
            Ok(dialect) => tracing::info!("the embedding provider accepts {dialect}"),
            // Nothing was found out.
            Err(error) => {
                self.client.speak(asked);
                self.note(error);
            }
        }
        found.map(|_| Sounded::AskAgain)
    }

    /// The first dialect that gets a vector.
    async fn try_dialects(&self, wanted: &Wanted) -> Result<Dialect, EmbeddingError> {
        let probe = [Wanted {
            input: Input {
                user: wanted.input.user,
                sha256: Sha256::digest(PROBE).into(),
                text: PROBE.into(),
                tokens: 1,
            },
            file: wanted.file,
        }];
        let mut refused = 0;
        for dialect in Dialect::ALL {
            self.client.speak(dialect);
            match self.persist(&probe, &mut None).await {
                Ok(_) => return Ok(dialect),
                Err(EmbeddingError::Provider(EmbedError::Rejected { status })) => refused = status,
                Err(error) => return Err(error),
            }
        }
        Err(EmbedError::Misconfigured { status: refused }.into())
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

/// How many of these texts fit into a request; at least the first.
fn fitting(part: &[Wanted], size: Limits) -> usize {
    let mut tokens = 0_u32;
    let fits = |wanted: &&Wanted| {
        tokens = tokens.saturating_add(wanted.input.tokens);
        tokens <= size.tokens
    };
    let count = part.iter().take(size.inputs).take_while(fits).count();
    count.max(1).min(part.len())
}

fn is_for_the_text(error: &EmbeddingError) -> bool {
    matches!(error, EmbeddingError::Provider(EmbedError::Rejected { .. }))
}
