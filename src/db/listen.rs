//! LISTEN: a hint to look early, on a direct connection of its own. Polling is the promise.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection as _, PgConnection, postgres::PgListener};
use tokio::sync::Notify;

use super::{DbError, Unnamed, open, options};

/// Notified by a trigger on `files`.
const CHANNEL: &str = "orion_ingest_files";
/// No worker waits longer for hints before it begins; left alone, a refused connection is retried for half a minute.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);
/// How often two connections are asked for their sessions before they count as direct.
const PROBES: usize = 4;
/// Pause before a lost connection is made anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(5);
/// The ports on which transaction poolers listen by custom: Supavisor and `PgBouncer`.
const POOLER_PORTS: [u16; 2] = [6543, 6432];

/// A connection that listens.
#[derive(Debug)]
pub struct Listener {
    url: SecretString,
    connection: PgListener,
}

impl Listener {
    /// Listens on `direct_url`, or on `url` unless it is a pooler's, where LISTEN hears nothing and leaks. Poolers are
    /// known by their usual ports, and by transactions of two connections that run in one session.
    ///
    /// `None` where only polling is left; the log says why.
    pub async fn connect(url: &SecretString, direct_url: Option<&SecretString>) -> Option<Self> {
        let listened = match direct_url {
            Some(direct_url) => direct_url,
            None if is_pooler(url) => {
                tracing::info!(
                    "DATABASE_URL is a pooler's and DATABASE_DIRECT_URL is not set: polling only, no LISTEN"
                );
                return None;
            }
            None => url,
        };
        match listen(listened).await {
            Ok(Some(connection)) => Some(Self {
                url: listened.clone(),
                connection,
            }),
            Ok(None) => {
                tracing::warn!(
                    "LISTEN would hear nothing on this connection, which is a transaction pooler's: polling only; set DATABASE_DIRECT_URL to a direct one"
                );
                None
            }
            Err(error) => {
                tracing::warn!(error = %error, "LISTEN is not available: polling only");
                None
            }
        }
    }

    /// Passes hints on until dropped; reconnects when the connection is lost.
    pub async fn run(mut self, hint: Arc<Notify>) {
        loop {
            if self.connection.recv().await.is_ok() {
                hint.notify_one();
            } else {
                tokio::time::sleep(RECONNECT_AFTER).await;
                if let Ok(Some(connection)) = listen(&self.url).await {
                    self.connection = connection;
                    // Something may have come in between.
                    hint.notify_one();
                }
            }
        }
    }
}

/// A connection that listens; `None` where it would listen in a session that is not its own.
async fn listen(url: &SecretString) -> Result<Option<PgListener>, DbError> {
    let listening = async {
        if is_shared(url).await? {
            return Ok(None);
        }
        let mut connection = PgListener::connect(url.expose_secret()).await?;
        connection.listen(CHANNEL).await?;
        Ok(Some(connection))
    };
    tokio::time::timeout(LISTEN_WITHIN, listening)
        .await
        .unwrap_or(Err(DbError::Unavailable(sqlx::Error::PoolTimedOut)))
}

/// Whether one connection's transactions run in several sessions, or two connections' in one.
///
/// Found out before anything is listened to: a session that listens for one client of a pooler tells the others of each
/// notification in the middle of their answers, which is an error to them.
async fn is_shared(url: &SecretString) -> Result<bool, DbError> {
    let options = options(url)?.extra_float_digits(None);
    let mut one = open(&options, LISTEN_WITHIN).await?;
    let mut two = open(&options, LISTEN_WITHIN).await?;
    let (own, others) = (session(&mut one).await?, session(&mut two).await?);
    let mut is_shared = own == others;
    for _ in 0..PROBES {
        is_shared |= session(&mut one).await? != own || session(&mut two).await? != others;
    }
    one.close().await?;
    two.close().await?;
    Ok(is_shared)
}

/// The session in which a transaction of this connection runs.
async fn session(connection: &mut PgConnection) -> Result<i32, DbError> {
    let mut tx = connection.begin().await?;
    let session = sqlx::query_scalar!(r#"select pg_backend_pid() as "session!""#)
        .fetch_one(Unnamed(&mut tx))
        .await?;
    tx.commit().await?;
    Ok(session)
}

fn is_pooler(url: &SecretString) -> bool {
    url::Url::parse(url.expose_secret())
        .ok()
        .and_then(|url| url.port())
        .is_some_and(|port| POOLER_PORTS.contains(&port))
}
