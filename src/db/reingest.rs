//! Files that are to be chunked anew, by the rules that hold now.

use super::{Db, DbError, Unnamed};

/// Which completed files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose type's rules were changed since they were completed.
    ConfigChanged,
    /// Those of this mime type.
    Type(String),
    /// All of them.
    All,
}

impl Db {
    /// Puts completed files back into the queue, a thousand at a time; how many. Their chunks stay until the new ones are
    /// complete, and chunks whose text stays the same keep their vectors.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer; those that were put back by then stay.
    pub async fn reingest(&self, which: &Which) -> Result<u64, DbError> {
        let mime_type = match which {
            Which::Type(mime_type) => Some(mime_type.as_str()),
            Which::ConfigChanged | Which::All => None,
        };
        // Workers complete them again meanwhile.
        let began_at = self.now().await?;
        let mut files = 0;
        loop {
            let mut tx = self.begin().await?;
            let done = sqlx::query_file!(
                "src/db/sql/reingest.sql",
                mime_type,
                began_at,
                *which == Which::ConfigChanged,
            )
            .execute(Unnamed(&mut tx))
            .await?;
            tx.commit().await?;
            if done.rows_affected() == 0 {
                return Ok(files);
            }
            files += done.rows_affected();
        }
    }

    async fn now(&self) -> Result<time::OffsetDateTime, DbError> {
        let mut tx = self.begin().await?;
        let now = sqlx::query_scalar!(r#"select now() as "now!""#)
            .fetch_one(Unnamed(&mut tx))
            .await?;
        tx.commit().await?;
        Ok(now)
    }
}
