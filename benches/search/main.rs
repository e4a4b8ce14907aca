//! What a search finds, how long it takes, and what its index costs:
//! `cargo bench --bench search -- [--chunks N] [--tenants N] [--questions N] [--hnsw]`.
//!
//! Fills an embedded Postgres with chunks of tenants of very different sizes and asks `search_similar_chunks` for the
//! five nearest: with the index as `migrate` makes it before the first row comes, as `reindex` makes it, and with
//! `--hnsw` as the other kind. What is found is compared with a scan of all of the tenant's rows.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the environment, and writes rows that the program never writes"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod library;
mod recall;
#[path = "../throughput/servers.rs"]
mod servers;
mod vectors;

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use clap::Parser;
use sqlx::PgConnection;
use tokio::time::Instant;

use self::{
    library::Tenant,
    recall::{Caller, Question},
    servers::Servers,
    vectors::Space,
};

/// What a search finds, how long it takes, and what its index costs.
#[derive(Parser)]
struct Plan {
    /// Chunks of all tenants.
    #[arg(long, default_value_t = 100_000)]
    chunks: usize,
    /// Whose they are.
    #[arg(long, default_value_t = 1_000)]
    tenants: usize,
    /// Questions of tenants of about one size.
    #[arg(long, default_value_t = 100)]
    questions: usize,
    /// With the other kind of index, too.
    #[arg(long)]
    hnsw: bool,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Tenants of about one size, and what they ask.
struct Class {
    name: String,
    questions: Vec<Question>,
}

struct Bench {
    admin: PgConnection,
    space: Space,
    classes: Vec<Class>,
    /// Whose chunks are added to see what that costs.
    writer: Tenant,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let servers = Servers::start().await?;
        plan.run(&servers).await?;
        servers.stop().await
    })
}

impl Plan {
    async fn run(&self, servers: &Servers) -> anyhow::Result<()> {
        let mut bench = Bench::fill(self, servers).await?;
        bench.measure("IVFFlat, made before the rows").await?;
        let began = Instant::now();
        let reindexed = servers.command(&["reindex"]).status()?;
        ensure!(reindexed.success(), "the reindex fails");
        let took = began.elapsed();
        writeln!(
            io::stdout(),
            "\nreindex: {:.1} s of wall",
            took.as_secs_f64()
        )?;
        bench.measure("IVFFlat, after reindex").await?;
        bench
            .run("drop index idx_document_chunks_embedding")
            .await?;
        bench.print_insert("no index of vectors").await?;
        if self.hnsw {
            let began = Instant::now();
            bench
                .run(
                    "set maintenance_work_mem = '1GB';
                     create index idx_document_chunks_embedding on document_chunks using hnsw (embedding vector_cosine_ops)",
                )
                .await?;
            let took = began.elapsed();
            writeln!(
                io::stdout(),
                "\nHNSW, built: {:.1} s of wall",
                took.as_secs_f64()
            )?;
            bench.measure("HNSW").await?;
        }
        Ok(())
    }
}

impl Bench {
    async fn fill(plan: &Plan, servers: &Servers) -> anyhow::Result<Self> {
        let mut admin = servers.admin().await?;
        let mut space = Space::new();
        let tenants = library::fill(&mut admin, &mut space, plan.chunks, plan.tenants).await?;
        let mut classes = Vec::new();
        let of_rank = |from: usize, to: usize| tenants.get(from..to.min(tenants.len()));
        // By rank: each of the two largest, the next eight, the next ninety, and the smaller half.
        for tenants in [
            of_rank(0, 1),
            of_rank(1, 2),
            of_rank(2, 10),
            of_rank(10, 100),
            of_rank(plan.tenants / 2, usize::MAX),
        ]
        .into_iter()
        .flatten()
        .filter(|tenants| !tenants.is_empty())
        {
            let largest = tenants.first().map_or(0, |tenant| tenant.chunks);
            let smallest = tenants.last().map_or(0, |tenant| tenant.chunks);
            let asked = recall::questions(&mut admin, &mut space, tenants, plan.questions);
            classes.push(Class {
                name: format!("{smallest} to {largest}"),
                questions: asked.await?,
            });
        }
        // One who asks nothing, since what is added would change the best answers.
        let writers = library::fill(&mut admin, &mut space, 1, 1).await?;
        let writer = *writers.first().context("no writer")?;
        Ok(Self {
            admin,
            space,
            classes,
            writer,
        })
    }

    /// Prints what is found, how fast, and what an insert costs, with the index that there is.
    async fn measure(&mut self, index: &str) -> anyhow::Result<()> {
        let size: i64 =
            sqlx::query_scalar("select pg_relation_size('idx_document_chunks_embedding')")
                .fetch_one(&mut self.admin)
                .await?;
        writeln!(
            io::stdout(),
            "\n{index}, {:.0} MB\n{:>16} {:>8} {:>10} {:>10} {:>12} {:>10}",
            size as f64 / 1e6,
            "chunks of tenant",
            "recall",
            "worker, ms",
            "p95, ms",
            "person, ms",
            "p95, ms"
        )?;
        for Class { name, questions } in &self.classes {
            let worker = recall::ask(&mut self.admin, questions, Caller::Worker).await?;
            let person = recall::ask(&mut self.admin, questions, Caller::Person).await?;
            writeln!(
                io::stdout(),
                "{name:>16} {:>8.4} {:>10.1} {:>10.1} {:>12.1} {:>10.1}",
                worker.recall().min(person.recall()),
                worker.percentile(50),
                worker.percentile(95),
                person.percentile(50),
                person.percentile(95),
            )?;
        }
        self.print_insert(index).await
    }

    async fn print_insert(&mut self, index: &str) -> anyhow::Result<()> {
        let cost = library::cost_of_row(&mut self.admin, &mut self.space, self.writer).await?;
        let milliseconds = cost.as_secs_f64() * 1e3;
        writeln!(
            io::stdout(),
            "a row inserted, {index}: {milliseconds:.3} ms"
        )?;
        Ok(())
    }

    async fn run(&mut self, statements: &'static str) -> anyhow::Result<()> {
        sqlx::raw_sql(statements).execute(&mut self.admin).await?;
        Ok(())
    }
}
