//! The servers that a drain needs, all real, in this process or of it.

use std::{io, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use orion_ingest::{
    embedded::{Folder, Settings, Sources, Stack, provider::Provider},
    objects::Objects,
};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_orion-ingest");

/// Uploads side by side.
const UPLOADS: usize = 16;

/// Rows of an `insert`.
const ROWS: usize = 1000;

/// A file to upload.
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Postgres, S3 and the provider.
pub(crate) struct Servers {
    stack: Stack,
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

    /// Puts the files into the bucket and, in one transaction, their rows into the queue.
    pub(crate) async fn upload(&self, uploads: &[Upload]) -> anyhow::Result<()> {
        let user = Uuid::new_v4();
        let objects = &Objects::new(self.stack.storage().settings());
        let keys: Vec<String> = uploads
            .iter()
            .map(|_| format!("{user}/{}", Uuid::new_v4()))
            .collect();
        stream::iter(uploads.iter().zip(&keys))
            .map(|(upload, key)| {
                objects.put(key, upload.bytes.clone().into(), "application/octet-stream")
            })
            .buffer_unordered(UPLOADS)
            .try_collect::<()>()
            .await?;
        let mut admin = self.admin().await?;
        sqlx::query("insert into auth.users (id, email) values ($1, 'somebody@example.com')")
            .bind(user)
            .execute(&mut admin)
            .await?;
        for (uploads, keys) in uploads.chunks(ROWS).zip(keys.chunks(ROWS)) {
            let names: Vec<&str> = uploads.iter().map(|upload| &*upload.name).collect();
            let sizes: Vec<i64> = uploads
                .iter()
                .map(|upload| i64::try_from(upload.bytes.len()))
                .collect::<Result<_, _>>()?;
            sqlx::query(
                "insert into files (user_id, original_name, storage_path, mime_type, file_size)
                 select $1, name, key, 'application/octet-stream', size
                 from unnest($2::text[], $3::text[], $4::bigint[]) upload (name, key, size)",
            )
            .bind(user)
            .bind(names)
            .bind(keys)
            .bind(sizes)
            .execute(&mut admin)
            .await?;
        }
        Ok(())
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

    pub(crate) fn provider(&self) -> &Provider {
        self.stack.provider()
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
