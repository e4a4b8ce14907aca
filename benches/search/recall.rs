//! What a search finds of what it should, and how long that takes.

use std::time::Duration;

use anyhow::Context as _;
use pgvector::Vector;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{library::Tenant, vectors::Space};

/// How many hits are asked for.
const HITS: usize = 5;

/// A question of a tenant, and the ids of the best answers there are.
pub(crate) struct Question {
    user: Uuid,
    vector: Vector,
    best: Vec<Uuid>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    /// The worker's role, which may read everybody's rows.
    Worker,
    /// A person, for whom the policies are applied to every row.
    Person,
}

/// Answers to questions.
#[derive(Default)]
pub(crate) struct Answers {
    found: usize,
    best: usize,
    took: Vec<Duration>,
}

impl Answers {
    /// Of the best answers, the share that was found.
    pub(crate) fn recall(&self) -> f64 {
        self.found as f64 / self.best as f64
    }

    /// In milliseconds: the time that so many percent did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut took = self.took.clone();
        took.sort_unstable();
        let time = took.get(took.len() * percent / 100);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// Makes up questions about the tenants' own chunks, with the best answers of a scan of all rows.
pub(crate) async fn questions(
    admin: &mut PgConnection,
    space: &mut Space,
    tenants: &[Tenant],
    count: usize,
) -> anyhow::Result<Vec<Question>> {
    let mut questions = Vec::new();
    for tenant in tenants.iter().cycle().take(count) {
        let nth = i64::try_from(space.chance().below(tenant.chunks))?;
        let chunk: Vector = sqlx::query_scalar(
            "select embedding from document_chunks where user_id = $1 order by id limit 1 offset $2",
        )
        .bind(tenant.user)
        .bind(nth)
        .fetch_one(&mut *admin)
        .await?;
        let vector = Vector::from(space.question(chunk.as_slice()));
        let best = sqlx::query_scalar(
            "select id from document_chunks where user_id = $1
             order by (embedding <=> $2) + 0 limit $3", // no index has this order
        )
        .bind(tenant.user)
        .bind(&vector)
        .bind(i64::try_from(HITS)?)
        .fetch_all(&mut *admin)
        .await?;
        questions.push(Question {
            user: tenant.user,
            vector,
            best,
        });
    }
    Ok(questions)
}

/// Asks them one after the other, on a connection that has asked before.
pub(crate) async fn ask(
    admin: &mut PgConnection,
    questions: &[Question],
    caller: Caller,
) -> anyhow::Result<Answers> {
    let first = questions.first().context("no questions")?;
    search(admin, first, caller).await?;
    let mut answers = Answers::default();
    for question in questions {
        let (found, took) = search(admin, question, caller).await?;
        answers.best += question.best.len();
        answers.found += found
            .iter()
            .filter(|hit| question.best.contains(hit))
            .count();
        answers.took.push(took);
    }
    Ok(answers)
}

async fn search(
    admin: &mut PgConnection,
    question: &Question,
    caller: Caller,
) -> anyhow::Result<(Vec<Uuid>, Duration)> {
    let mut tx = admin.begin().await?;
    let role = match caller {
        Caller::Worker => "orion_ingest",
        Caller::Person => "authenticated",
    };
    sqlx::query(
        "select set_config('role', $1, true), set_config('request.jwt.claim.sub', $2, true)",
    )
    .bind(role)
    .bind(question.user.to_string())
    .execute(&mut *tx)
    .await?;
    let began = Instant::now();
    let found = sqlx::query_scalar(
        "select id from search_similar_chunks($1, $2, match_count => $3, query_model => 'text-embedding-3-small')",
    )
    .bind(&question.vector)
    .bind(question.user)
    .bind(i32::try_from(HITS)?)
    .fetch_all(&mut *tx)
    .await?;
    let took = began.elapsed();
    tx.rollback().await?;
    Ok((found, took))
}
