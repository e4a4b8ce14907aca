//! The only reader of the environment: turns variables and flags into the settings of each part.
//!
//! Reports everything that is wrong at once. Each command asks for the parts that it uses and for no others.

mod database;
mod provider;
mod setting;
mod source;
mod storage;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

pub use database::Database;
pub use setting::{SETTINGS, Setting, setting};
pub use source::{DURATION, Problems, Reader, Source, parse_duration};

use self::{provider::embedding, storage::storage};
use crate::{chunk::Tokenizer, embedding, extract::sandbox, objects};

/// Files that may wait for their vectors beside those in hand, where nobody has said how many files may be in hand.
const MAX_WAITING: usize = 256;

/// Extractors at least, so that a file that hangs does not hold up the others. More than one a core would be idle most of
/// the time, and each holds tens of megabytes.
const MIN_CHILDREN: usize = 2;

/// Lease renewal is every third of a lease; below this a slow database looks like a lost lease.
const MIN_LEASE: Duration = Duration::from_secs(3);
/// The parsers need about this much before they see a byte of the file.
const MIN_EXTRACT_MEMORY_BYTES: u64 = 256 << 20;

/// Whose objects a file's row may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPolicy {
    /// The key must lie under `<user_id>/`.
    OwnerPrefix,
    /// `storage.objects.owner_id` must be the row's user.
    OwnerObject,
    /// Any key of the bucket.
    Any,
}

/// How files are claimed and given back.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Files in hand at once.
    pub concurrency: usize,
    /// Files beyond these that may wait for their vectors: their waiting costs nothing but a lease and their texts.
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
    /// Where health and metrics are served.
    pub http_addr: Option<SocketAddr>,
}

/// Everything that `run`, `ingest` and `doctor` need.
#[derive(Clone, Debug)]
pub struct Config {
    /// Postgres.
    pub database: Database,
    /// S3.
    pub storage: objects::Settings,
    /// The embedding provider.
    pub embedding: embedding::Settings,
    /// Whose tokens are counted.
    pub tokenizer: Tokenizer,
    /// The child processes that extract.
    pub sandbox: sandbox::Settings,
    /// Claims, leases, shutdown.
    pub worker: Worker,
}

impl Config {
    /// Reads every part; `program` is this executable, which is its own extraction child.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load(source: &Source, program: PathBuf) -> Result<Self, Problems> {
        let mut reader = Reader::new(source);
        let config = Self {
            database: Database::read(&mut reader),
            storage: storage(&mut reader),
            embedding: embedding(&mut reader),
            tokenizer: tokenizer(&mut reader),
            sandbox: sandbox(&mut reader, program),
            worker: worker(&mut reader),
        };
        reader.finish(config)
    }
}

/// Settings of `extract`, which works without database and network.
///
/// # Errors
///
/// All problems with them.
pub fn load_sandbox(source: &Source, program: PathBuf) -> Result<sandbox::Settings, Problems> {
    let mut reader = Reader::lenient(source);
    let settings = sandbox(&mut reader, program);
    reader.finish(settings)
}

/// Settings of `chunk`, which works without database and network, too.
///
/// # Errors
///
/// All problems with them.
pub fn load_chunk(
    source: &Source,
    program: PathBuf,
) -> Result<(sandbox::Settings, Tokenizer), Problems> {
    let mut reader = Reader::lenient(source);
    let settings = (sandbox(&mut reader, program), tokenizer(&mut reader));
    reader.finish(settings)
}

/// Settings of `search`, which needs neither storage nor a queue.
#[derive(Clone, Debug)]
pub struct Search {
    /// Postgres.
    pub database: Database,
    /// The embedding provider.
    pub embedding: embedding::Settings,
    /// Whose tokens are counted.
    pub tokenizer: Tokenizer,
}

impl Search {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// All problems with them.
    pub fn load(source: &Source) -> Result<Self, Problems> {
        let mut reader = Reader::new(source);
        let search = Self {
            database: Database::read(&mut reader),
            embedding: embedding(&mut reader),
            tokenizer: tokenizer(&mut reader),
        };
        reader.finish(search)
    }
}

/// Settings of what needs only the embedding provider.
///
/// # Errors
///
/// All problems with them.
pub fn load_embedding(source: &Source) -> Result<embedding::Settings, Problems> {
    let mut reader = Reader::new(source);
    let settings = embedding(&mut reader);
    reader.finish(settings)
}

/// Settings of what needs only storage.
///
/// # Errors
///
/// All problems with them.
pub fn load_storage(source: &Source) -> Result<objects::Settings, Problems> {
    let mut reader = Reader::new(source);
    let settings = storage(&mut reader);
    reader.finish(settings)
}

fn sandbox(reader: &mut Reader<'_>, program: PathBuf) -> sandbox::Settings {
    let memory_bytes = reader.parsed(
        "EXTRACT_MEMORY_BYTES",
        "a number of bytes",
        MIN_EXTRACT_MEMORY_BYTES,
    );
    if memory_bytes < MIN_EXTRACT_MEMORY_BYTES {
        reader.problem("EXTRACT_MEMORY_BYTES", format_args!("{memory_bytes} is too little for the parsers; set at least {MIN_EXTRACT_MEMORY_BYTES}"));
    }
    sandbox::Settings {
        program,
        timeout: reader.duration("EXTRACT_TIMEOUT"),
        memory_bytes,
        children: cores().max(MIN_CHILDREN),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn worker(reader: &mut Reader<'_>) -> Worker {
    let wanted = reader.optional("WORKER_CONCURRENCY", "a number of files", |value| {
        value.parse().ok()
    });
    let (concurrency, waiting) = match wanted {
        Some(files) => (files, 0),
        None => (cores() * 2, MAX_WAITING),
    };
    if concurrency == 0 {
        reader.problem(
            "WORKER_CONCURRENCY",
            "0 files in hand would do nothing; set at least 1",
        );
    }
    let lease_for = reader.duration("LEASE_SECONDS");
    if lease_for < MIN_LEASE {
        reader.problem("LEASE_SECONDS", format_args!("shorter than {MIN_LEASE:?}, leases would be lost to any slow answer of the database"));
    }
    let max_attempts = reader.parsed("MAX_ATTEMPTS", "a number of attempts", 1);
    if max_attempts < 1 {
        reader.problem("MAX_ATTEMPTS", "set at least 1");
    }
    Worker {
        concurrency,
        waiting,
        lease_for,
        max_attempts,
        poll_every: reader.duration("POLL_INTERVAL"),
        grace: reader.duration("SHUTDOWN_GRACE"),
        path_policy: reader
            .optional(
                "STORAGE_PATH_POLICY",
                "one of owner-prefix, owner-object, any",
                |value| match value {
                    "owner-prefix" => Some(PathPolicy::OwnerPrefix),
                    "owner-object" => Some(PathPolicy::OwnerObject),
                    "any" => Some(PathPolicy::Any),
                    _ => None,
                },
            )
            .unwrap_or(PathPolicy::OwnerPrefix),
        http_addr: reader.optional("HTTP_ADDR", "an address such as 127.0.0.1:8080", |value| {
            value.parse().ok()
        }),
    }
}

fn tokenizer(reader: &mut Reader<'_>) -> Tokenizer {
    reader
        .optional(
            "EMBEDDING_TOKENIZER",
            "one of cl100k_base, o200k_base, none",
            Tokenizer::parse,
        )
        .unwrap_or_default()
}

fn is_http(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
