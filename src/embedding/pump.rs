//! The one task that owns what waits and what is in flight. It never awaits anything but its own `select!`.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Weak, atomic::Ordering},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Duration, Instant, sleep_until, timeout},
};
use uuid::Uuid;

use super::{
    EmbeddingError, Expected, Expecting, Job, Keep, Piece, Settings, Vectors, interest::Interest,
    request::Desk,
};
use crate::{
    document::{FileId, UserId},
    embed::batcher::{Batcher, Input},
};

/// How long a stopped pump waits for the answers under way: what `SHUTDOWN_GRACE` leaves of Kubernetes' 30 s.
const FINISH_WITHIN: Duration = Duration::from_secs(4);

/// Look-ups at once: a note does not wait for those of a long document.
const MAX_RECALLS: usize = 2;

/// Texts that are looked up at once, unless one file has more: each may bring a vector of some kilobytes.
const MAX_RECALLED: usize = 250;

/// A text of a user: embedded once however many files ask for it.
type Key = (UserId, [u8; 32]);

/// A file's texts on their way to the pump.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) keep: Keep,
    pub(super) answer: oneshot::Sender<Result<Vectors, EmbeddingError>>,
    /// Whether the file still waits.
    pub(super) waiting: Weak<()>,
    pub(super) expecting: Expecting,
}

/// A text of a request and the file that asked for it first.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) input: Input,
    /// `None` for a text that is not of a file.
    pub(super) file: Option<FileId>,
    /// Who waits for it.
    pub(super) interest: Interest,
    /// The row whose vector a re-embedding fills.
    pub(super) row: Option<Uuid>,
}

/// What came of one request, and of those that it was divided into.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) batch: Vec<Wanted>,
    /// As many as texts.
    pub(super) results: Vec<Result<Vec<f32>, EmbeddingError>>,
}

/// Texts of a file that nobody else has asked for: does their user have vectors of them?
#[derive(Debug)]
pub(super) struct Lookup {
    job: u64,
    pub(super) user: UserId,
    pub(super) pieces: Vec<Piece>,
    pub(super) keep: Keep,
    /// The file is on its way until its texts are in line.
    _expecting: Expecting,
}

/// What a user has of a file's texts; `None` where the vector stays in the database.
pub(super) type Recalled = HashMap<[u8; 32], Option<Vec<f32>>>;

/// What users already have of the texts that were looked up together.
type Recalls = Vec<(Lookup, Result<Recalled, EmbeddingError>)>;

/// Packs, sends and scatters. Its owner polls [`Pump::run`]; it spawns nothing.
#[derive(Debug)]
pub struct Pump {
    desk: Arc<Desk>,
    inbox: mpsc::Receiver<Order>,
    expected: Arc<Expected>,
    /// What came while others are looked up.
    lookups: Vec<Lookup>,
    batcher: Batcher,
    /// Who waits for a text that is being looked up, in line or in flight.
    waiters: HashMap<Key, Waiters>,
    jobs: HashMap<u64, Pending>,
    next_job: u64,
    linger: Duration,
    /// When the line stopped being empty.
    waiting_since: Instant,
    /// A file was answered while some of its texts still wait in line.
    line_has_gone: bool,
    /// One request at a time waits for the rate limit: what is packed can't be fair to who comes later.
    turnstile: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiters {
    file: Option<FileId>,
    jobs: Vec<u64>,
    interest: Interest,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Result<Vectors, EmbeddingError>>,
    keep: Keep,
    vectors: Vectors,
    missing: usize,
}

impl Pump {
    pub(super) fn new(
        settings: &Settings,
        desk: Desk,
        inbox: mpsc::Receiver<Order>,
        expected: Arc<Expected>,
    ) -> Self {
        Self {
            desk: Arc::new(desk),
            inbox,
            expected,
            lookups: Vec::new(),
            batcher: Batcher::new(settings.batch),
            waiters: HashMap::new(),
            jobs: HashMap::new(),
            next_job: 0,
            linger: settings.linger,
            waiting_since: Instant::now(),
            line_has_gone: false,
            turnstile: Arc::new(Semaphore::new(1)),
        }
    }

