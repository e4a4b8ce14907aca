//! Behind PgBouncer in transaction mode, where every transaction may run on another server connection.

use std::{
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use futures_util::future::join_all;
use orion_ingest::{
    app,
    db::{Db, NewFile, Scope, ledger},
    document::{FileId, UserId},
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};
use url::Url;

use uuid::Uuid;

use crate::{
    program::Place,
    stack::Stack,
    work::{PATIENCE, ingested, sections},
};

/// Server connections for all clients together: far fewer than clients.
const SERVERS: usize = 3;

/// A running PgBouncer.
pub(crate) struct Pooler {
    /// Through it, as the worker.
    pub(crate) url: SecretString,
    _folder: TempDir,
    _child: Child,
}

impl Pooler {
    /// Starts it, if there is one; else says that the test is skipped, past the capture of its output.
    pub(crate) async fn start(stack: &Stack) -> Option<Self> {
        Self::start_with(stack, "", &[]).await
    }

    /// Starts it with settings of its own, in which `FOLDER` is where these files are.
    pub(crate) async fn start_with(
        stack: &Stack,
        settings: &str,
        files: &[(&str, &String)],
    ) -> Option<Self> {
        let pooler = Self::start_any(stack, settings, files).await;
        if pooler.is_none() {
            let test = std::thread::current();
            writeln!(
                io::stderr(),
                "SKIPPED: {}: no pgbouncer here (Debian: apt-get install pgbouncer)",
                test.name().unwrap_or_default()
            )
            .expect("an open stderr");
        }
        pooler
    }

    async fn start_any(stack: &Stack, more: &str, files: &[(&str, &String)]) -> Option<Self> {
        let mut url = Url::parse(stack.database_url().expose_secret()).expect("a URL");
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let users = folder.path().join("users");
        fs::write(
            &users,
            format!(
                "\"{}\" \"{}\"\n",
                url.username(),
                url.password().unwrap_or_default()
            ),
        )
        .expect("a file");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("a file");
        }
        let more = more.replace("FOLDER", &folder.path().display().to_string());
        let settings = folder.path().join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = {SERVERS}\nmax_client_conn = 200\n\
                 ignore_startup_parameters = extra_float_digits\n{more}",
                url.host_str().expect("a host"),
                url.port().expect("a port"),
                users.display(),
            ),
        )
        .expect("a file");
        let mut child = spawn(&["pgbouncer", "/usr/sbin/pgbouncer"], &settings)?;
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let up = async {
            let mut said = String::new();
            while let Some(line) = log.next_line().await.expect("a log") {
                if line.contains("process up") {
                    return;
                }
                said.push_str(&line);
            }
            panic!("PgBouncer does not start: {said}");
        };
        timeout(PATIENCE, up).await.expect("PgBouncer is up");
        // Nobody reads what else it says; it takes no harm.
        url.set_port(Some(port)).expect("a port");
        Some(Self {
            url: url.to_string().into(),
            _folder: folder,
            _child: child,
        })
    }

    /// A client that shares the server connections.
    async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.expose_secret().parse().expect("a URL");
        options
            .extra_float_digits(None)
            .connect()
            .await
            .expect("PgBouncer answers")
    }
}

fn spawn(places: &[&str], settings: &std::path::Path) -> Option<Child> {
    places.iter().find_map(|place| {
        let mut command = Command::new(place);
        if rustix::process::geteuid().is_root() {
            command.args(["--user", "nobody"]);
        }
        command
            .arg(settings)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()
    })
}

#[tokio::test]
async fn several_workers_behind_a_transaction_pooler_drain_the_queue_and_leave_no_named_statement()
{
    let stack = Stack::new().await;
    let Some(pooler) = Pooler::start(&stack).await else {
        return;
    };
    for person in 0..5 {
        let user = stack.user().await;
        for n in 0..10 {
            let year = 1000 + person * 100 + n * 10;
            stack.file(user, "tea.md", sections(year..year + 4)).await;
        }
    }
    let direct_url = stack.database_url();
    let worker = || {
        stack.worker_with(|config| {
            config.database.url = pooler.url.clone();
            config.database.direct_url = Some(direct_url.clone());
            config.worker.concurrency = 8;
        })
    };
    let (one, two, three) = (worker().await, worker().await, worker().await);
    let (one, two, three) = tokio::join!(one.drain(), two.drain(), three.drain());
    assert_eq!(one.1.len() + two.1.len() + three.1.len(), 50);
    let completed: i64 = stack
        .value("select count(*) from files where processing_status = 'completed'")
        .await;
    assert_eq!(completed, 50);
    stack.keeps_its_promises().await;

    // Open transactions hold one server connection each.
    let mut clients = Vec::new();
    for _ in 0..SERVERS {
        let mut client = pooler.connect().await;
        sqlx::raw_sql("begin").execute(&mut client).await.unwrap();
        let row =
            sqlx::raw_sql("select pg_backend_pid(), (select count(*) from pg_prepared_statements)")
                .fetch_one(&mut client)
                .await
                .unwrap();
        clients.push((row.get::<i32, _>(0), row.get::<i64, _>(1), client));
    }
    let mut servers: Vec<i32> = clients.iter().map(|(server, ..)| *server).collect();
    servers.dedup();
    assert_eq!(servers.len(), SERVERS);
    let named: i64 = clients.iter().map(|(_, named, _)| named).sum();
    assert_eq!(named, 0);
}

