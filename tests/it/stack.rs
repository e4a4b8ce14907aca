//! The servers that every test shares, and what each test has for itself.
//!
//! One Postgres for the whole test process, started by the first test that needs it, in a folder that disappears
//! with the process however it ends. A test has a database of its own, cloned from a migrated one and dropped after
//! it, and an S3 server of its own to break.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read the environment, and write rows that the program never writes"
)]

use std::{
    error::Error as _,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use bytes::Bytes;
use orion_ingest::{
    db::migrate::migrate,
    document::{FileId, UserId},
    embedded::{
        self, Folder, Sources,
        provider::{self, Provider},
        storage::{Faults, Storage},
    },
    objects::{self, Objects},
};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;
use url::Url;
use uuid::Uuid;

const TEMPLATE: &str = "migrated";
/// What a browser that knows nothing claims; names and bytes decide.
const MIME_TYPE: &str = "application/octet-stream";
/// The only key that a test's provider knows.
pub(crate) const PROVIDER_KEY: &str = "test-key";

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    // A test is inside a runtime of its own, which ends with it; these servers do not.
    thread::spawn(Shared::start)
        .join()
        .expect("the embedded stack starts")
});
static CLONES: AtomicU32 = AtomicU32::new(0);

/// What to start the embedded stack with in a test.
pub(crate) fn settings(folder: Folder) -> embedded::Settings {
    embedded::Settings {
        folder,
        program: env!("CARGO_BIN_EXE_orion-ingest").into(),
        sources: Sources::usual(cache()),
    }
}

/// A variable of the process that runs the tests.
pub(crate) fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The cache that the program itself uses, so that a fresh clone fetches Postgres once.
fn cache() -> Option<PathBuf> {
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = variable("HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(home?.join(".cache")));
    Some(cache?.join("orion-ingest"))
}

struct Shared {
    runtime: Runtime,
    servers: embedded::Stack,
}

impl Shared {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let servers = runtime.block_on(async {
            let servers = embedded::Stack::start(settings(Folder::ThrowAway))
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
            make_template(&servers.database_admin_url()).await;
            servers
        });
        Self { runtime, servers }
    }
}

/// A migrated database that the tests' own are copies of; nobody connects to it, else it could not be copied.
async fn make_template(admin: &SecretString) {
    run(admin, &format!("create database {TEMPLATE}")).await;
    let mut template = connect(&on_database(admin, TEMPLATE)).await;
    if let Err(error) = migrate(&mut template, true).await {
        panic!("the migrations fail: {error}: {:?}", error.source());
    }
    template.close().await.expect("a clean end");
    let closed = "with allow_connections false is_template true";
    run(admin, &format!("alter database {TEMPLATE} {closed}")).await;
}

async fn run(url: &SecretString, statement: &str) {
    let mut connection = connect(url).await;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    connection.close().await.expect("a clean end");
}

async fn connect(url: &SecretString) -> PgConnection {
    PgConnection::connect(url.expose_secret())
        .await
        .expect("the embedded Postgres answers")
}

fn on_database(url: &SecretString, name: &str) -> SecretString {
    let mut url = Url::parse(url.expose_secret()).expect("a URL");
    url.set_path(name);
    url.to_string().into()
}

/// A database, a bucket and a provider for one test.
pub(crate) struct Stack {
    name: String,
    /// A Postgres of its own, where the test breaks more than a database.
    own: Option<embedded::Stack>,
    storage: Storage,
    provider: Provider,
}

impl Stack {
    /// An empty one.
    pub(crate) async fn new() -> Self {
        // The first caller starts the servers; the others wait for it.
        Self::on(&SHARED.servers).await
    }

    /// An empty one on a Postgres that no other test uses, and that keeps what was committed when it crashes.
    pub(crate) async fn alone() -> Self {
        let servers = start(Folder::ThrowAway).await;
        let admin = servers.database_admin_url();
        make_template(&admin).await;
        // Of all ways to set it, only those for a database and a role go before the command line.
        let durable = "alter role all set synchronous_commit = on";
        run(&admin, durable).await;
        let mut stack = Self::on(&servers).await;
        stack.own = Some(servers);
        stack
    }

    async fn on(servers: &embedded::Stack) -> Self {
        let shared = &*SHARED;
        let name = format!("test_{}", CLONES.fetch_add(1, Ordering::Relaxed));
        let admin = servers.database_admin_url();
        run(
            &admin,
            &format!("create database {name} template {TEMPLATE}"),
        )
        .await;
        let folder = servers.folder().join(&name);
        let storage =
            async move { Storage::start(&folder, "a-storage-key-of-the-test".into()).await };
        let provider = Provider::start(provider::Settings {
            api_key: PROVIDER_KEY.into(),
            port: 0,
            requests_per_minute: 0,
            tokens_per_minute: 0,
        });
        // On the shared runtime, so that a test may stop its own clock.
        let storage = shared.runtime.spawn(storage).await.expect("no panic");
        let provider = shared.runtime.spawn(provider).await.expect("no panic");
        Self {
            name,
            own: None,
            storage: storage.expect("a free port"),
            provider: provider.expect("a free port"),
        }
    }

