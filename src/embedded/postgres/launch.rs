//! Starts the server on its data, at first and after a crash, and waits until it answers.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use sqlx::Connection as _;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::{LOOK_EVERY, Postgres, Settings, binaries::Binaries, shim};
use crate::{embedded::account::Account, spawner::Spawner};

/// A crash recovery of a large folder takes this long at most.
const READY_WITHIN: Duration = Duration::from_mins(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The server logs each look while it recovers.
const LONGEST_LOOK: Duration = Duration::from_millis(320);
/// Somebody may take the port between our finding it free and the server's taking it.
const PORT_ATTEMPTS: u32 = 5;

/// Data that nobody will miss need not reach the disk; and tests are many.
const THROW_AWAY: [&str; 4] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=500",
];

/// What a server is started with.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    folder: PathBuf,
    account: Account,
    /// Our own program, which has the shim.
    program: PathBuf,
    server: PathBuf,
    is_durable: bool,
}

impl Launch {
    pub(super) fn new(settings: &Settings<'_>, binaries: &Binaries) -> Self {
        Self {
            folder: settings.folder.to_owned(),
            account: settings.account,
            program: settings.program.to_owned(),
            server: binaries.bin.join("postgres"),
            is_durable: settings.is_durable,
        }
    }

    /// Starts the server on a free port and waits until it answers.
    pub(super) async fn start(
        self,
        password: &SecretString,
        spawner: &Spawner,
    ) -> anyhow::Result<Postgres> {
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port()?;
            let mut postgres = Postgres {
                child: self.spawn(port, spawner)?,
                port,
                password: password.clone(),
                launch: self.clone(),
            };
            if postgres.is_ready().await? {
                return Ok(postgres);
            }
        }
        bail!("somebody took the port each time; {}", self.last_lines())
    }

    /// Starts the server on this port.
    pub(super) fn spawn(&self, port: u16, spawner: &Spawner) -> anyhow::Result<Child> {
        spawner
            .spawn_async(self.command(port)?)
            .context("cannot run postgres")
    }

    fn command(&self, port: u16) -> anyhow::Result<Command> {
        let log = self.log();
        let log =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = shim::server_command(&self.program, self.account, &self.server);
        command
            .arg("-D")
            .arg(shim::data_folder(&self.folder))
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .current_dir(data_home(&self.folder))
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log);
        if !self.is_durable {
            for setting in THROW_AWAY {
                command.args(["-c", setting]);
            }
        }
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The end of the server's log, for an error.
    fn last_lines(&self) -> String {
        const LINES: usize = 8;
        let log = self.log();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
        format!("the end of {}:\n  {last}", log.display())
    }
}

impl Postgres {
    /// Waits until it answers; false if its port was taken by somebody else.
    pub(super) async fn is_ready(&mut self) -> anyhow::Result<bool> {
        let give_up_at = Instant::now() + READY_WITHIN;
        let mut pause = LOOK_EVERY;
        loop {
            // Whoever has the port may not speak Postgres.
            let answer = timeout(ANSWER_WITHIN, self.connect()).await;
            let answer = answer.unwrap_or_else(|late| Err(io::Error::from(late).into()));
            if self.ended()? {
                let lines = self.launch.last_lines();
                if lines.contains("could not bind") {
                    return Ok(false);
                }
                bail!("Postgres did not start; {lines}");
            }
            match answer {
                Ok(connection) => {
                    connection.close().await.context("cannot leave Postgres")?;
                    return Ok(true);
                }
                Err(error) if Instant::now() > give_up_at => {
                    let lines = self.launch.last_lines();
                    return Err(error).context(format!("Postgres does not answer; {lines}"));
                }
                Err(_) => sleep(pause).await,
            }
            pause = LONGEST_LOOK.min(pause * 2);
        }
    }
}

/// A folder that the server's account can stand in.
fn data_home(folder: &Path) -> PathBuf {
    folder.join("postgres")
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}
