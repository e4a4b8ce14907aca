//! From pieces of text to booked vectors: the actor that joins batcher, limiter, client and ledger.
//!
//! Files hand their pieces to an [`Embedder`]; one [`Pump`] packs the pieces of all files into requests and scatters
//! the vectors back. `request.rs` is the story of one request and the only owner of HTTP retries,
//! `books.rs` what it costs, `budget.rs` when it may leave. Every answer is
//! booked and its vectors stashed as it arrives, also when the file that asked for it is gone.

mod backfill;
mod books;
mod budget;
mod error;
mod interest;
mod place;
mod pump;
mod request;
mod state;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::request::PROBE;
pub use self::{
    backfill::{Backfill, Filler, Row},
    error::EmbeddingError,
    place::Place,
    pump::Pump,
    state::State,
};
use self::{interest::Waiting, place::Places, pump::Order, request::Desk};
use crate::{
    db::Db,
    document::{FileId, Model, Text, UserId},
    embed::{batcher, limiter, openai, price::list_price_per_mtok},
};

/// How to embed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask, for which vectors.
    pub provider: openai::Settings,
    /// The provider's limits, shared by all workers on the database.
    pub limits: limiter::Limits,
    /// If it is an operator's re-embedding: takes of these limits what nobody else stands in line for.
    pub backfill: Option<Backfill>,
    /// How large requests may be.
    pub batch: batcher::Limits,
    /// Requests in flight at most.
    pub max_concurrency: usize,
    /// US dollars per million tokens of the model.
    pub price_per_mtok: f64,
    /// US dollars that a UTC day may cost.
    pub daily_limit_usd: Option<f64>,
    /// How long a request that is not full waits for more, while files are expected.
    pub linger: Duration,
    /// The first pause between two tries; later ones double.
    pub retry_after: Duration,
}

impl Settings {
    /// The same for another model, at its list price where one is known: the price that is set is that of the model that
    /// is set.
    #[must_use]
    pub fn with_model(mut self, model: Model) -> Self {
        if model.name != self.provider.model.name
            && let Some(price) = list_price_per_mtok(&model.name)
        {
            self.price_per_mtok = price;
        }
        self.provider.model = model;
        self
    }
}

/// How long a request that is not full waits for more. Short beside the provider's latency.
pub const LINGER: Duration = Duration::from_millis(50);

/// The first pause between two tries of a request.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The texts of a file.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file that they are of; a query has none.
    pub file: Option<FileId>,
    /// Who pays.
    pub user: UserId,
    /// What to embed.
    pub pieces: Vec<Piece>,
}

/// Where the vectors of a file wait for its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// With whoever asked.
    InMemory,
    /// In the database, which has them anyway: in the stash, and in chunks.
    InDatabase,
}

/// A text to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What is embedded; never blank.
    pub text: Text,
    /// Its tokens by the model's tokenizer.
    pub tokens: u32,
    /// SHA-256 of the text.
    pub sha256: [u8; 32],
}

/// What this process has sent and got, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Requests that were answered with vectors.
    pub requests: u64,
    /// Requests that were not.
    pub failed_requests: u64,
    /// Of those, answered 429.
    pub throttled_requests: u64,
    /// Texts embedded.
    pub inputs: u64,
    /// Texts whose vectors were known, or were asked for by another file.
    pub reused_inputs: u64,
    /// Texts in line, not yet in a request.
    pub waiting_inputs: usize,
    /// Tokens billed.
    pub tokens: u64,
    /// US dollars billed.
    pub cost_usd: f64,
    /// Time that requests waited for the rate limit.
    pub limiter_wait: Duration,
}

/// Vectors by the hash of their text.
type Vectors = HashMap<[u8; 32], Vec<f32>>;

/// Hands texts to the [`Pump`]; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Embedder {
    orders: mpsc::Sender<Order>,
    expected: Arc<Expected>,
    places: Places,
    model: Model,
    state: watch::Receiver<State>,
    totals: Arc<Mutex<Totals>>,
}

/// Makes a pump and the handle to it. Nothing happens until [`Pump::run`] is polled; it ends when `stop` is cancelled
/// and what was sent by then is booked.
///
/// # Errors
///
/// If the TLS set-up fails.
pub fn new(
    settings: &Settings,
    db: &Db,
    stop: CancellationToken,
) -> Result<(Embedder, Pump), reqwest::Error> {
    build(settings, db, stop, Arc::default())
}