    fn servers(&self) -> &embedded::Stack {
        self.own.as_ref().unwrap_or(&SHARED.servers)
    }

    /// Ends Postgres as a crash would, and starts it again.
    pub(crate) async fn crash_database(&mut self) {
        let own = self.own.as_mut().expect("a Postgres of the test's own");
        own.crash_database()
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// The worker's URL.
    pub(crate) fn database_url(&self) -> SecretString {
        on_database(&self.servers().database_url(), &self.name)
    }

    /// The owner's URL.
    pub(crate) fn database_admin_url(&self) -> SecretString {
        on_database(&self.servers().database_admin_url(), &self.name)
    }

    /// Breaks every connection to the database and refuses new ones.
    pub(crate) async fn cut_off(&self) {
        let name = &self.name;
        let admin = self.servers().database_admin_url();
        run(
            &admin,
            &format!("alter database {name} with allow_connections false"),
        )
        .await;
        run(
            &admin,
            &format!(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
            ),
        )
        .await;
    }

    /// Lets connections in again.
    pub(crate) async fn let_in(&self) {
        let statement = format!("alter database {} with allow_connections true", self.name);
        run(&self.servers().database_admin_url(), &statement).await;
    }

    /// A connection as the owner.
    pub(crate) async fn admin(&self) -> PgConnection {
        connect(&self.database_admin_url()).await
    }

    /// A new person.
    pub(crate) async fn user(&self) -> UserId {
        let user = UserId(Uuid::new_v4());
        // Supabase Auth's table, or its stand-in; a trigger makes the profile.
        sqlx::query("insert into auth.users (id, email) values ($1, $1::text || '@example.com')")
            .bind(user)
            .execute(&mut self.admin().await)
            .await
            .expect("a new person");
        user
    }

    /// An uploaded file of this person, object and row.
    pub(crate) async fn file(&self, user: UserId, name: &str, content: impl Into<Bytes>) -> FileId {
        let content = content.into();
        let key = format!("{user}/{}-{name}", Uuid::new_v4());
        let bytes = i64::try_from(content.len()).expect("a small file");
        self.objects()
            .put(&key, content, MIME_TYPE)
            .await
            .expect("an upload");
        self.row(user, name, MIME_TYPE, &key, bytes).await
    }

    /// A row of `files` as a client adds it, whatever it says.
    pub(crate) async fn row(
        &self,
        user: UserId,
        name: &str,
        mime_type: &str,
        key: &str,
        bytes: i64,
    ) -> FileId {
        sqlx::query_scalar(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size)
             values ($1, $2, $3, $4, $5)
             returning id",
        )
        .bind(user)
        .bind(name)
        .bind(key)
        .bind(mime_type)
        .bind(bytes)
        .fetch_one(&mut self.admin().await)
        .await
        .expect("a new file")
    }

    /// How to reach the bucket.
    pub(crate) fn objects_settings(&self) -> objects::Settings {
        self.storage.settings()
    }

    /// The bucket.
    pub(crate) fn objects(&self) -> Objects {
        Objects::new(self.objects_settings())
    }

    /// The embedding provider, without rate limits until it is told some.
    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The settings that point a worker here, by the names of their variables.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let storage = self.storage.settings();
        let secret = |secret: &SecretString| secret.expose_secret().to_owned();
        vec![
            ("DATABASE_URL", secret(&self.database_url())),
            ("DATABASE_ADMIN_URL", secret(&self.database_admin_url())),
            ("STORAGE_S3_ENDPOINT", storage.endpoint),
            ("STORAGE_S3_REGION", storage.region),
            ("STORAGE_S3_ACCESS_KEY_ID", storage.access_key_id),
            (
                "STORAGE_S3_SECRET_ACCESS_KEY",
                secret(&storage.secret_access_key),
            ),
            ("STORAGE_BUCKET", storage.bucket),
            ("OPENAI_BASE_URL", self.provider.base_url.clone()),
            ("OPENAI_API_KEY", PROVIDER_KEY.to_owned()),
            ("EMBEDDING_RPM", "0".to_owned()),
            ("EMBEDDING_TPM", "0".to_owned()),
        ]
    }

    /// Where its objects lie, by bucket and key.
    pub(crate) fn storage_folder(&self) -> PathBuf {
        SHARED.servers.folder().join(&self.name)
    }

    /// Makes this test's storage misbehave.
    pub(crate) fn storage_faults(&self) -> &Faults {
        self.storage.faults()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.own.is_some() {
            return;
        }
        let statement = format!("drop database {} with (force)", self.name);
        // In the background: the folder goes with the process anyway, this only keeps it small.
        SHARED.runtime.spawn(async move {
            run(&SHARED.servers.database_admin_url(), &statement).await;
        });
    }
}

/// Starts a stack of one's own.
pub(crate) async fn start(folder: Folder) -> embedded::Stack {
    embedded::Stack::start(settings(folder))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}
