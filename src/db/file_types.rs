//! `file_type_configs`, and who owns an object.

use uuid::Uuid;

use super::{Db, DbError, Unnamed};
use crate::{
    document::UserId,
    file_type::{FileType, FileTypes},
};

impl Db {
    /// Every configured type of file.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn file_types(&self) -> Result<FileTypes, DbError> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            FileType,
            "select mime_type, extensions, display_name, enabled, max_file_size, extractor, splitter,
                 chunk_size, chunk_overlap, options
             from file_type_configs
             order by mime_type"
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(FileTypes::new(rows))
    }

    /// Whether `storage.objects` says that `user` uploaded this object.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn owns_object(
        &self,
        user: UserId,
        bucket: &str,
        key: &str,
    ) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let owner = sqlx::query_scalar!("select orion_ingest.object_owner($1, $2)", bucket, key)
            .fetch_one(Unnamed(&mut tx))
            .await?;
        tx.commit().await?;
        Ok(owner.and_then(|owner| Uuid::parse_str(&owner).ok()) == Some(user.0))
    }
}
