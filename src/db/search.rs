//! Search through the database's own functions.

use pgvector::Vector;
use serde::Serialize;
use uuid::Uuid;

use super::{Db, DbError, Unnamed};
use crate::document::{Model, UserId};

/// A chunk that was found. Its keys only grow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// `document_chunks.id`.
    pub id: Uuid,
    /// `files.id`.
    pub file_id: Uuid,
    /// `files.original_name`.
    pub file_name: String,
    /// Place in the file.
    pub chunk_index: i32,
    /// 1-based page.
    pub page_number: Option<i32>,
    /// Path of headings.
    pub heading: Option<String>,
    /// The text.
    pub content: String,
    /// Cosine similarity, best 1.
    pub similarity: f64,
}

impl Db {
    /// The user's chunks nearest to a query's vector, best first.
    ///
    /// # Errors
    ///
    /// [`DbError::Refused`] when no searchable column has the model's vectors.
    pub async fn search(
        &self,
        user: UserId,
        model: &Model,
        query: &[f32],
        limit: i32,
    ) -> Result<Vec<Hit>, DbError> {
        let mut tx = self.begin().await?;
        let hits = sqlx::query_file_as!(
            Hit,
            "src/db/sql/search.sql",
            Vector::from(query.to_vec()) as Vector,
            user as UserId,
            limit,
            model.name,
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(hits)
    }

    /// The model that the database searches and stores with.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn active_model(&self) -> Result<Model, DbError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query!(
            r#"select model as "model!", dimensions as "dimensions!" from active_embedding_model()"#
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(Model {
            name: row.model,
            dimensions: row.dimensions.unsigned_abs(),
        })
    }
}
