//! The stack of `--embedded`, `demo` and the tests: a real Postgres, a real S3, on loopback and of our own.
//!
//! Nothing has to be installed or signed up for. What is started here ends with us, also when we are killed.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

pub use self::binaries::Sources;
use self::{account::Account, postgres::Postgres, provider::Provider, storage::Storage};
use crate::spawner::Spawner;

mod account;
mod binaries;
mod postgres;
pub mod provider;
pub mod shim;
pub mod storage;

/// Requests a minute of a new account at `OpenAI`, and what a worker's own settings expect.
const RPM: u32 = 3_000;
/// Tokens a minute, likewise.
const TPM: u32 = 1_000_000;

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the data live.
    pub folder: Folder,
    /// Our own program, whose `main` hands [`shim::SUBCOMMAND`] to [`shim::run`].
    pub program: PathBuf,
    /// Where to look for Postgres.
    pub sources: Sources,
}

/// Where the data live, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Kept between runs; they survive a crash of the machine.
    Kept(PathBuf),
    /// In a temporary folder that is removed when we end, however we end.
    ThrowAway,
}

/// The running servers. Dropping it ends them, [`Stack::stop`] ends them in order.
#[derive(Debug)]
pub struct Stack {
    folder: PathBuf,
    postgres: Postgres,
    storage: Storage,
    provider: Provider,
    provider_key: SecretString,
    sweeper: Option<tokio::process::Child>,
    /// Ends with the others: Postgres dies with its thread.
    spawner: Spawner,
    /// Held as long as we use the folder.
    _lock: fs::File,
}

impl Stack {
    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    ///
    /// Whatever keeps a server from starting, with what to do about it.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let account = Account::choose()?;
        let spawner = Spawner::new().context("cannot start a thread")?;
        let folder = place(&settings, account)?;
        let lock = lock(&folder)?;
        let sweeper = match settings.folder {
            Folder::ThrowAway => {
                Some(spawner.spawn_async(shim::sweeper(&settings.program, &folder)))
            }
            Folder::Kept(_) => None,
        };
        let sweeper = sweeper.transpose().context("cannot run ourselves")?;
        let secrets = Secrets::of(&folder)?;
        let postgres = Postgres::start(
            &postgres::Settings {
                folder: &folder,
                account,
                sources: settings.sources,
                program: &settings.program,
                password: &secrets.postgres,
                is_durable: sweeper.is_none(),
            },
            &spawner,
        )
        .await?;
        let storage = Storage::start(&objects_folder(&folder)?, secrets.storage).await?;
        let provider = Provider::start(provider::Settings {
            api_key: secrets.provider.clone(),
            port: 0,
            requests_per_minute: RPM,
            tokens_per_minute: TPM,
        })
        .await
        .context("cannot start the embedding stand-in")?;
        Ok(Self {
            folder,
            postgres,
            storage,
            provider,
            provider_key: secrets.provider,
            sweeper,
            spawner,
            _lock: lock,
        })
    }

    /// Where the data really are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `DATABASE_URL`: the worker's role.
    pub fn database_url(&self) -> SecretString {
        self.postgres.url()
    }

    /// `DATABASE_ADMIN_URL`: the superuser.
    pub fn database_admin_url(&self) -> SecretString {
        self.postgres.admin_url()
    }

    /// The S3 server.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The settings that point a worker here, by the names of their variables.
    pub fn variables(&self) -> Vec<(&'static str, SecretString)> {
        let storage = self.storage.settings();
        vec![
            ("DATABASE_URL", self.database_url()),
            ("DATABASE_ADMIN_URL", self.database_admin_url()),
            ("STORAGE_S3_ENDPOINT", storage.endpoint.into()),
            ("STORAGE_S3_REGION", storage.region.into()),
            ("STORAGE_S3_ACCESS_KEY_ID", storage.access_key_id.into()),
            ("STORAGE_S3_SECRET_ACCESS_KEY", storage.secret_access_key),
            ("STORAGE_BUCKET", storage.bucket.into()),
            ("OPENAI_BASE_URL", self.provider.base_url.as_str().into()),
            ("OPENAI_API_KEY", self.provider_key.clone()),
        ]
    }

    /// The embedding stand-in.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Ends Postgres as a crash would and starts it again; it is reached as before.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from starting again.
    pub async fn crash_database(&mut self) -> anyhow::Result<()> {
        self.postgres.crash(&self.spawner).await
    }

    /// Ends the servers in order, and waits for them.
    ///
    /// # Errors
    ///
    /// A server that does not end.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.storage);
        drop(self.provider);
        self.postgres.stop().await?;
        if let Some(mut sweeper) = self.sweeper {
            // The end of its input is its signal.
            drop(sweeper.stdin.take());
            sweeper.wait().await.context("cannot remove the data")?;
        }
        Ok(())
    }
}

/// The folder to use: the wanted one, if the server's account can reach it.
fn place(settings: &Settings, account: Account) -> anyhow::Result<PathBuf> {
    let us = rustix::process::geteuid().as_raw();
    let temporary = &settings.sources.temporary;
    let folder = match &settings.folder {
        Folder::ThrowAway => temporary.join(format!("orion-ingest-{us}-{}", Uuid::new_v4())),
        Folder::Kept(wanted) => {
            let wanted = std::path::absolute(wanted).context("no current folder")?;
            if account.can_enter(&wanted) {
                wanted
            } else {
                let instead = temporary.join(format!("orion-ingest-{us}-{}", digest(&wanted)));
                tracing::warn!(
                    "we are root, Postgres is not, and it cannot enter {}: the data are in {} instead",
                    wanted.display(),
                    instead.display()
                );
                instead
            }
        }
    };
    account::open_folder(&folder)?;
    fs::canonicalize(&folder).with_context(|| format!("cannot enter {}", folder.display()))
}

/// A short name for a path, the same at every run.
fn digest(path: &Path) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hex::encode(&hash[..8])
}

/// Keeps a second run out of the folder.
fn lock(folder: &Path) -> anyhow::Result<fs::File> {
    let path = folder.join("lock");
    let file =
        fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another orion-ingest uses the embedded stack in {}: stop it, or start this one in another folder",
            folder.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The folder of the objects, for us alone.
fn objects_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let objects = folder.join("objects");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&objects)
        .with_context(|| format!("cannot make {}", objects.display()))?;
    Ok(objects)
}

/// What opens the servers: other users of this machine can reach loopback too.
#[derive(Clone, Debug)]
struct Secrets {
    postgres: SecretString,
    storage: SecretString,
    provider: SecretString,
}

impl Secrets {
    /// The folder's, which are made up at its first use.
    fn of(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            postgres: secret(&folder.join("postgres.secret"))?,
            storage: secret(&folder.join("storage.secret"))?,
            provider: secret(&folder.join("provider.secret"))?,
        })
    }
}

/// The secret in this file, made up if there is none.
fn secret(path: &Path) -> anyhow::Result<SecretString> {
    match fs::read_to_string(path) {
        Ok(secret) => Ok(secret.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = SecretString::from(Uuid::new_v4().simple().to_string());
            write_private(path, secret.expose_secret().as_bytes())?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only we can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
