//! The servers that a worker needs, all real, in this process or of it.

use std::{io, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use orion_ingest::embedded::{Folder, Settings, Sources, Stack};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_orion-ingest");

/// Postgres, S3 and the provider.
pub(crate) struct Servers {
    pub(crate) stack: Stack,
}

impl Servers {
    /// Starts them, with an empty database.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = cache.or(home).map(|cache| cache.join("orion-ingest"));
        let stack = Stack::start(Settings {
            folder: Folder::ThrowAway,
            program: PROGRAM.into(),
            sources: Sources::usual(cache),
        })
        .await?;
        let servers = Self { stack };
        let migrated = servers.command(&["migrate", "--seed"]).status()?;
        ensure!(migrated.success(), "the migrations fail");
        Ok(servers)
    }

    pub(crate) async fn admin(&self) -> anyhow::Result<PgConnection> {
        let url = self.stack.database_admin_url();
        PgConnection::connect(url.expose_secret())
            .await
            .context("the embedded Postgres does not answer")
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stack.stop().await
    }

    /// The program, in a process of its own, beside these servers.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("RUST_LOG", "error")
            .stdout(io::stderr());
        for (name, value) in self.stack.variables() {
            command.env(name, value.expose_secret());
        }
        command
    }
}
