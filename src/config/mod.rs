//! The only reader of the environment: turns variables and flags into the settings of each part.
//!
//! Reports everything that is wrong at once. Each command asks for the parts that it uses and for no others.

mod setting;
mod source;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};

pub use setting::{SETTINGS, Setting, setting};
pub use source::{DURATION, Problems, Reader, Source, parse_duration};

use crate::{
    chunk::Tokenizer,
    document::Model,
    embed::{batcher, limiter, openai, price::list_price_per_mtok},
    embedding,
    extract::sandbox,
    objects,
};

/// Extractors at work: more of them than cores, so that a file that hangs does not hold up the others.
const CHILDREN_PER_CORE: usize = 2;

/// Lease renewal is every third of a lease; below this a slow database looks like a lost lease.
const MIN_LEASE: Duration = Duration::from_secs(3);
/// The parsers need about this much before they see a byte of the file.
const MIN_EXTRACT_MEMORY_BYTES: u64 = 256 << 20;

/// Longest wait for one answer of the provider; a request of 32,000 tokens takes it a second or two.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Database {
    /// The worker's connection, direct or through a transaction pooler.
    pub url: SecretString,
    /// The owner's direct connection.
    pub admin_url: SecretString,
    /// A direct connection for LISTEN, if there is one apart from `url`.
    pub direct_url: Option<SecretString>,
}

impl Database {
    fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.secret("DATABASE_URL");
        check_database(reader, "DATABASE_URL", &url);
        Self {
            admin_url: other_database(reader, "DATABASE_ADMIN_URL").unwrap_or_else(|| url.clone()),
            direct_url: other_database(reader, "DATABASE_DIRECT_URL"),
            url,
        }
    }

    /// Settings of the commands that need only the database.
    ///
    /// # Errors
    ///
    /// All problems with them.
    pub fn load(source: &Source) -> Result<Self, Problems> {
        let mut reader = Reader::new(source);
        let database = Self::read(&mut reader);
        reader.finish(database)
    }

    /// Settings of `migrate`, for which the owner's connection is enough.
    ///
    /// # Errors
    ///
    /// All problems with them.
    pub fn load_admin(source: &Source) -> Result<SecretString, Problems> {
        let mut reader = Reader::new(source);
        let url = if let Some(url) = other_database(&mut reader, "DATABASE_ADMIN_URL") {
            url
        } else {
            let url = reader.secret("DATABASE_URL");
            check_database(&mut reader, "DATABASE_URL", &url);
            url
        };
        reader.finish(url)
    }
}

fn other_database(reader: &mut Reader<'_>, name: &str) -> Option<SecretString> {
    let url = reader.optional_secret(name)?;
    check_database(reader, name, &url);
    Some(url)
}

