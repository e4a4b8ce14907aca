//! The parts, made in one function that reads top to bottom.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    chunk::Tokenizer,
    config::{Config, PathPolicy},
    db::{self, Db},
    document::Model,
    embedding::{self, Embedder, Pump},
    extract::sandbox::Sandbox,
    file_type::FileTypes,
    metrics::Metrics,
    objects::Objects,
    room::Room,
    spawner::Spawner,
};

/// Connections beside the one that each file in hand may use for a moment: the pump, claims, health.
const SPARE_CONNECTIONS: usize = 4;
/// Bytes of objects that are fetched or read at a time; one that is larger has all of it.
const ROOM_BYTES: u64 = 64 << 20;
/// Longest wait for a connection; past it the database counts as down.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);

/// The parts of a worker.
#[derive(Debug)]
pub struct App {
    /// Postgres.
    pub db: Db,
    /// S3.
    pub objects: Objects,
    /// Child processes that extract.
    pub sandbox: Sandbox,
    /// For objects in memory.
    pub room: Room,
    /// Somebody has seen that the active model changed.
    pub model_changed: Notify,
    /// What is counted.
    pub metrics: Metrics,
    /// Files in hand at once.
    pub concurrency: usize,
    /// As many permits.
    pub hands: Semaphore,
    /// Files beyond these that may wait for their vectors.
    pub waiting: usize,
    /// How long a claim lasts without renewal.
    pub lease_for: Duration,
    /// Failures charged to one file before it is failed.
    pub max_attempts: i32,
    /// How long new work may go unnoticed.
    pub poll_every: Duration,
    /// How long files in hand may take after the first signal.
    pub grace: Duration,
    /// Whose objects are read.
    pub path_policy: PathPolicy,
    /// Whose tokens are counted.
    pub tokenizer: Tokenizer,
    embedding: embedding::Settings,
    embedder: RwLock<Follower>,
    types: RwLock<Arc<FileTypes>>,
}

/// Texts to vectors of the active model, booked; and what ends it.
#[derive(Clone, Debug)]
struct Follower {
    embedder: Embedder,
    stop: CancellationToken,
}

impl App {
    /// Connects and builds the parts; the pump must be run for anything to be embedded.
    ///
    /// # Errors
    ///
    /// A database that does not answer or has no schema yet.
    pub async fn connect(config: Config) -> anyhow::Result<(Self, Pump)> {
        let db = Db::connect(&database(&config.database.url, config.worker.concurrency)).await?;
        let types = db.file_types().await?;
        if types.iter().all(|row| !row.enabled) {
            tracing::warn!(
                "file_type_configs enables no type: every file will fail; run `orion-ingest migrate --seed`"
            );
        }
        let stop = CancellationToken::new();
        let (embedder, pump) = embedder(&db, config.embedding.clone(), stop.clone()).await?;
        let app = Self {
            objects: Objects::new(config.storage),
            sandbox: Sandbox::new(
                config.sandbox,
                Spawner::new().context("cannot start a thread")?,
            ),
            room: Room::new(ROOM_BYTES),
            model_changed: Notify::new(),
            metrics: Metrics::default(),
            concurrency: config.worker.concurrency,
            hands: Semaphore::new(config.worker.concurrency),
            waiting: config.worker.waiting,
            lease_for: config.worker.lease_for,
            max_attempts: config.worker.max_attempts,
            poll_every: config.worker.poll_every,
            grace: config.worker.grace,
            path_policy: config.worker.path_policy,
            tokenizer: config.tokenizer,
            embedding: config.embedding,
            embedder: RwLock::new(Follower { embedder, stop }),
            types: RwLock::new(Arc::new(types)),
            db,
        };
        Ok((app, pump))
    }

    /// Lets the pump end when what it has sent is booked.
    pub fn stop_embedding(&self) {
        self.follower().stop.cancel();
    }

    /// What makes vectors of the active model, as far as we have heard of it.
    pub fn embedder(&self) -> Embedder {
        self.follower().embedder
    }

    fn follower(&self) -> Follower {
        self.embedder
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The file types as they were last read.
    pub fn types(&self) -> Arc<FileTypes> {
        self.types
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the file types again, and the active model: the pump to run if that is another one now. What was not sent of
    /// the old one's texts is failed, and tried again with the new one.
    ///
    /// # Errors
    ///
    /// A database that does not answer.
    pub async fn refresh(&self) -> anyhow::Result<Option<Pump>> {
        let types = Arc::new(self.db.file_types().await?);
        *self.types.write().unwrap_or_else(PoisonError::into_inner) = types;
        let active = self.db.active_model().await?;
        let old = self.follower();
        if active == *old.embedder.model() {
            return Ok(None);
        }
        tracing::info!(model = %active.name, dimensions = active.dimensions, "the active embedding model changed; following it");
        let settings = following(self.embedding.clone(), active);
        let stop = CancellationToken::new();
        let (embedder, pump) = old.embedder.successor(&settings, &self.db, stop.clone())?;
        *self
            .embedder
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Follower { embedder, stop };
        old.stop.cancel();
        Ok(Some(pump))
    }
}

/// The embedder of the database's active model, which wins over the settings', loudly: vectors of two models never meet
/// in a search.
///
/// # Errors
///
/// A database that does not answer.
pub async fn embedder(
    db: &Db,
    settings: embedding::Settings,
    stop: CancellationToken,
) -> anyhow::Result<(Embedder, Pump)> {
    let settings = following(settings, db.active_model().await?);
    Ok(embedding::new(&settings, db, stop)?)
}

/// The settings for the active model; says so where it is not the one that is set.
fn following(settings: embedding::Settings, active: Model) -> embedding::Settings {
    let set = &settings.provider.model;
    if active != *set {
        tracing::warn!(
            setting = %set.name,
            setting_dimensions = set.dimensions,
            active = %active.name,
            dimensions = active.dimensions,
            "EMBEDDING_MODEL differs from the database's active model, which is used; a re-embedding changes it"
        );
    }
    settings.with_model(active)
}

/// Connection settings of a process that has so many files in hand.
#[must_use]
pub fn database(url: &secrecy::SecretString, files_in_hand: usize) -> db::Settings {
    db::Settings {
        url: url.clone(),
        max_connections: u32::try_from(files_in_hand + SPARE_CONNECTIONS).unwrap_or(u32::MAX),
        acquire_within: ACQUIRE_WITHIN,
    }
}
