//! A worker in a test, and the rows that it leaves.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look at rows that no function of the program returns, and move them in time"
)]

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use orion_ingest::{
    app::App,
    config::{Config, Source},
    db::{Ingested, Listener, Scope},
    document::{Chunk, Chunked, Embedded, FileId, Model, UserId},
    shutdown::Shutdown,
    worker::{self, Ending, Settled, Until},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, postgres::PgListener};
use tokio::{process::Command, sync::Notify, task::JoinSet, time::timeout};
use uuid::Uuid;

use crate::stack::Stack;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_orion-ingest");
/// What should happen at once has not happened at all after this.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// What a test wants to know of a row of `files`.
const ROW: &str = "json_build_object(
    'id', f.id, 'status', f.processing_status, 'code', f.processing_error_code, 'error', f.processing_error,
    'attempts', f.processing_attempts, 'leases_lost', f.leases_lost, 'token', f.lease_token,
    'due_in', extract(epoch from f.due_at - clock_timestamp()), 'chunk_count', f.chunk_count,
    'sha256', encode(f.content_sha256, 'hex'))::text";

/// A row of `files`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: FileId,
    pub(crate) status: String,
    pub(crate) code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) leases_lost: i32,
    pub(crate) token: Option<Uuid>,
    /// Seconds until it is due.
    pub(crate) due_in: f64,
    pub(crate) chunk_count: i32,
    pub(crate) sha256: Option<String>,
}

impl Row {
    /// Status and error code.
    pub(crate) fn outcome(&self) -> (&str, Option<&str>) {
        (&self.status, self.code.as_deref())
    }
}

/// A row of `document_chunks`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct ChunkRow {
    pub(crate) id: Uuid,
    pub(crate) chunk_index: i32,
    pub(crate) content: String,
    pub(crate) page_number: Option<i32>,
    pub(crate) heading: Option<String>,
    pub(crate) token_count: i32,
    pub(crate) embedding_model: String,
    pub(crate) dimensions: i32,
}

/// What was spent, by our books and by the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// In `usage_logs`.
    pub(crate) logged: i64,
    /// In the users' totals.
    pub(crate) totals: i64,
    /// Of requests whose answer is booked.
    pub(crate) settled: i64,
    /// Of requests that may or may not be billed.
    pub(crate) uncertain: i64,
    /// What the provider says.
    pub(crate) bill: i64,
}

impl Stack {
    /// Settings that point here, with little patience between tries.
    pub(crate) fn config(&self) -> Config {
        self.config_with(&[])
    }

    /// The same with some variables changed, or taken away by an empty value.
    pub(crate) fn config_with(&self, changed: &[(&str, &str)]) -> Config {
        let mut source = Source::default();
        for (name, value) in self.variables() {
            source.set(name, value);
        }
        for (name, value) in changed {
            source.set(name, *value);
        }
        let mut config = Config::load(&source, PROGRAM.into()).expect("whole settings");
        config.worker.concurrency = 4;
        config.worker.waiting = 0;
        config.embedding.retry_after = Duration::from_millis(1);
        config
    }

    /// A worker that has not begun.
    pub(crate) async fn worker(&self) -> Worker {
        Worker::start(self.config()).await
    }

    /// A worker with settings of its own.
    pub(crate) async fn worker_with(&self, change: impl FnOnce(&mut Config)) -> Worker {
        let mut config = self.config();
        change(&mut config);
        Worker::start(config).await
    }

