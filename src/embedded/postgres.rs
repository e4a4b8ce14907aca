//! A real Postgres of our own, on loopback, that ends when we do.
//!
//! Its data stay in a folder between runs. A folder that a killed run left behind is recovered, whoever else still
//! holds it.

mod launch;

use std::{fs, io, net::Ipv4Addr, path::Path, process::Stdio, str::FromStr as _, time::Duration};

use anyhow::{Context as _, bail};
use rustix::process::{Signal, kill_process, test_kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

use self::launch::Launch;
use super::{
    account::Account,
    binaries::{self, Binaries, Sources},
    shim,
};
use crate::spawner::Spawner;

/// The superuser.
const OWNER: &str = "postgres";
/// The worker's role: what it may do is the migrations' affair, that it may log in is ours.
const WORKER: &str = "orion_ingest";
const DATABASE: &str = "postgres";

/// A fast shutdown writes everything out.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    /// The stack's folder, which we hold the lock of.
    pub(super) folder: &'a Path,
    pub(super) account: Account,
    pub(super) sources: Sources,
    /// Our own program, which has the shim.
    pub(super) program: &'a Path,
    pub(super) password: &'a SecretString,
    /// Whether the data have to survive a crash of the machine.
    pub(super) is_durable: bool,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Postgres {
    child: Child,
    port: u16,
    password: SecretString,
    launch: Launch,
}

impl Postgres {
    /// Starts the server on the folder's data, which are made if there are none.
    pub(super) async fn start(settings: &Settings<'_>, spawner: &Spawner) -> anyhow::Result<Self> {
        let data = shim::data_folder(settings.folder);
        let binaries = find(settings, made_by(&data)?).await?;
        if !data.exists() {
            init(settings, &binaries, spawner).await?;
        }
        take_over(&data).await?;
        let mut postgres = Launch::new(settings, &binaries)
            .start(settings.password, spawner)
            .await?;
        postgres.admit_worker().await?;
        Ok(postgres)
    }

    /// The worker's URL.
    pub(super) fn url(&self) -> SecretString {
        self.url_of(WORKER)
    }

    /// The superuser's URL.
    pub(super) fn admin_url(&self) -> SecretString {
        self.url_of(OWNER)
    }

    fn url_of(&self, role: &str) -> SecretString {
        let password = self.password.expose_secret();
        let (host, port) = (Ipv4Addr::LOCALHOST, self.port);
        format!("postgres://{role}:{password}@{host}:{port}/{DATABASE}?sslmode=disable").into()
    }

    /// Whether the server still runs.
    fn ended(&mut self) -> anyhow::Result<bool> {
        let status = self
            .child
            .try_wait()
            .context("cannot look after Postgres")?;
        Ok(status.is_some())
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::from_str(self.admin_url().expose_secret())?
            .options([("orion_ingest.password", self.password.expose_secret())]);
        PgConnection::connect_with(&options).await
    }

    /// Lets the worker's role log in.
    async fn admit_worker(&mut self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(include_str!("worker_role.sql"))
            .execute(&mut connection)
            .await
            .context("cannot let the worker's role log in")?;
        connection.close().await.context("cannot leave Postgres")
    }

    /// Ends the server in order: nothing has to be recovered at the next start.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for (signal, within) in [
            (Signal::INT, STOPPED_WITHIN),
            (Signal::QUIT, STOPPED_WITHIN),
        ] {
            self.signal(signal);
            if let Ok(ended) = timeout(within, self.child.wait()).await {
                ended.context("cannot wait for Postgres")?;
                return Ok(());
            }
        }
        bail!("Postgres does not end")
    }

    /// Ends the server as a crash would, whatever it is at, and starts it again on the same port.
    pub(super) async fn crash(&mut self, spawner: &Spawner) -> anyhow::Result<()> {
        self.signal(Signal::QUIT);
        let ended = timeout(STOPPED_WITHIN, self.child.wait()).await;
        ended
            .context("Postgres does not end")?
            .context("cannot wait for Postgres")?;
        self.child = self.launch.spawn(self.port, spawner)?;
        if self.is_ready().await? {
            return Ok(());
        }
        bail!("somebody took the port of Postgres")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself, which is all that is asked.
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// The major version that made these data, if there are any.
fn made_by(data: &Path) -> anyhow::Result<Option<u32>> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => {
            let version = version.trim().parse();
            version.map(Some).with_context(|| {
                format!("{} is not a data folder that Postgres made", data.display())
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", data.display())),
    }
}

/// Finds the programs; a download may take its time, so it is kept off the async threads.
async fn find(settings: &Settings<'_>, wanted: Option<u32>) -> anyhow::Result<Binaries> {
    let (sources, account) = (settings.sources.clone(), settings.account);
    tokio::task::spawn_blocking(move || binaries::find(&sources, account, wanted))
        .await
        .context("the search for Postgres broke off")?
}

/// Makes the data folder, in one step: a run killed half way leaves nothing that looks whole.
async fn init(
    settings: &Settings<'_>,
    binaries: &Binaries,
    spawner: &Spawner,
) -> anyhow::Result<()> {
    let home = settings.folder.join("postgres");
    let (unfinished, password) = (home.join("data.new"), home.join("password"));
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot empty {}", home.display()))?;
    }
    fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
    write_password(&password, settings)?;
    settings.account.give(&home, 0o700)?;

    let program = binaries.bin.join("initdb");
    let mut command = shim::server_command(settings.program, settings.account, &program);
    command
        .args(["--encoding=UTF8", "--auth=scram-sha-256"])
        .arg(format!("--username={OWNER}"))
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", unfinished.display()))
        .args(locale(binaries.version))
        .current_dir(&home)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if !settings.is_durable {
        command.arg("--no-sync");
    }
    let made = spawner.spawn_async(command).context("cannot run initdb")?;
    let made = made.wait_with_output().await.context("cannot run initdb")?;
    if !made.status.success() {
        let complaint = String::from_utf8_lossy(&made.stderr);
        bail!("initdb failed ({}): {}", made.status, complaint.trim());
    }
    fs::remove_file(&password).context("cannot remove initdb's password file")?;
    fs::rename(&unfinished, shim::data_folder(settings.folder))
        .context("cannot put the new data folder in its place")
}

/// initdb reads the password from a file, so that no list of processes shows it.
fn write_password(path: &Path, settings: &Settings<'_>) -> anyhow::Result<()> {
    super::write_private(path, settings.password.expose_secret().as_bytes())?;
    settings.account.give(path, 0o600)
}

/// One order of text everywhere, whatever the machine's locales are.
fn locale(version: u32) -> Vec<&'static str> {
    if version >= 17 {
        vec![
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            // The password is random, so rounds that slow down its guessing only slow down our connections.
            "--set=scram_iterations=1",
        ]
    } else {
        vec!["--locale=C.UTF-8"]
    }
}

/// Ends a server that a killed run of ours left on these data, and clears up after one that died.
///
/// We hold the folder's lock, so no other run of ours wants it.
async fn take_over(data: &Path) -> anyhow::Result<()> {
    let give_up_at = Instant::now() + STOPPED_WITHIN;
    while let Some(pid) = shim::postmaster(data) {
        if Instant::now() > give_up_at {
            bail!(
                "another Postgres (process {}) holds {} and does not end",
                pid.as_raw_nonzero(),
                data.display()
            );
        }
        // It may have ended since; the next look will tell.
        kill_process(pid, Signal::INT).ok();
        sleep(LOOK_EVERY).await;
    }
    forget_stranger(&data.join("postmaster.pid"))
}

/// Removes a `postmaster.pid` whose number now belongs to a process that is no Postgres of this folder.
///
/// Postgres would refuse to start. Where nobody has the number it clears up by itself, and looks closer than we can.
fn forget_stranger(file: &Path) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(file) else {
        return Ok(());
    };
    let number = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let is_taken = number
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid).is_ok());
    if is_taken {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}
