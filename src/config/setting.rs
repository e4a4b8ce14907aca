//! The table of settings: one row makes the variable, the flag, its help and its line in README and `.env.example`.

/// A setting: an environment variable, and (unless it is a secret) a flag of the same name.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// Used when nothing is set; empty for none. Parsed like any given value.
    pub default: &'static str,
    /// Whether the value is a secret: no flag, but `<NAME>_FILE`.
    pub secret: bool,
    /// One line for people.
    pub help: &'static str,
}

impl Setting {
    /// The flag without its dashes: `LEASE_SECONDS` is `lease-seconds`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }
}

const fn plain(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        default,
        secret: false,
        help,
    }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        default: "",
        secret: true,
        help,
    }
}

/// Every setting, in the order in which people meet them.
pub const SETTINGS: &[Setting] = &[
    secret(
        "DATABASE_URL",
        "Postgres 15+ with pgvector 0.8+, direct or through a transaction pooler (PgBouncer, Supavisor port 6543)",
    ),
    secret(
        "DATABASE_ADMIN_URL",
        "the owner's direct connection, for migrate, reembed and reindex [default: DATABASE_URL]",
    ),
    secret(
        "DATABASE_DIRECT_URL",
        "optional direct connection for LISTEN where DATABASE_URL is a pooler",
    ),
    plain(
        "SUPABASE_URL",
        "",
        "project URL (NEXT_PUBLIC_SUPABASE_URL is read too); the S3 endpoint is derived from it",
    ),
    plain(
        "STORAGE_S3_ENDPOINT",
        "",
        "S3-compatible endpoint [default: <SUPABASE_URL>/storage/v1/s3]",
    ),
    plain(
        "STORAGE_S3_REGION",
        "us-east-1",
        "the storage server's own region",
    ),
    secret(
        "STORAGE_S3_ACCESS_KEY_ID",
        "S3 key id [default: AWS_ACCESS_KEY_ID, else the project ref of SUPABASE_URL]",
    ),
    secret(
        "STORAGE_S3_SECRET_ACCESS_KEY",
        "S3 secret [default: AWS_SECRET_ACCESS_KEY, else NEXT_PUBLIC_SUPABASE_ANON_KEY]",
    ),
    secret(
        "STORAGE_S3_SESSION_TOKEN",
        "S3 session token [default: AWS_SESSION_TOKEN, else SUPABASE_SERVICE_ROLE_KEY]",
    ),
    plain(
        "STORAGE_BUCKET",
        "documents",
        "files.storage_path is a key in this bucket",
    ),
    plain(
        "STORAGE_PATH_POLICY",
        "owner-prefix",
        "owner-prefix: the key must lie under <user_id>/; owner-object: storage.objects.owner_id must be the row's user; any: no check",
    ),
    secret(
        "OPENAI_API_KEY",
        "the embedding provider's key; not needed where a server of one's own asks for none",
    ),
    plain(
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "any OpenAI-compatible embeddings endpoint, without its last /embeddings; docs/providers.md has examples",
    ),
    plain(
        "EMBEDDING_MODEL",
        "text-embedding-3-small",
        "the embedding model; a database that has an active model keeps it until a re-embedding",
    ),
    plain(
        "EMBEDDING_DIMENSIONS",
        "1536",
        "length of the model's vectors",
    ),
    plain(
        "EMBEDDING_TOKENIZER",
        "cl100k_base",
        "whose tokens are counted: cl100k_base (text-embedding-3-*, ada-002), o200k_base, or none: a character counts as a token",
    ),
    plain(
        "EMBEDDING_RPM",
        "3000",
        "the provider's requests per minute, shared by every worker on this database; 0 = not known, learned from 429s",
    ),
    plain(
        "EMBEDDING_TPM",
        "1000000",
        "the provider's tokens per minute, shared likewise; 0 = not known",
    ),
    plain(
        "EMBEDDING_BATCH_INPUTS",
        "2048",
        "texts in one request at most; lowered by itself where the provider refuses so many",
    ),
    plain(
        "EMBEDDING_BATCH_TOKENS",
        "32000",
        "tokens in one request at most, and no more than EMBEDDING_TPM gives in ten seconds",
    ),
    plain(
        "EMBEDDING_MAX_CONCURRENCY",
        "8",
        "requests in flight per process at most; fewer where more would only queue at the provider",
    ),
    plain(
        "EMBEDDING_TIMEOUT",
        "60s",
        "longest wait for one answer; OpenAI takes a second or two, a server without a graphics card minutes",
    ),
    plain(
        "EMBEDDING_PRICE_PER_MTOK",
        "",
        "US dollars per million tokens, for usage_logs.cost_usd [default: the model's list price]",
    ),
    plain(
        "WORKER_CONCURRENCY",
        "",
        "files in hand per process [default: number of cores x 2, and up to 256 that wait for their vectors]",
    ),
    plain(
        "LEASE_SECONDS",
        "60",
        "a crashed worker's files come due again after this",
    ),
    plain(
        "MAX_ATTEMPTS",
        "5",
        "failures charged to one file before it is failed; lost leases count apart (20), outages not at all",
    ),
    plain(
        "POLL_INTERVAL",
        "5s",
        "upper bound on noticing new work where LISTEN/NOTIFY is not available",
    ),
    plain(
        "SHUTDOWN_GRACE",
        "25s",
        "how long the first signal lets files in hand finish; below the 30 s that Kubernetes gives",
    ),
    plain("EXTRACT_TIMEOUT", "60s", "longest extraction of one file"),
    plain(
        "EXTRACT_MEMORY_BYTES",
        "1073741824",
        "most memory of one extraction, at least 256 MiB",
    ),
    plain(
        "DAILY_SPEND_LIMIT_USD",
        "",
        "stop embedding for the day (UTC) at this bill",
    ),
    plain(
        "HTTP_ADDR",
        "",
        "serves /healthz, /readyz and /metrics, for example 127.0.0.1:8080",
    ),
    plain(
        "LOG_FORMAT",
        "",
        "text or json [default: text on a terminal, else json]",
    ),
];

/// The row of a setting.
///
/// # Panics
///
/// If no setting has that name: a mistake of this program that its tests find.
#[must_use]
pub fn setting(name: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("the name is one of SETTINGS")
}