    /// The program as another process with these settings; it dies with the test.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables())
            .env("WORKER_CONCURRENCY", "4")
            .current_dir(std::env::temp_dir())
            .kill_on_drop(true);
        command
    }

    /// Runs statements as the owner.
    pub(crate) async fn sql(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut self.admin().await)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// One value, as the owner.
    pub(crate) async fn value<T>(&self, query: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        value(&mut self.admin().await, query).await
    }

    /// Moves a file in time, or whatever else a test does to it.
    pub(crate) async fn set(&self, file: FileId, change: &str) {
        self.sql(&format!("update files set {change} where id = '{file}'"))
            .await;
    }

    /// Makes a file due, as if the time had passed.
    pub(crate) async fn make_due(&self, file: FileId) {
        self.set(file, "due_at = now()").await;
    }

    /// What the owner of a file does to have it ingested again.
    pub(crate) async fn ask_again(&self, user: UserId, file: FileId) {
        self.sql(&format!(
            r#"begin;
            set local role authenticated;
            set local request.jwt.claims = '{{"sub": "{user}", "role": "authenticated"}}';
            do $$ begin
                update files set processing_status = 'pending' where id = '{file}';
                if not found then raise 'not the owner''s file'; end if;
            end $$;
            commit"#
        ))
        .await;
    }

    /// Uploads other bytes under a file's key.
    pub(crate) async fn replace(&self, file: FileId, content: &str) {
        let key: String = self
            .value(&format!(
                "select storage_path from files where id = '{file}'"
            ))
            .await;
        self.objects()
            .put(&key, content.to_owned().into(), "text/plain")
            .await
            .expect("an upload");
    }

    /// A file's row.
    pub(crate) async fn state(&self, file: FileId) -> Row {
        state(&mut self.admin().await, file).await
    }

    /// A file's chunks in their order.
    pub(crate) async fn chunks(&self, file: FileId) -> Vec<ChunkRow> {
        chunks(&mut self.admin().await, file).await
    }

    /// Tells every later change of `files` to whoever watches.
    pub(crate) async fn watch(&self) -> Watch {
        self.sql(&format!(
            "create or replace function test_told() returns trigger language plpgsql security definer
                 set search_path = public as $$
             declare
                 f files := new;
             begin
                 perform pg_notify('test_told', {ROW});
                 return null;
             end $$;
             create or replace trigger test_told after insert or update on files
                 for each row execute function test_told()"
        ))
        .await;
        let url = self.database_admin_url();
        let mut listener = PgListener::connect(url.expose_secret())
            .await
            .expect("the embedded Postgres answers");
        listener.listen("test_told").await.expect("a channel");
        Watch { listener }
    }

    /// Holds up every transaction that inserts chunks, just before it does.
    pub(crate) async fn gate(&self) -> Gate {
        self.sql(&format!(
            "create function test_gate() returns trigger language plpgsql as $$ begin
                 perform pg_advisory_xact_lock_shared({GATE});
                 return null;
             end $$;
             create trigger test_gate before insert on document_chunks
                 for each statement execute function test_gate()"
        ))
        .await;
        let mut holder = self.admin().await;
        sqlx::raw_sql(AssertSqlSafe(format!("select pg_advisory_lock({GATE})")))
            .execute(&mut holder)
            .await
            .expect("a lock");
        Gate { holder }
    }

    /// What was spent.
    pub(crate) async fn books(&self) -> Books {
        let mut admin = self.admin().await;
        let (logged, totals, settled, uncertain) = sqlx::query_as(
            "select
                 (select coalesce(sum(tokens_used), 0) from usage_logs where action in ('embedding', 'reembedding'))::bigint,
                 (select coalesce(sum(total_tokens_used), 0) from user_profiles)::bigint,
                 coalesce(sum(billed_tokens) filter (where state = 'settled'), 0)::bigint,
                 coalesce(sum(tokens) filter (where state = 'uncertain'), 0)::bigint
             from orion_ingest.embedding_requests",
        )
        .fetch_one(&mut admin)
        .await
        .expect("the books");
        let bill = i64::try_from(self.provider().counts().billed_tokens).expect("a small bill");
        Books {
            logged,
            totals,
            settled,
            uncertain,
            bill,
        }
    }

    /// The promises about what is in the database, whatever happened.
    pub(crate) async fn keeps_its_promises(&self) {
        let broken: Vec<String> = sqlx::query_scalar(
            "select format('%s: %s chunks counted, %s there, %s embedded, %s to %s', f.original_name, f.chunk_count,
                 c.chunks, c.embedded, c.first, c.last)
             from files f
             cross join lateral (
                 select count(*) as chunks, count(embedding) as embedded, min(chunk_index) as first,
                     max(chunk_index) as last
                 from document_chunks where file_id = f.id
             ) c
             where f.chunk_count <> c.chunks or c.embedded <> c.chunks
                 or (c.chunks > 0 and (c.first <> 0 or c.last <> c.chunks - 1))
                 or (f.processing_status = 'completed' and c.chunks = 0)
                 or (f.processing_status <> 'processing' and f.lease_token is not null)
                 or (f.processing_status = 'completed' and exists (
                     select from orion_ingest.stashed_vectors s where s.file_id = f.id))",
        )
        .fetch_all(&mut self.admin().await)
        .await
        .expect("a look at the files");
        assert!(broken.is_empty(), "{broken:#?}");
        let books = self.books().await;
        assert_eq!(books.logged, books.settled, "{books:?}");
        assert_eq!(books.totals, books.settled, "{books:?}");
        assert!(
            books.settled <= books.bill && books.bill <= books.settled + books.uncertain,
            "{books:?}"
        );
    }
}

