//! `search`: embeds a query like any other text, and asks the database.

use std::fmt;

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    chunk::Tokenizer,
    config,
    db::{Db, Hit},
    document::UserId,
    embedding::{Embedder, EmbeddingError, Job, Piece},
    ops::{WrongUsage, ensure_user, provider_advice},
};

/// How much of a chunk a person is shown.
const SHOWN_CHARS: usize = 240;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The model of query and chunks.
    pub model: String,
    /// Best first.
    pub results: Vec<Hit>,
}

/// Searches a user's chunks for each of `queries`.
///
/// # Errors
///
/// An unknown user, an empty query, provider or database trouble.
pub async fn search(
    settings: config::Search,
    user: UserId,
    queries: &[&str],
    limit: u16,
) -> anyhow::Result<Vec<Found>> {
    if queries.iter().any(|query| query.trim().is_empty()) {
        return Err(WrongUsage("the query is empty; say what to look for".to_owned()).into());
    }
    let db = Db::connect(&app::database(&settings.database.url, 0)).await?;
    let found = answer(&db, settings, user, queries, limit).await;
    db.close().await;
    found
}

async fn answer(
    db: &Db,
    settings: config::Search,
    user: UserId,
    queries: &[&str],
    limit: u16,
) -> anyhow::Result<Vec<Found>> {
    ensure_user(db, user).await?;
    let (embedder, pump) = app::embedder(db, settings.embedding, CancellationToken::new()).await?;
    let each = async {
        let mut found = Vec::new();
        for query in queries {
            let vector = embed(&embedder, settings.tokenizer, user, query).await?;
            let model = embedder.model();
            found.push(Found {
                model: model.name.clone(),
                results: db.search(user, model, &vector, i32::from(limit)).await?,
            });
        }
        Ok(found)
    };
    tokio::select! {
        found = each => found,
        () = pump.run() => anyhow::bail!("the pump of embedding requests ended"),
    }
}

/// Embeds the query like any other text of the user, so that it is booked like any other.
async fn embed(
    embedder: &Embedder,
    tokenizer: Tokenizer,
    user: UserId,
    query: &str,
) -> anyhow::Result<Vec<f32>> {
    let text = query.trim();
    let piece = Piece {
        tokens: tokenizer.count(text),
        sha256: Sha256::digest(text.as_bytes()).into(),
        text: text.into(),
    };
    let job = Job {
        file: None,
        user,
        pieces: vec![piece],
    };
    let vectors = match embedder.embed(embedder.expect(), job).await {
        Ok(vectors) => vectors,
        Err(error @ (EmbeddingError::Provider(_) | EmbeddingError::SpendLimit { .. })) => {
            let state = *embedder.state().borrow();
            return Err(error).context(provider_advice(state));
        }
        Err(error) => return Err(error.into()),
    };
    vectors
        .into_iter()
        .next()
        .context("the provider gave no vector")
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.results.is_empty() {
            return write!(f, "nothing found");
        }
        for (place, hit) in self.results.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{}. {:.3}  {}", place + 1, hit.similarity, hit.file_name)?;
            if let Some(page) = hit.page_number {
                write!(f, ", page {page}")?;
            }
            if let Some(heading) = &hit.heading {
                write!(f, ", {heading}")?;
            }
            let flat = hit.content.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = flat.chars().take(SHOWN_CHARS).collect();
            let more = if shown.len() < flat.len() { "…" } else { "" };
            write!(f, "\n   {shown}{more}")?;
        }
        Ok(())
    }
}