/// Clients that ask at once: many times the server connections.
const CLIENTS: u128 = 24;
/// Files of each.
const FILES_EACH: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_behind_a_transaction_pooler_is_the_answer_to_its_question() {
    let stack = Stack::new().await;
    let Some(pooler) = Pooler::start(&stack).await else {
        return;
    };
    let clients = usize::try_from(CLIENTS).unwrap();
    let db = Db::connect(&app::database(&pooler.url, clients))
        .await
        .unwrap();
    let mut users = Vec::new();
    for _ in 0..CLIENTS {
        users.push(stack.user().await);
    }
    join_all(users.iter().map(|user| compare_answers(&db, *user))).await;
}

/// A person's files from row to search, each with words of its own in it, and each answer looked at.
async fn compare_answers(db: &Db, user: UserId) {
    let model = db.active_model().await.unwrap();
    for n in 0..FILES_EACH {
        let (file, name) = (FileId(Uuid::new_v4()), format!("{user} {n}"));
        let scope = Scope::Only {
            user,
            files: vec![file.0],
        };
        let bytes = i64::from(n);
        let new = NewFile {
            file,
            user,
            name: &name,
            object_key: &name,
            mime_type: &name,
            bytes,
        };
        assert!(db.has_user(user).await.unwrap());
        assert!(!db.has_user(UserId(file.0)).await.unwrap());
        db.insert_file(&new).await.unwrap();
        let [state] = &db.states(&[file.0]).await.unwrap()[..] else {
            panic!("a file has a state");
        };
        assert_eq!(
            (state.id, &state.name, &*state.status),
            (file, &name, "pending")
        );
        let [lease] = &db.claim(1, PATIENCE, &scope).await.unwrap()[..] else {
            panic!("a new file is claimed");
        };
        assert_eq!(
            (lease.file, lease.user, lease.claimed_bytes),
            (file, user, Some(bytes))
        );
        assert_eq!((&lease.object_key, &lease.mime_type), (&name, &name));
        assert_eq!(db.backlog(&scope).await.unwrap().files, 1);
        db.renew(lease, PATIENCE).await.unwrap();
        assert!(!db.owns_object(user, "documents", &name).await.unwrap());
        let texts: Vec<String> = (0..=n).map(|chunk| format!("{name} {chunk}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        db.commit(lease, &ingested(&texts).into()).await.unwrap();
        let wanted: Vec<_> = texts
            .iter()
            .map(|text| (user, Sha256::digest(text).into(), true))
            .collect();
        let mut tx = db.begin().await.unwrap();
        let known = ledger::recall(&mut tx, &model, &wanted).await.unwrap();
        tx.commit().await.unwrap();
        let mut wanted = wanted.into_iter();
        assert_eq!(known.len(), texts.len());
        assert!(wanted.all(|(user, text, _)| known.contains_key(&(user, text))));
        let [state] = &db.states(&[file.0]).await.unwrap()[..] else {
            panic!("a file has a state");
        };
        assert_eq!((state.id, &*state.status), (file, "completed"));
        assert_eq!(usize::try_from(state.chunks).unwrap(), texts.len());
        let hits = db.search(user, &model, &[0.5; 1536], 200).await.unwrap();
        let so_far = (n + 1) * (n + 2) / 2;
        assert_eq!(hits.len(), usize::try_from(so_far).unwrap());
        let own = user.to_string();
        assert!(
            hits.iter().all(|hit| hit.file_name.starts_with(&own)),
            "{hits:?}"
        );
    }
}

#[tokio::test]
async fn a_service_behind_a_pooler_says_that_it_hears_nothing_and_works() {
    let place = Place::new().await;
    let Some(pooler) = Pooler::start(&place.stack).await else {
        return;
    };
    let user = place.stack.user().await;
    let service = |direct: bool| {
        let mut command = place.command(&["--poll-interval", "1s"]);
        command.env("DATABASE_URL", pooler.url.expose_secret());
        if direct {
            let direct_url = place.stack.database_url();
            command.env("DATABASE_DIRECT_URL", direct_url.expose_secret());
        }
        crate::program::Running::start(command)
    };
    let mut deaf = service(false);
    let line = deaf.logs("LISTEN").await;
    assert_eq!(line["level"], "WARN", "{line}");
    for words in ["hear nothing", "polling only", "DATABASE_DIRECT_URL"] {
        assert!(line["message"].as_str().unwrap().contains(words), "{line}");
    }
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    deaf.logs("committed").await;
    deaf.terminate();
    assert_eq!(deaf.ends().await.0.code(), Some(0));

    let mut hears = service(true);
    hears.logs("working").await;
    hears.terminate();
    let (_, said) = hears.ends().await;
    assert!(!said.err.contains("LISTEN"), "{said:?}");
}
