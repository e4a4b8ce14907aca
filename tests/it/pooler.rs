//! Behind PgBouncer in transaction mode, where every transaction may run on another server connection.

use std::{
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};
use url::Url;

use crate::{
    stack::Stack,
    work::{PATIENCE, sections},
};

/// Server connections for all clients together: far fewer than clients.
const SERVERS: usize = 3;

/// A running PgBouncer.
struct Pooler {
    /// Through it, as the worker.
    url: SecretString,
    _folder: TempDir,
    _child: Child,
}

impl Pooler {
    /// Starts it, if there is one.
    async fn start(stack: &Stack) -> Option<Self> {
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
        let settings = folder.path().join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = {SERVERS}\nmax_client_conn = 200\n",
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
        // Past the capture of the test's output.
        writeln!(
            io::stderr(),
            "SKIPPED: several_workers_behind_a_transaction_pooler: no pgbouncer here (Debian: apt-get install pgbouncer)"
        )
        .expect("an open stderr");
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
