//! Claims what there is room for, spawns it, settles it. The only file that spawns.
//!
//! Promises: never more files in hand than permits, no more than may wait for their vectors beside these, and as many claimed
//! ahead as came to an end in the last moment; every claim ends in exactly one of commit, reject, retry, release, or in
//! words that the lease was lost; nothing is detached.

mod ahead;
mod services;
mod settle;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};

use crate::{
    app::App,
    db::{self, Backlog, DbError, Scope},
    embedding::State,
    failpoint::{self, Line},
    shutdown::Shutdown,
    telemetry::Chain,
};
use ahead::{Ahead, is_worth_a_claim};
pub use services::{Services, WorkerError, run};
pub use settle::Settled;

/// How long a drain goes on asking a database that does not answer.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// Pause after a failed claim.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// A drain looks again at least this long after it found nothing due.
const MIN_WAIT: Duration = Duration::from_millis(50);

/// When the work is over.
#[derive(Clone, Debug)]
pub enum Until {
    /// At the first signal.
    Stopped,
    /// When nothing of `scope` is left, or at the first signal, or when the time is up.
    Drained {
        /// What to work on.
        scope: Scope,
        /// When to give up.
        give_up_at: Option<Instant>,
    },
}

impl Until {
    /// What is worked on.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        const ALL: &Scope = &Scope::All;
        match self {
            Self::Stopped => ALL,
            Self::Drained { scope, .. } => scope,
        }
    }
}

impl Until {
    /// Resolves when a drain has taken too long.
    async fn time_up(&self) {
        match self {
            Self::Drained {
                give_up_at: Some(at),
                ..
            } => tokio::time::sleep_until((*at).into()).await,
            Self::Drained {
                give_up_at: None, ..
            }
            | Self::Stopped => std::future::pending().await,
        }
    }
}

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left.
    Drained,
    /// A signal came.
    Stopped,
    /// The time was up.
    TimedOut,
    /// The provider refuses our key, the account is out of money, or the day's limit is spent.
    Halted(State),
    /// Storage refuses our credentials, or has no such bucket.
    StorageRefused,
}

impl Ending {
    /// As reports name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Stopped => "interrupted",
            Self::TimedOut => "timed_out",
            Self::Halted(state) => state.as_str(),
            Self::StorageRefused => "storage_refused",
        }
    }
}

/// Works until the end that `until` names; every file that was settled is told to `on_settled`.
///
/// # Errors
///
/// A database that a drain cannot reach for ten seconds; a service waits for ever.
pub async fn work(
    app: &Arc<App>,
    until: &Until,
    shutdown: &Shutdown,
    hint: &Notify,
    mut on_settled: impl FnMut(&Settled),
) -> Result<Ending, DbError> {
    let mut hands: JoinSet<Settled> = JoinSet::new();
    let mut look = Look::new();
    let mut ahead = Ahead::new(Instant::now());
    let drains = matches!(until, Until::Drained { .. });
    let mut storage_refused = false;
    let ending = loop {
        if shutdown.is_finishing() {
            break Ending::Stopped;
        }
        // Another one when the active model has changed.
        let embedder = app.embedder();
        let (mut provider, mut waiting) = (embedder.state(), embedder.waiting());
        let state = *provider.borrow_and_update();
        if drains && hands.is_empty() {
            if state.is_final() {
                break Ending::Halted(state);
            }
            if storage_refused {
                break Ending::StorageRefused;
            }
        }
        // A drain that storage refuses ends with what it has in hand.
        let may_claim = !(drains && storage_refused);
        // A failing provider is tried with one file.
        let files_ahead = if state == State::Ready {
            ahead.files(Instant::now()).min(app.waiting)
        } else {
            0
        };
        let mut room = room(
            state,
            app.concurrency + files_ahead,
            hands.len(),
            app.waiting.min(*waiting.borrow_and_update()),
        );
        let is_idle = hands.is_empty();
        if is_worth_a_claim(room, files_ahead, is_idle) && look.is_due() && may_claim {
            match claim(app, until.scope(), room, shutdown, &mut hands).await {
                Ok(claimed) => {
                    room -= claimed;
                    look.after_claim(claimed, app.poll_every);
                }
                Err(error) => look.after_outage(error, drains)?,
            }
        }
        if drains && hands.is_empty() && !look.is_due() {
            match db::answered(app.db.backlog(until.scope())).await {
                Ok(Backlog { files: 0, .. }) => break Ending::Drained,
                Ok(Backlog { next_due_in, .. }) => {
                    look.no_later_than(next_due_in.unwrap_or_default().max(MIN_WAIT));
                }
                Err(error) => look.after_outage(error, drains)?,
            }
        }
        tokio::select! {
            Some(settled) = hands.join_next() => {
                storage_refused = tell(settled, &mut on_settled);
                ahead.count(Instant::now());
                // Files that are committed together make room together, for one claim.
                while let Some(settled) = hands.try_join_next() {
                    storage_refused |= tell(settled, &mut on_settled);
                    ahead.count(Instant::now());
                }
                look.room_came(storage_refused);
            }
            Ok(()) = waiting.changed() => look.room_came(storage_refused),
            () = look.wait(), if may_claim && is_worth_a_claim(room, files_ahead, hands.is_empty()) => {}
            () = hint.notified() => look.now(),
            Ok(()) = provider.changed() => look.now(),
            () = shutdown.finishing() => {}
            () = until.time_up() => break Ending::TimedOut,
        }
    };
    if ending == Ending::TimedOut {
        shutdown.leave();
    }
    while let Some(settled) = hands.join_next().await {
        tell(settled, &mut on_settled);
    }
    Ok(ending)
}