/// One value.
pub(crate) async fn value<T>(connection: &mut PgConnection, query: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// A file's row as this connection sees it.
pub(crate) async fn state(connection: &mut PgConnection, file: FileId) -> Row {
    let row: String = value(
        connection,
        &format!("select {ROW} from files f where id = '{file}'"),
    )
    .await;
    serde_json::from_str(&row).expect("a row")
}

/// A file's chunks as this connection sees them.
pub(crate) async fn chunks(connection: &mut PgConnection, file: FileId) -> Vec<ChunkRow> {
    sqlx::query_as(
        "select id, chunk_index, content, page_number, heading, token_count, embedding_model,
             vector_dims(embedding) as dimensions
         from document_chunks where file_id = $1 order by chunk_index",
    )
    .bind(file)
    .fetch_all(connection)
    .await
    .expect("chunks")
}

/// Hears of every change of `files`.
pub(crate) struct Watch {
    listener: PgListener,
}

impl Watch {
    /// The next change of any file.
    pub(crate) async fn next(&mut self) -> Row {
        let told = self.listener.recv().await.expect("a notification");
        serde_json::from_str(told.payload()).expect("a row")
    }

    /// Waits for a change that makes a file's row so.
    pub(crate) async fn until(&mut self, file: FileId, is_so: impl Fn(&Row) -> bool) -> Row {
        let mut last = None;
        let told = async {
            loop {
                let row = self.next().await;
                if row.id == file && is_so(&row) {
                    return row;
                }
                if row.id == file {
                    last = Some(row);
                }
            }
        };
        let told = timeout(PATIENCE, told).await;
        told.unwrap_or_else(|_| panic!("never came to be; last: {last:#?}"))
    }

    /// Waits until a worker has claimed the file.
    pub(crate) async fn until_claimed(&mut self, file: FileId) -> Row {
        self.until(file, |row| row.status == "processing").await
    }

    /// Waits until the file is completed.
    pub(crate) async fn until_completed(&mut self, file: FileId) -> Row {
        self.until(file, |row| row.status == "completed").await
    }
}

/// Waits until a query says true. For what Postgres tells nobody: it is asked again and again.
pub(crate) async fn until(connection: &mut PgConnection, query: &str) {
    let so = async {
        while !value::<bool>(connection, query).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, so)
        .await
        .unwrap_or_else(|_| panic!("never came to be: {query}"));
}

/// The key of the lock at which inserts of chunks wait.
const GATE: i64 = 42;

/// Between the deletion of the old chunks and the insertion of the new ones.
pub(crate) struct Gate {
    holder: PgConnection,
}

impl Gate {
    /// Waits until a commit stands before it.
    pub(crate) async fn reached(&mut self) {
        let waits = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
             where l.locktype = 'advisory' and not l.granted and d.datname = current_database())";
        until(&mut self.holder, waits).await;
    }

    /// Lets everybody through.
    pub(crate) async fn open(mut self) {
        sqlx::raw_sql("select pg_advisory_unlock_all()")
            .execute(&mut self.holder)
            .await
            .expect("an open gate");
    }
}

/// A worker of this process and what runs beside it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) app: Arc<App>,
    hint: Arc<Notify>,
    /// The pump and the listener; they end with the worker.
    _beside: JoinSet<()>,
}

impl Worker {
    pub(crate) async fn start(config: Config) -> Self {
        let url = config.database.url.clone();
        let direct_url = config.database.direct_url.clone();
        let (app, pump) = App::connect(config)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        let hint = Arc::new(Notify::new());
        let mut beside = JoinSet::new();
        beside.spawn(pump.run());
        if let Some(listener) = Listener::connect(&url, direct_url.as_ref()).await {
            beside.spawn(listener.run(hint.clone()));
        }
        Self {
            app: Arc::new(app),
            hint,
            _beside: beside,
        }
    }

    /// Works until nothing is left.
    pub(crate) async fn drain(&self) -> (Ending, Vec<Settled>) {
        self.drain_only(Scope::All).await
    }