    /// Works until it is stopped or every handle is gone, then until what is in flight is booked.
    pub async fn run(mut self) {
        let mut recalls = FuturesUnordered::new();
        let mut in_flight = FuturesUnordered::new();
        let desk = Arc::clone(&self.desk);
        let expected = Arc::clone(&self.expected);
        loop {
            self.batcher.limit(desk.size());
            let has_room = in_flight.len() < desk.concurrency() && !self.batcher.is_empty();
            let is_due = self.is_due();
            desk.count_waiting(self.batcher.len());
            let reopens_at = desk.reopens_at();
            if recalls.len() < MAX_RECALLS && !self.lookups.is_empty() {
                recalls.push(self.recall());
            }
            tokio::select! {
                biased;
                () = desk.stop.cancelled() => break,
                order = self.inbox.recv() => match order {
                    Some(order) => self.take(order),
                    None => break,
                },
                Some(recalls) = recalls.next(), if !recalls.is_empty() => {
                    for (lookup, known) in recalls {
                        self.line_up(lookup, known);
                    }
                }
                Some(outcome) = in_flight.next(), if !in_flight.is_empty() => self.scatter(outcome),
                Ok(turn) = Arc::clone(&self.turnstile).acquire_owned(), if has_room && is_due => {
                    in_flight.extend(self.pack(turn));
                }
                () = sleep_until(self.waiting_since + self.linger), if has_room && !is_due => {}
                () = sleep_until(reopens_at.unwrap_or_else(Instant::now)), if reopens_at.is_some() => desk.reopen(),
                () = expected.fell.notified() => {}
            }
        }
        // Nobody polls them any more, and they may hold connections that the bookings below need.
        drop(recalls);
        self.stop();
        let finish = async {
            while let Some(outcome) = in_flight.next().await {
                self.scatter(outcome);
            }
        };
        if timeout(FINISH_WITHIN, finish).await.is_err() {
            tracing::warn!("stopped before all answers had come; their requests stay uncertain");
        }
    }

    /// Whether the line should go now: a request is full, nobody else is coming, or it has waited long enough.
    fn is_due(&self) -> bool {
        self.batcher.is_full()
            || self.expected.files.load(Ordering::Relaxed) == 0
            || self.waiting_since.elapsed() >= self.linger
    }

    /// Notes who waits for what; texts that nobody has asked for yet are looked up before they are bought.
    ///
    /// Noting comes first: a text that is bought meanwhile has been noted before or is found by the look-up.
    fn take(&mut self, order: Order) {
        let Order {
            job,
            keep,
            answer,
            waiting,
            expecting,
        } = order;
        let id = self.next_job;
        self.next_job += 1;
        let mut pieces = Vec::new();
        let mut missing = 0;
        for piece in job.pieces {
            let waiters = self.waiters.entry((job.user, piece.sha256));
            let is_new = matches!(waiters, Entry::Vacant(_));
            let waiters = waiters.or_insert_with(|| Waiters {
                file: job.file,
                jobs: Vec::new(),
                interest: Interest::default(),
            });
            if keep == Keep::InDatabase {
                // Whose stash the vector goes to, if it is not on its way yet.
                waiters.file = job.file;
            }
            if waiters.jobs.last() != Some(&id) {
                waiters.jobs.push(id);
                waiters.interest.add(waiting.clone());
                missing += 1;
            }
            if is_new {
                pieces.push(piece);
            } else {
                self.desk.count_reused();
            }
        }
        let pending = Pending {
            answer,
            keep,
            vectors: Vectors::new(),
            missing,
        };
        if missing == 0 {
            // A file without texts has its vectors; if it was given up meanwhile, nobody listens.
            drop(pending.answer.send(Ok(pending.vectors)));
            return;
        }
        self.jobs.insert(id, pending);
        if !pieces.is_empty() {
            self.lookups.push(Lookup {
                job: id,
                user: job.user,
                pieces,
                keep,
                _expecting: expecting,
            });
        }
    }

    /// Looks up what has come so far, all of it at once as far as the texts are not too many.
    fn recall(&mut self) -> impl Future<Output = Recalls> + use<> {
        let mut texts = 0;
        let fits = |lookup: &&Lookup| {
            texts += lookup.pieces.len();
            texts <= MAX_RECALLED
        };
        let count = self.lookups.iter().take_while(fits).count().max(1);
        let lookups: Vec<Lookup> = self.lookups.drain(..count).collect();
        let desk = Arc::clone(&self.desk);
        async move {
            let known = match desk.books.recall(&lookups).await {
                Ok(known) => known,
                Err(error) => {
                    let error = EmbeddingError::from(error);
                    vec![Err(error); lookups.len()]
                }
            };
            lookups.into_iter().zip(known).collect()
        }
    }

    /// Hands out what is already paid for and puts the rest in line.
    fn line_up(&mut self, lookup: Lookup, known: Result<Recalled, EmbeddingError>) {
        let mut known = match known {
            Ok(known) => known,
            Err(error) => {
                for piece in lookup.pieces {
                    self.give_up((lookup.user, piece.sha256), lookup.job, &error);
                }
                return;
            }
        };
        let closed = self.desk.closed();
        for piece in lookup.pieces {
            let key = (lookup.user, piece.sha256);
            if let Some(vector) = known.remove(&piece.sha256) {
                self.desk.count_reused();
                self.give(key, Ok(vector));
            } else if let Some(error) = &closed {
                self.give(key, Err(error.clone()));
            } else {
                self.push(lookup.user, piece);
            }
        }
    }

    /// Puts a text in line, unless its files were given up during the look-up.
    fn push(&mut self, user: UserId, piece: Piece) {
        let key = (user, piece.sha256);
        if !self.is_wanted(&key) {
            self.waiters.remove(&key);
            return;
        }
        if self.batcher.is_empty() {
            self.waiting_since = Instant::now();
        }
        self.batcher.push(Input {
            user,
            sha256: piece.sha256,
            text: piece.text,
            tokens: piece.tokens,
        });
    }

