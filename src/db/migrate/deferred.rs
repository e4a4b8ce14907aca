//! The indexes and checks of large tables: each a statement of its own, which holds up nobody.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{MigrateError, Report, Step};

/// Makes what the files left in `orion_ingest.deferred`, each statement by itself, and strikes it off.
pub(super) async fn build_all(
    admin: &mut PgConnection,
    report: &mut Report,
) -> Result<(), MigrateError> {
    let deferred =
        sqlx::query!("select id, name, statement from orion_ingest.deferred order by id")
            .fetch_all(&mut *admin)
            .await?;
    for entry in deferred {
        match build(admin, &entry.name, entry.statement).await {
            Ok(()) => {
                sqlx::query!("delete from orion_ingest.deferred where id = $1", entry.id)
                    .execute(&mut *admin)
                    .await?;
                report.steps.push(Step::Built { name: entry.name });
            }
            Err(error) if error.as_database_error().is_some() => report.steps.push(Step::Left {
                name: entry.name,
                reason: error.to_string(),
            }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn build(admin: &mut PgConnection, name: &str, statement: String) -> Result<(), sqlx::Error> {
    // What an interrupted build leaves has the name, and answers nothing.
    let broken = sqlx::query_scalar!(
        r#"select format('drop index concurrently %s', i.indexrelid::regclass) as "statement!"
           from pg_index i join pg_class c on c.oid = i.indexrelid
           where c.relname = $1 and c.relnamespace = 'public'::regnamespace and not i.indisvalid"#,
        name
    )
    .fetch_optional(&mut *admin)
    .await?;
    if let Some(removal) = broken {
        sqlx::raw_sql(AssertSqlSafe(removal))
            .execute(&mut *admin)
            .await?;
    }
    // A concurrent build waits for old transactions and holds up nobody; all else holds up whoever comes after it.
    let lock_timeout = if statement.contains(" concurrently ") {
        "0"
    } else {
        "2s"
    };
    sqlx::raw_sql(AssertSqlSafe(format!(
        "set lock_timeout = '{lock_timeout}'"
    )))
    .execute(&mut *admin)
    .await?;
    let built = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut *admin)
        .await;
    sqlx::raw_sql("reset lock_timeout").execute(admin).await?;
    built.map(drop)
}
