//! An application that searches while the model changes, and checks each answer.

#![expect(
    clippy::disallowed_methods,
    reason = "columns that are there only during a re-embedding"
)]

use orion_ingest::{document::UserId, embedded::provider::lexical};
use pgvector::Vector;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::stack::Stack;

/// As near as a float's rounding leaves two sums.
const CLOSE: f64 = 1e-4;

/// A model as an application knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) dimensions: i32,
}

/// The model that queries must be made with.
pub(crate) async fn active(connection: &mut PgConnection) -> Model {
    let row = sqlx::query("select model, dimensions from active_embedding_model()")
        .fetch_one(connection)
        .await
        .expect("an active model");
    Model {
        name: row.get(0),
        dimensions: row.get(1),
    }
}

/// Asks with a query of this model; every answer must be as near to it as the model's own vectors of the two texts are.
/// The texts, best first.
pub(crate) async fn ask(
    connection: &mut PgConnection,
    user: UserId,
    model: &Model,
    query: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let asked = vector(query, model);
    let rows = sqlx::query(
        "select h.content, coalesce(c.metadata ->> 'prefix', '') || c.content, h.similarity
         from search_similar_chunks($1, $2, null, 5, $3) h
         join document_chunks c on c.id = h.id
         order by h.similarity desc, h.id",
    )
    .bind(Vector::from(asked.clone()))
    .bind(user)
    .bind(&model.name)
    .fetch_all(connection)
    .await?;
    let check = |row: sqlx::postgres::PgRow| {
        let (text, similarity): (String, f64) = (row.get(1), row.get(2));
        let expected = cosine(&asked, &vector(&text, model));
        assert!(
            (similarity - expected).abs() < CLOSE,
            "{model:?}: {similarity} is not {expected} for {text:?}"
        );
        row.get(0)
    };
    Ok(rows.into_iter().map(check).collect())
}

/// The texts that a search finds, by a statement that touches no table itself, so that it has its snapshot before the
/// search has its lock.
pub(crate) async fn search(
    connection: &mut PgConnection,
    user: UserId,
    model: &Model,
    query: &str,
) -> Vec<String> {
    sqlx::query_scalar("select content from search_similar_chunks($1, $2, null, 5, $3)")
        .bind(Vector::from(vector(query, model)))
        .bind(user)
        .bind(&model.name)
        .fetch_all(connection)
        .await
        .expect("an answer")
}

/// Every vector of this column is the one that the model beside it makes; how many there are, and of which models.
pub(crate) async fn vectors(stack: &Stack, column: &str) -> (usize, Vec<String>) {
    let query = format!(
        "select coalesce(metadata ->> 'prefix', '') || content, {column}, {column}_model
         from document_chunks where {column} is not null"
    );
    // On a new connection: a prepared one fails once, since its result has another type after a swap.
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(&mut stack.admin().await)
        .await
        .expect("vectors");
    let mut models = Vec::new();
    for row in &rows {
        let (text, found, name): (String, Vector, String) = (row.get(0), row.get(1), row.get(2));
        let model = Model {
            dimensions: i32::try_from(found.as_slice().len()).expect("a short vector"),
            name: name.clone(),
        };
        let likeness = cosine(found.as_slice(), &vector(&text, &model));
        assert!((likeness - 1.0).abs() < CLOSE, "{model:?}: {text:?}");
        if !models.contains(&name) {
            models.push(name);
        }
    }
    (rows.len(), models)
}

fn vector(text: &str, model: &Model) -> Vec<f32> {
    lexical::vector(text, &model.name, model.dimensions.unsigned_abs() as usize)
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        let pairs = one.iter().zip(other);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}