fn build(
    settings: &Settings,
    db: &Db,
    stop: CancellationToken,
    totals: Arc<Mutex<Totals>>,
) -> Result<(Embedder, Pump), reqwest::Error> {
    let (orders, inbox) = mpsc::channel(64);
    let (publish, state) = watch::channel(State::Ready);
    let expected = Arc::new(Expected::default());
    let embedder = Embedder {
        orders,
        expected: Arc::clone(&expected),
        places: Places::new(
            settings.max_concurrency
                * request::within_rate(settings.batch, settings.limits.tokens_per_minute).tokens
                    as usize,
        ),
        model: settings.provider.model.clone(),
        state,
        totals: Arc::clone(&totals),
    };
    let desk = Desk::new(settings, db.clone(), publish, totals, stop)?;
    Ok((embedder, Pump::new(settings, desk, inbox, expected)))
}

impl Embedder {
    /// Makes the pump and the handle that take over from this one, for other settings; what was sent and got is counted on.
    ///
    /// # Errors
    ///
    /// If the TLS set-up fails.
    pub fn successor(
        &self,
        settings: &Settings,
        db: &Db,
        stop: CancellationToken,
    ) -> Result<(Self, Pump), reqwest::Error> {
        build(settings, db, stop, Arc::clone(&self.totals))
    }

    /// Says that a file is on its way, so that a request that is not full waits a moment for its texts.
    #[must_use]
    pub fn expect(&self) -> Expecting {
        self.expected.files.fetch_add(1, Ordering::Relaxed);
        Expecting(Arc::clone(&self.expected))
    }

    /// A place to wait in for the vectors of so many tokens, so that the file is not in hand meanwhile; `None` if too
    /// much waits already.
    #[must_use]
    pub fn place(&self, tokens: u32) -> Option<Place> {
        self.places.take(tokens)
    }

    /// How many files wait in a [`Place`]; changes can be awaited.
    #[must_use]
    pub fn waiting(&self) -> watch::Receiver<usize> {
        self.places.taken()
    }

    /// The vectors of a file's texts, in their order: reused where the user has them, embedded and booked otherwise.
    ///
    /// Dropping the future takes back what was not sent yet; what was sent is booked and stashed all the same.
    ///
    /// # Errors
    ///
    /// If any text has no vector; what has been paid for is in the stash, and the next try starts from there.
    pub async fn embed(
        &self,
        expecting: Expecting,
        job: Job,
    ) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let pieces = job.pieces.clone();
        let vectors = self.order(expecting, job, Keep::InMemory).await?;
        in_order(&pieces, vectors)
    }

    /// As [`Embedder::embed`], for a file whose vectors are too many for memory: they are left in the database.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn embed_unheld(&self, expecting: Expecting, job: Job) -> Result<(), EmbeddingError> {
        self.order(expecting, job, Keep::InDatabase).await.map(drop)
    }

    async fn order(
        &self,
        expecting: Expecting,
        job: Job,
        keep: Keep,
    ) -> Result<Vectors, EmbeddingError> {
        let (answer, vectors) = oneshot::channel();
        let waiting = Waiting::default();
        let order = Order {
            job,
            keep,
            answer,
            waiting: waiting.watch(),
            expecting,
        };
        self.orders
            .send(order)
            .await
            .map_err(|_| EmbeddingError::Stopped)?;
        vectors.await.map_err(|_| EmbeddingError::Stopped)?
    }

    /// The model whose vectors it makes.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether embedding works; changes can be awaited.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What this process has sent and got.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One vector a piece, moved where possible: a long file's vectors are many megabytes.
fn in_order(pieces: &[Piece], mut known: Vectors) -> Result<Vec<Vec<f32>>, EmbeddingError> {
    let mut uses = HashMap::<[u8; 32], usize>::new();
    for piece in pieces {
        *uses.entry(piece.sha256).or_default() += 1;
    }
    let vector = |piece: &Piece| {
        let left = uses.entry(piece.sha256).or_default();
        *left = left.saturating_sub(1);
        let vector = if *left == 0 {
            known.remove(&piece.sha256)
        } else {
            known.get(&piece.sha256).cloned()
        };
        // The pump answers with every hash or with an error.
        vector.ok_or(EmbeddingError::Stopped)
    };
    pieces.iter().map(vector).collect()
}

/// Files that are being fetched, read or recalled, and may soon bring texts.
#[derive(Debug, Default)]
struct Expected {
    files: AtomicUsize,
    fell: Notify,
}

/// Counts one file as on its way until it is dropped.
#[derive(Debug)]
pub struct Expecting(Arc<Expected>);

impl Drop for Expecting {
    fn drop(&mut self) {
        if self.0.files.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.fell.notify_one();
        }
    }
}