/// How many files may be claimed, if so many have been and some of these wait for their vectors: a failing provider is
/// tried with one file at a time, one that wants money or another key with none.
fn room(provider: State, concurrency: usize, claimed: usize, waiting: usize) -> usize {
    match provider {
        State::Ready => (concurrency + waiting).saturating_sub(claimed),
        State::Unavailable => 1_usize.saturating_sub(claimed),
        State::QuotaSpent
        | State::CredentialsRefused
        | State::Misconfigured
        | State::WrongLength { .. }
        | State::SpendLimit => 0,
    }
}

/// Claims and starts up to `room` files; returns how many.
async fn claim(
    app: &Arc<App>,
    scope: &Scope,
    room: usize,
    shutdown: &Shutdown,
    hands: &mut JoinSet<Settled>,
) -> Result<usize, DbError> {
    let leases = db::answered(app.db.claim(room, app.lease_for, scope)).await?;
    let claimed = leases.len();
    if claimed > 0 {
        failpoint::reach(Line::Claimed);
    }
    for lease in leases {
        app.metrics.claimed();
        hands.spawn(settle::work_on(app.clone(), lease, shutdown.clone()));
    }
    Ok(claimed)
}

/// Tells the report; whether storage refuses everything.
///
/// A task catches the panics of its file, so that one which dies all the same was cancelled with the runtime.
fn tell(settled: Result<Settled, JoinError>, on_settled: &mut impl FnMut(&Settled)) -> bool {
    match settled {
        Ok(settled) => {
            on_settled(&settled);
            settled.storage_refused
        }
        Err(error) => {
            tracing::error!(error = %error, "a file's task died unsettled; its lease will run out");
            false
        }
    }
}

/// When to look for work next.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// The last claim took something, so that there may be more: a claim divides the room among those whose turn it is,
    /// and some of them had less to do than that.
    more: bool,
    down_since: Option<Instant>,
}

impl Look {
    fn new() -> Self {
        Self {
            at: Instant::now(),
            more: false,
            down_since: None,
        }
    }

    fn is_due(&self) -> bool {
        self.at <= Instant::now()
    }

    fn now(&mut self) {
        self.at = Instant::now();
    }

    /// What storage refuses to one file it refuses to the next; the others can wait until the next look.
    fn room_came(&mut self, storage_refused: bool) {
        if storage_refused {
            self.more = false;
            self.at = Instant::now() + OUTAGE_PAUSE;
        } else if self.more {
            self.now();
        }
    }

    fn no_later_than(&mut self, after: Duration) {
        self.at = self.at.min(Instant::now() + after);
    }

    fn after_claim(&mut self, claimed: usize, poll_every: Duration) {
        self.down_since = None;
        self.more = claimed > 0;
        if !self.more {
            self.at = Instant::now() + poll_every.mul_f64(jitter());
        }
    }

    /// Waits out an outage of the database, unless a drain has waited long enough.
    fn after_outage(&mut self, error: DbError, drains: bool) -> Result<(), DbError> {
        let down_since = *self.down_since.get_or_insert_with(Instant::now);
        if drains && down_since.elapsed() > GIVE_UP_AFTER {
            return Err(error);
        }
        tracing::warn!(error = %Chain(&error), "the database does not answer; trying again");
        self.at = Instant::now() + OUTAGE_PAUSE.mul_f64(jitter());
        Ok(())
    }

    async fn wait(&self) {
        tokio::time::sleep_until(self.at.into()).await;
    }
}

/// Between 0.5 and 1, so that workers that started together do not poll together.
fn jitter() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(0);
    0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0
}
