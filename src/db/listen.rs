//! LISTEN: a hint to look early, on a direct connection of its own. Polling is the promise.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use super::DbError;

/// Notified by a trigger on `files`.
const CHANNEL: &str = "orion_ingest_files";
/// No worker waits longer for hints before it begins; left alone, a refused connection is retried for half a minute.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);
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
    /// Listens on `direct_url`, or on `url` unless it is a pooler's, where LISTEN hears nothing and leaks.
    ///
    /// `None` where only polling is left; the log says why.
    pub async fn connect(url: &SecretString, direct_url: Option<&SecretString>) -> Option<Self> {
        let url = match direct_url {
            Some(direct_url) => direct_url,
            None if is_pooler(url) => {
                tracing::info!(
                    "DATABASE_URL is a pooler's and DATABASE_DIRECT_URL is not set: polling only, no LISTEN"
                );
                return None;
            }
            None => url,
        };
        match listen(url).await {
            Ok(connection) => Some(Self {
                url: url.clone(),
                connection,
            }),
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
                if let Ok(connection) = listen(&self.url).await {
                    self.connection = connection;
                    // Something may have come in between.
                    hint.notify_one();
                }
            }
        }
    }
}

async fn listen(url: &SecretString) -> Result<PgListener, DbError> {
    let listening = async {
        let mut connection = PgListener::connect(url.expose_secret()).await?;
        connection.listen(CHANNEL).await?;
        Ok(connection)
    };
    tokio::time::timeout(LISTEN_WITHIN, listening)
        .await
        .unwrap_or(Err(DbError::Unavailable(sqlx::Error::PoolTimedOut)))
}

fn is_pooler(url: &SecretString) -> bool {
    url::Url::parse(url.expose_secret())
        .ok()
        .and_then(|url| url.port())
        .is_some_and(|port| POOLER_PORTS.contains(&port))
}