/// An empty one has been complained about. Never shown: it holds a password.
fn check_database(reader: &mut Reader<'_>, name: &str, url: &SecretString) {
    let url = url.expose_secret();
    let is_postgres = |url: url::Url| matches!(url.scheme(), "postgres" | "postgresql");
    if !url.is_empty() && !url::Url::parse(url).is_ok_and(is_postgres) {
        reader.problem(
            name,
            "not a URL of the form postgres://user:password@host:5432/database; special characters in the password are written as %40 and the like",
        );
    }
}

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
        children: CHILDREN_PER_CORE * cores(),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn worker(reader: &mut Reader<'_>) -> Worker {
    let concurrency = reader.parsed("WORKER_CONCURRENCY", "a number of files", cores() * 2);
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

fn storage(reader: &mut Reader<'_>) -> objects::Settings {
    let project = project(reader);
    let endpoint = match (reader.text("STORAGE_S3_ENDPOINT"), &project) {
        (Some(endpoint), _) => {
            if !is_http(&endpoint) {
                let what = format_args!("\"{endpoint}\" is not an http(s) URL");
                reader.problem("STORAGE_S3_ENDPOINT", what);
            }
            endpoint
        }
        (None, Some(project)) => format!("{}/storage/v1/s3", project.trim_end_matches('/')),
        (None, None) => {
            reader.problem(
                "STORAGE_S3_ENDPOINT",
                "not set; set it, or SUPABASE_URL (https://<project>.supabase.co)",
            );
            String::new()
        }
    };
    let (access_key_id, secret_access_key, session_token) = credentials(reader, project.as_deref());
    let region = reader.text("STORAGE_S3_REGION").unwrap_or_default();
    let bucket = reader.text("STORAGE_BUCKET").unwrap_or_default();
    objects::Settings {
        session_token,
        ..objects::Settings::new(endpoint, region, access_key_id, secret_access_key, bucket)
    }
}

/// The Supabase project's URL, if one is set.
fn project(reader: &mut Reader<'_>) -> Option<String> {
    let name = "SUPABASE_URL";
    let url = reader.first(&[name, "NEXT_PUBLIC_SUPABASE_URL"])?;
    if !is_http(&url) {
        let what =
            format_args!("\"{url}\" is not an http(s) URL such as https://<project>.supabase.co");
        reader.problem(name, what);
    }
    Some(url)
}

/// S3 credentials: given for storage, else AWS's own, else made from OrionChat's three variables.
///
/// The halves of a pair come from one place, since two places mean two keys. The last are the session-token form of
/// Supabase Storage: project ref, anon key, and the service-role key as token.
fn credentials(
    reader: &mut Reader<'_>,
    project: Option<&str>,
) -> (String, SecretString, Option<SecretString>) {
    for prefix in ["STORAGE_S3", "AWS"] {
        let names = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"].map(|half| format!("{prefix}_{half}"));
        match names.each_ref().map(|name| reader.first(&[name])) {
            [None, None] => {}
            [Some(id), Some(secret)] => {
                let token = reader.first(&[&format!("{prefix}_SESSION_TOKEN")]);
                return (id, secret.into(), token.map(SecretString::from));
            }
            [id, _] => {
                let missing = usize::from(id.is_some());
                reader.problem(
                    &names[missing],
                    format_args!("not set, but {} is; set both", names[1 - missing]),
                );
                return no_credentials();
            }
        }
    }
    let anon = reader.first(&["NEXT_PUBLIC_SUPABASE_ANON_KEY"]);
    let service = reader.first(&["STORAGE_S3_SESSION_TOKEN", "SUPABASE_SERVICE_ROLE_KEY"]);
    if let (Some(project), Some(anon), Some(service)) =
        (project.and_then(project_ref), anon, service)
    {
        return (project, anon.into(), Some(SecretString::from(service)));
    }
    reader.problem(
        "STORAGE_S3_ACCESS_KEY_ID",
        "no S3 credentials; set it and STORAGE_S3_SECRET_ACCESS_KEY, or SUPABASE_URL, NEXT_PUBLIC_SUPABASE_ANON_KEY and SUPABASE_SERVICE_ROLE_KEY",
    );
    no_credentials()
}

fn no_credentials() -> (String, SecretString, Option<SecretString>) {
    (String::new(), SecretString::from(""), None)
}

fn embedding(reader: &mut Reader<'_>) -> embedding::Settings {
    let name = reader.text("EMBEDDING_MODEL").unwrap_or_default();
    let dimensions = reader.parsed("EMBEDDING_DIMENSIONS", "a number of dimensions", 0);
    if !(1..=16_000).contains(&dimensions) {
        reader.problem("EMBEDDING_DIMENSIONS", "pgvector takes 1 to 16000");
    }
    let base_url = reader.text("OPENAI_BASE_URL").unwrap_or_default();
    if !is_http(&base_url) {
        reader.problem(
            "OPENAI_BASE_URL",
            format_args!("\"{base_url}\" is not an http(s) URL"),
        );
    }
    let max_concurrency = reader.parsed("EMBEDDING_MAX_CONCURRENCY", "a number of requests", 1);
    if max_concurrency == 0 {
        reader.problem(
            "EMBEDDING_MAX_CONCURRENCY",
            "0 requests in flight would do nothing; set at least 1",
        );
    }
    let price_per_mtok = reader
        .optional(
            "EMBEDDING_PRICE_PER_MTOK",
            "an amount of US dollars",
            dollars,
        )
        .or_else(|| list_price_per_mtok(&name));
    let daily_limit_usd =
        reader.optional("DAILY_SPEND_LIMIT_USD", "an amount of US dollars", dollars);
    if daily_limit_usd.is_some() && price_per_mtok.is_none() {
        reader.problem(
            "EMBEDDING_PRICE_PER_MTOK",
            format_args!(
                "not set, and {name} has no known list price; DAILY_SPEND_LIMIT_USD needs it"
            ),
        );
    }
    embedding::Settings {
        provider: openai::Settings {
            base_url,
            api_key: reader.secret("OPENAI_API_KEY"),
            model: Model { name, dimensions },
            answer_within: ANSWER_WITHIN,
        },
        limits: limiter::Limits {
            requests_per_minute: reader.parsed("EMBEDDING_RPM", "a number of requests", 0),
            tokens_per_minute: reader.parsed("EMBEDDING_TPM", "a number of tokens", 0),
        },
        batch: batcher::Limits::default(),
        max_concurrency,
        price_per_mtok: price_per_mtok.unwrap_or(0.0),
        daily_limit_usd,
        linger: embedding::LINGER,
        retry_after: embedding::RETRY_AFTER,
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

fn dollars(value: &str) -> Option<f64> {
    value
        .parse()
        .ok()
        .filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)
}

fn is_http(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The name by which storage knows the project: `abcdefgh` of `https://abcdefgh.supabase.co`.
///
/// A local stack, at an address or under a name without a dot, calls its only project `stub`.
fn project_ref(url: &str) -> Option<String> {
    match url::Url::parse(url).ok()?.host()? {
        url::Host::Domain(host) => Some(
            host.split_once('.')
                .map_or("stub", |(first, _)| first)
                .to_owned(),
        ),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => Some("stub".to_owned()),
    }
}