    /// The next request, unless nobody wants any more what waits.
    fn pack(
        &mut self,
        turn: OwnedSemaphorePermit,
    ) -> Option<impl Future<Output = Outcome> + use<>> {
        self.forget_the_gone();
        let batch = self
            .batcher
            .pack()
            .into_iter()
            .filter_map(|input| {
                let waiters = self.waiters.get(&(input.user, input.sha256))?;
                Some(Wanted {
                    file: waiters.file,
                    interest: waiters.interest.clone(),
                    input,
                    row: None,
                })
            })
            .collect::<Vec<_>>();
        self.waiting_since = Instant::now();
        if batch.is_empty() {
            return None;
        }
        let desk = Arc::clone(&self.desk);
        Some(async move {
            let results = desk.embed(&batch, turn).await;
            Outcome { batch, results }
        })
    }

    fn is_wanted(&self, key: &Key) -> bool {
        self.waiters
            .get(key)
            .is_some_and(|waiters| waiters.jobs.iter().any(|id| self.jobs.contains_key(id)))
    }

    /// Drops from the line the texts of files that were given up.
    fn forget_the_gone(&mut self) {
        let before = self.jobs.len();
        self.jobs.retain(|_, job| !job.answer.is_closed());
        if self.jobs.len() == before && !std::mem::take(&mut self.line_has_gone) {
            return;
        }
        let (jobs, waiters) = (&self.jobs, &mut self.waiters);
        self.batcher.retain(|input| {
            let key = (input.user, input.sha256);
            let is_wanted = waiters
                .get(&key)
                .is_some_and(|waiters| waiters.jobs.iter().any(|id| jobs.contains_key(id)));
            if !is_wanted {
                waiters.remove(&key);
            }
            is_wanted
        });
    }

    /// Gives each file its vectors; a file with a failed text is answered at once.
    fn scatter(&mut self, outcome: Outcome) {
        for (wanted, result) in outcome.batch.iter().zip(outcome.results) {
            self.give((wanted.input.user, wanted.input.sha256), result.map(Some));
        }
        if let Some(error) = self.desk.closed() {
            self.fail_all(&error);
        }
    }

    /// Gives a vector, or the lack of it, to all who wait for it.
    fn give(&mut self, key: Key, result: Result<Option<Vec<f32>>, EmbeddingError>) {
        let waiters = self.waiters.remove(&key);
        let mut jobs = waiters.map_or_else(Vec::new, |waiters| waiters.jobs);
        let last = jobs.pop();
        for id in jobs {
            self.answer(id, key.1, result.clone());
        }
        if let Some(id) = last {
            self.answer(id, key.1, result);
        }
    }

    /// Answers all who wait for a text that is not looked up any further: what stands in the way of the one that asked
    /// first need not stand in the way of the others.
    fn give_up(&mut self, key: Key, asker: u64, error: &EmbeddingError) {
        let waiters = self.waiters.remove(&key);
        for id in waiters.map_or_else(Vec::new, |waiters| waiters.jobs) {
            let is_theirs_alone = matches!(error, EmbeddingError::UserQuota { .. });
            let error = if is_theirs_alone && id != asker {
                EmbeddingError::Shared
            } else {
                error.clone()
            };
            self.answer(id, key.1, Err(error));
        }
    }

    fn answer(
        &mut self,
        id: u64,
        sha256: [u8; 32],
        result: Result<Option<Vec<f32>>, EmbeddingError>,
    ) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        let kept = match (job.keep, result) {
            (_, Err(error)) => Err(error),
            (Keep::InDatabase, Ok(_)) => Ok(()),
            (Keep::InMemory, Ok(None)) => Err(EmbeddingError::Shared),
            (Keep::InMemory, Ok(Some(vector))) => {
                job.vectors.insert(sha256, vector);
                Ok(())
            }
        };
        job.missing -= 1;
        // Nobody listens if the file was given up meanwhile, which is why a failed send is no error here.
        if let Err(error) = kept {
            self.line_has_gone = true;
            drop(job.answer.send(Err(error)));
        } else if job.missing == 0 {
            drop(job.answer.send(Ok(job.vectors)));
        } else {
            self.jobs.insert(id, job);
        }
    }

    /// Answers every file that waits and empties the line.
    ///
    /// Texts that are in flight or being looked up stay noted, so that nobody buys them a second time.
    fn fail_all(&mut self, error: &EmbeddingError) {
        for (_, job) in self.jobs.drain() {
            // As above.
            drop(job.answer.send(Err(error.clone())));
        }
        let waiters = &mut self.waiters;
        self.batcher.retain(|input| {
            waiters.remove(&(input.user, input.sha256));
            false
        });
    }

    /// Fails what was not sent. Files whose other texts are all in flight may still be completed.
    fn stop(&mut self) {
        self.inbox.close();
        while let Ok(order) = self.inbox.try_recv() {
            // As above.
            drop(order.answer.send(Err(EmbeddingError::Stopped)));
        }
        let mut unsent = Vec::new();
        self.batcher.retain(|input| {
            unsent.push((input.user, input.sha256));
            false
        });
        for key in unsent {
            self.give(key, Err(EmbeddingError::Stopped));
        }
    }
}