    /// Works until nothing of `scope` is left.
    pub(crate) async fn drain_only(&self, scope: Scope) -> (Ending, Vec<Settled>) {
        let until = Until::Drained {
            scope,
            give_up_at: Some(Instant::now() + PATIENCE),
        };
        let mut all = Vec::new();
        let ending = self
            .work(&until, &Shutdown::default(), |settled| {
                all.push(settled.clone());
            })
            .await;
        (ending, all)
    }

    /// Works until so many claims have ended, and finishes what it has in hand then.
    pub(crate) async fn settle(&self, claims: usize) -> Vec<Settled> {
        let shutdown = Shutdown::default();
        let mut all = Vec::new();
        let work = self.work(&Until::Stopped, &shutdown, |settled| {
            all.push(settled.clone());
            if all.len() >= claims {
                shutdown.finish();
            }
        });
        timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| panic!("fewer than {claims} claims ended"));
        all
    }

    /// Works as a service until it is told to stop.
    pub(crate) async fn serve(&self, shutdown: &Shutdown) -> Vec<Settled> {
        let mut all = Vec::new();
        self.work(&Until::Stopped, shutdown, |settled| {
            all.push(settled.clone());
        })
        .await;
        all
    }

    async fn work(
        &self,
        until: &Until,
        shutdown: &Shutdown,
        on_settled: impl FnMut(&Settled),
    ) -> Ending {
        worker::work(&self.app, until, shutdown, &self.hint, on_settled)
            .await
            .expect("the database answers")
    }
}

/// What a worker would commit: a chunk for each text.
pub(crate) fn ingested(texts: &[&str]) -> Ingested {
    let model = Model {
        name: "text-embedding-3-small".into(),
        dimensions: 1536,
    };
    let whole = texts.concat();
    let chunk = |(index, text): (u32, &&str)| {
        let start = texts[..index as usize].concat().len();
        Chunk {
            index,
            page: None,
            last_page: None,
            heading: None,
            tokens: 1,
            span: 0..text.len(),
            embedded: Embedded {
                text: start..start + text.len(),
                prefix_bytes: 0,
                tokens: 1,
            },
            sha256: Sha256::digest(text).into(),
        }
    };
    Ingested {
        sha256: Sha256::digest(&whole).into(),
        chunked: Chunked {
            chunks: (0..).zip(texts).map(chunk).collect(),
            embedded: Arc::new(whole.clone()),
            text: whole,
            ..Chunked::default()
        },
        vectors: Some(texts.iter().map(|_| vec![0.5; 1536].into()).collect()),
        model,
    }
}

/// A Markdown file whose sections become a chunk each where types allow [`SECTION_TOKENS`].
pub(crate) fn sections(numbers: impl IntoIterator<Item = u32>) -> String {
    let section = |n: u32| {
        let text = format!("In the year {n} the house bought {n} chests of tea. ").repeat(5);
        format!("# Year {n}\n\n{}\n\n", text.trim())
    };
    numbers.into_iter().map(section).collect()
}

/// `chunk_size` for [`sections`].
pub(crate) const SECTION_TOKENS: u32 = 120;

impl Stack {
    /// Makes chunks of Markdown as small as a section of [`sections`], without overlap.
    pub(crate) async fn cut_by_sections(&self) {
        self.sql(&format!(
            "update file_type_configs set chunk_size = {SECTION_TOKENS}, chunk_overlap = 0
             where mime_type = 'text/markdown'"
        ))
        .await;
    }
}

/// A PDF with these texts, a page each.
pub(crate) fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    let kids: Vec<String> = (0..pages.len())
        .map(|n| format!("{} 0 R", 4 + 2 * n))
        .collect();
    objects.push(format!(
        "<< /Type /Pages /Kids [{}] /Count {} >>",
        kids.join(" "),
        pages.len()
    ));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned());
    for (n, text) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {} 0 R
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * n
        ));
        let content = format!("BT /F1 12 Tf 50 700 Td ({text}) Tj ET");
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
    }
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        writeln!(table, "{:010} 00000 n ", file.len()).expect("room");
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", n + 1).into_bytes());
    }
    let (start, size) = (file.len(), objects.len() + 1);
    let trailer = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    [file, table.into_bytes(), trailer.into_bytes()].concat()
}
