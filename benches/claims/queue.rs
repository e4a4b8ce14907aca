//! The queue, as its owner fills and mends it.

use sqlx::PgConnection;

use crate::servers::Servers;

/// The owner's connection.
pub(crate) struct Queue(PgConnection);

impl Queue {
    pub(crate) async fn of(servers: &Servers) -> anyhow::Result<Self> {
        Ok(Self(servers.admin().await?))
    }

    /// Puts so many files of so many tenants into an empty queue, due a millisecond after one another. The trigger
    /// gives the tenants their turns.
    pub(crate) async fn fill(&mut self, rows: usize, tenants: usize) -> anyhow::Result<()> {
        self.run("truncate files, orion_ingest.tenants cascade; delete from auth.users")
            .await?;
        sqlx::query(
            "insert into auth.users (id, email)
             select gen_random_uuid(), format('tenant-%s@example.com', n) from generate_series(1, $1) n",
        )
        .bind(i64::try_from(tenants)?)
        .execute(&mut self.0)
        .await?;
        sqlx::query(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size, due_at)
             select t.id, format('note-%s.txt', n), format('%s/%s', t.id, n), 'text/plain', 1000,
                 now() - make_interval(secs => ($1 - n) * 0.001)
             from generate_series(1, $1) n
             join (select id, row_number() over () - 1 as place from user_profiles) t on t.place = n % $2
             order by n",
        )
        .bind(i64::try_from(rows)?)
        .bind(i64::try_from(tenants)?)
        .execute(&mut self.0)
        .await?;
        self.tidy().await
    }

    /// Removes what was left dead, so that every cell begins alike.
    pub(crate) async fn tidy(&mut self) -> anyhow::Result<()> {
        self.run("vacuum analyze files").await?;
        self.run("vacuum analyze orion_ingest.turns").await
    }

    /// Ends every lease. The trigger gives the tenants their turns again.
    pub(crate) async fn give_back(&mut self) -> anyhow::Result<()> {
        self.run(
            "update files set processing_status = 'pending', lease_token = null, due_at = now() - interval '1 hour'
             where lease_token is not null",
        )
        .await
    }

    /// Completes every leased file.
    pub(crate) async fn complete(&mut self) -> anyhow::Result<()> {
        self.run(
            "update files set processing_status = 'completed', lease_token = null
             where processing_status in ('pending', 'processing') and lease_token is not null",
        )
        .await
    }

    /// Keeps every row that is there from now on, dead or not, until this connection is closed.
    pub(crate) async fn take_snapshot(&mut self) -> anyhow::Result<()> {
        self.run("begin isolation level repeatable read; select count(*) from orion_ingest.turns")
            .await
    }

    async fn run(&mut self, statements: &'static str) -> anyhow::Result<()> {
        sqlx::raw_sql(statements).execute(&mut self.0).await?;
        Ok(())
    }
}
