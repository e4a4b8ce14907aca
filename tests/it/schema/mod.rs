//! The database by itself: what the migrations make of it, who may do what, and what its functions promise.

mod attacks;
mod claims;
mod functions;
mod migrations;
mod rights;
mod search;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgTransaction, Row as _};

use crate::stack::Stack;

const ADA: &str = "00000000-0000-0000-0000-00000000000a";
const BOB: &str = "00000000-0000-0000-0000-00000000000b";
const EVE: &str = "00000000-0000-0000-0000-00000000000e";

/// Who acts: a role, and the person whose token the API would pass on.
#[derive(Clone, Copy, Debug)]
struct Caller {
    role: &'static str,
    person: Option<&'static str>,
}

const ANON: Caller = Caller {
    role: "anon",
    person: None,
};
const SERVICE: Caller = Caller {
    role: "service_role",
    person: None,
};
const WORKER: Caller = Caller {
    role: "orion_ingest",
    person: None,
};

const fn person(id: &'static str) -> Caller {
    Caller {
        role: "authenticated",
        person: Some(id),
    }
}

/// A migrated database with Ada and Bob, who are users, and Eve, who is an admin.
async fn database() -> (Stack, PgConnection) {
    let stack = Stack::new().await;
    let mut admin = stack.admin().await;
    run(
        &mut admin,
        &format!(
            "insert into auth.users (id, email) values
                 ('{ADA}', 'ada@example.com'), ('{BOB}', 'bob@example.com'), ('{EVE}', 'eve@example.com');
             update user_profiles set role = 'admin' where id = '{EVE}'"
        ),
    )
    .await;
    (stack, admin)
}

/// Starts a transaction as the caller.
async fn acting(connection: &mut PgConnection, caller: Caller) -> PgTransaction<'_> {
    let mut tx = connection.begin().await.expect("a transaction");
    let claims = caller.person.map_or_else(String::new, |id| {
        format!(r#"{{"sub": "{id}", "role": "{}"}}"#, caller.role)
    });
    run(
        &mut tx,
        &format!(
            "set local role {}; set local request.jwt.claims = '{claims}'",
            caller.role
        ),
    )
    .await;
    tx
}

/// Runs statements; gives the number of rows that the last one touched, or the error's code.
async fn attempt(connection: &mut PgConnection, sql: &str) -> Result<u64, String> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|error| {
            let error = error
                .into_database_error()
                .expect("the database's own error");
            error.code().expect("a code").into_owned()
        })
}

/// Runs statements that must work.
async fn run(connection: &mut PgConnection, sql: &str) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .rows_affected()
}

/// The rows of a query, each as Postgres writes a row, without the parentheses.
async fn rows(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let query = format!("select t::text from ({query}) t");
    sqlx::raw_sql(AssertSqlSafe(query.as_str()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .iter()
        .map(|row| {
            let row: String = row.get(0);
            row[1..row.len() - 1].to_owned()
        })
        .collect()
}

/// The one row of a query.
async fn row(connection: &mut PgConnection, query: &str) -> String {
    let mut rows = rows(connection, query).await;
    assert_eq!(rows.len(), 1, "{query}");
    rows.remove(0)
}

/// SQL for a vector that points along one axis and a little along the next.
fn vector(axis: usize, lean: f32) -> String {
    let mut elements = vec!["0".to_owned(); 1536];
    elements[axis] = "1".into();
    elements[axis + 1] = lean.to_string();
    format!("'[{}]'::vector", elements.join(","))
}
