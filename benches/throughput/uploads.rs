//! What only a drain needs of the servers: files in the bucket and in the queue, and the provider.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use orion_ingest::{embedded::provider::Provider, objects::Objects};
use uuid::Uuid;

use crate::servers::Servers;

/// Uploads side by side.
const UPLOADS: usize = 16;

/// Rows of an `insert`.
const ROWS: usize = 1000;

/// Bytes of a file that is taken, whatever its type.
const LARGEST: i64 = 500_000_000;

/// A file to upload.
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Servers {
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
        // Texts are taken up to twenty megabytes by default.
        sqlx::query("update file_type_configs set max_file_size = greatest(max_file_size, $1)")
            .bind(LARGEST)
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

    pub(crate) fn provider(&self) -> &Provider {
        self.stack.provider()
    }
}
