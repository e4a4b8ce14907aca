//! Why the database did not do as asked, and what becomes of the file.

use std::time::Duration;

use sqlx::error::DatabaseError;

use crate::failure::Verdict;

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It cannot be reached, is going down, has no connection to spare, or broke a deadlock: try again.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Its URL is not one.
    #[error("the database's URL cannot be used")]
    Url(#[source] sqlx::Error),
    /// It refuses the user, the password or the name of the database.
    #[error(
        "the database does not let us in; check the user, the password and the database's name in its URL"
    )]
    Denied(#[source] sqlx::Error),
    /// The migrations were not applied, or only older ones.
    #[error("the database is not ready; run `orion-ingest migrate --seed`")]
    NotMigrated(#[source] sqlx::Error),
    /// The lease is somebody else's now; nothing was written.
    #[error("the lease is no longer ours")]
    LeaseLost,
    /// The vectors are of a model that is not the active one any more; nothing was written.
    #[error("the active embedding model changed meanwhile")]
    ModelChanged,
    /// A vector that a file counted on was deleted with another file; nothing was written.
    #[error("a vector that the file shares with another one was deleted meanwhile")]
    VectorsGone,
    /// It refused a statement.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl DbError {
    /// What becomes of the file that was worked on.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable(_) | Self::Url(_) | Self::Denied(_) | Self::NotMigrated(_) => {
                Verdict::Wait {
                    code: None,
                    after: None,
                }
            }
            Self::ModelChanged | Self::VectorsGone => Verdict::Wait {
                code: None,
                after: Some(Duration::from_secs(1)),
            },
            Self::LeaseLost => Verdict::Abandon,
            Self::Refused(_) => Verdict::Retry { code: None },
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        if let Some(code) = code {
            let class = code.get(..2).unwrap_or_default();
            // https://www.postgresql.org/docs/current/errcodes-appendix.html
            let kind = match (class, &*code) {
                // Connection, deadlock, resources, locks, shutdown, system, a pooler's own errors, and a server that
                // became read-only: they pass by themselves.
                ("08" | "40" | "53" | "55" | "57" | "58" | "XX", _) | (_, "25006") => {
                    Self::Unavailable
                }
                // Credentials, and no such database.
                ("28", _) | (_, "3D000") => Self::Denied,
                // No such schema, table, column, function or type.
                (_, "3F000" | "42P01" | "42703" | "42883" | "42704") => Self::NotMigrated,
                _ => Self::Refused,
            };
            drop(code);
            return kind(error);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are refusals, or mistakes of ours"
        )]
        match error {
            sqlx::Error::Configuration(_) => Self::Url(error),
            sqlx::Error::TypeNotFound { .. } => Self::NotMigrated(error),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }
}
