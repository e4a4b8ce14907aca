//! What somebody with a password for `anon` and `authenticated`, and any SQL at all, gets from others: nothing.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use url::Url;

use super::{ADA, BOB, EVE, attempt, database, row, rows, run, vector};
use crate::stack::Stack;

/// Refused for want of a right, or by a policy.
const DENIED: &str = "42501";
/// Allowed and without any effect: there is no row for the caller.
const NOTHING: &str = "0 rows";

/// Statements of Ada's, and what comes of each; `ADA` and `BOB` stand for ids, of people and of a file of each.
const ATTACKS: &[(&str, &str)] = &[
    // Files: one's own to add, rename, ask for again and delete.
    (
        "insert into files (user_id, original_name, storage_path, mime_type, file_size) values ('BOB', 'x', 'BOB/x', 'text/plain', 1)",
        DENIED,
    ),
    (
        "insert into files (user_id, original_name, storage_path, mime_type, file_size, processing_status) values ('ADA', 'x', 'ADA/x', 'text/plain', 1, 'completed')",
        DENIED,
    ),
    (
        "insert into files (id, user_id, original_name, storage_path, mime_type, file_size) values ('BOB', 'ADA', 'x', 'ADA/x', 'text/plain', 1) on conflict (id) do update set original_name = 'y'",
        DENIED,
    ),
    (
        "update files set original_name = 'y' where user_id = 'BOB'",
        NOTHING,
    ),
    (
        "update files set processing_status = 'pending' where user_id = 'BOB'",
        NOTHING,
    ),
    ("update files set processing_status = 'completed'", DENIED),
    ("update files set processing_status = 'processing'", DENIED),
    ("update files set user_id = 'BOB'", DENIED),
    ("update files set storage_path = 'BOB/secret.txt'", DENIED),
    ("delete from files where user_id = 'BOB'", NOTHING),
    (
        "select from files where user_id = 'BOB' for update",
        NOTHING,
    ),
    (
        "merge into files f using (select 'BOB'::uuid as id) s on f.id = s.id when matched then delete",
        NOTHING,
    ),
    (
        "copy files (user_id, original_name, storage_path, mime_type, file_size) from program 'true'",
        DENIED,
    ),
    ("copy files to program 'cat'", DENIED),
    ("truncate files", DENIED),
    ("truncate document_chunks", DENIED),
    ("truncate user_profiles cascade", DENIED),
    // Chunks are read.
    (
        "insert into document_chunks (user_id, file_id, content, chunk_index) values ('ADA', 'ADA', 'x', 0)",
        DENIED,
    ),
    ("update document_chunks set content = 'x'", DENIED),
    ("update document_chunks set user_id = 'ADA'", DENIED),
    ("delete from document_chunks", DENIED),
    ("select from document_chunks where user_id = 'BOB'", NOTHING),
    // Money.
    ("update user_profiles set role = 'admin'", DENIED),
    (
        "update user_profiles set monthly_token_quota = null, monthly_cost_quota_usd = null",
        DENIED,
    ),
    (
        "update user_profiles set total_tokens_used = 0, total_cost_usd = 0",
        DENIED,
    ),
    (
        "update user_profiles set display_name = 'x' where id = 'BOB'",
        NOTHING,
    ),
    (
        "insert into usage_logs (user_id, action, tokens_used) values ('BOB', 'embedding', 1000000)",
        DENIED,
    ),
    ("delete from usage_logs", DENIED),
    ("update messages set embedding = null", DENIED),
    ("update messages set embedding_model = 'x'", DENIED),
    ("update conversations set user_id = 'BOB'", DENIED),
    // What is the worker's alone.
    ("select from orion_ingest.stashed_vectors", DENIED),
    (
        "insert into orion_ingest.stashed_vectors (file_id, user_id, model, dimensions, content_sha256, embedding) values ('ADA', 'BOB', 'm', 1, sha256('x'), '[1]')",
        DENIED,
    ),
    (
        "update orion_ingest.turns set turn_at = '-infinity' where user_id = 'ADA'",
        DENIED,
    ),
    (
        "update orion_ingest.tenants set turn_at = '-infinity' where user_id = 'ADA'",
        DENIED,
    ),
    (
        "update orion_ingest.provider_budgets set paused_until = 'infinity'",
        DENIED,
    ),
    ("delete from orion_ingest.embedding_requests", DENIED),
    ("update orion_ingest.active_models set model = 'x'", DENIED),
    (
        "insert into orion_ingest.deferred (name, statement) values ('x', 'alter role authenticated superuser')",
        DENIED,
    ),
    ("delete from orion_ingest.migrations", DENIED),
    // Search.
    ("select from search_similar_chunks(VECTOR, 'BOB')", NOTHING),
    ("select from search_similar_chunks(VECTOR, null)", NOTHING),
    ("select from search_similar_chunks(null, 'BOB')", NOTHING),
    (
        "select from search_similar_chunks(VECTOR, 'BOB', '-infinity', 2147483647)",
        NOTHING,
    ),
    (
        "select from search_similar_chunks(VECTOR, 'BOB', 'nan', -1)",
        NOTHING,
    ),
    (
        "select from search_similar_messages(VECTOR, 'BOB', 'BOB')",
        NOTHING,
    ),
    ("select from search_similar_messages(VECTOR, null)", NOTHING),
    (
        "select from search_similar_messages(VECTOR, 'ADA', 'BOB')",
        NOTHING,
    ),
    // Views.
    (
        "select from user_activity_summary where user_id <> 'ADA'",
        NOTHING,
    ),
    ("select from performance_stats", NOTHING),
    // Objects, and whose they are.
    (
        "select from storage.objects where name like 'BOB/%'",
        NOTHING,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('documents', 'BOB/x')",
        DENIED,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('documents', 'x')",
        DENIED,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('documents', '/ADA/x')",
        DENIED,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('documents', '../ADA/x')",
        DENIED,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('documents', upper('ADA') || '/x')",
        DENIED,
    ),
    (
        "insert into storage.objects (bucket_id, name) values ('backups', 'ADA/x')",
        DENIED,
    ),
    (
        "update storage.objects set name = 'BOB/mine.txt' where name = 'ADA/mine.txt'",
        DENIED,
    ),
    (
        "update storage.objects set bucket_id = 'backups' where name = 'ADA/mine.txt'",
        DENIED,
    ),
    (
        "update storage.objects set owner_id = 'ADA' where name = 'BOB/secret.txt'",
        NOTHING,
    ),
    (
        "delete from storage.objects where name = 'BOB/secret.txt'",
        NOTHING,
    ),
    ("update storage.buckets set public = true", DENIED),
    // Other ways to more rights.
    ("create table public.mine (id int)", DENIED),
    (
        "create function public.mine() returns int language sql as 'select 1'",
        DENIED,
    ),
    (
        "create function orion_ingest.mine() returns int language sql as 'select 1'",
        DENIED,
    ),
    (
        "create operator public.<=> (leftarg = int, rightarg = int, function = int4mi)",
        DENIED,
    ),
    (
        "create trigger mine before insert on files for each row execute function suppress_redundant_updates_trigger()",
        DENIED,
    ),
    ("alter table files disable row level security", DENIED),
    ("drop policy \"Users can view own files\" on files", DENIED),
    ("alter function public.is_admin() owner to attacker", DENIED),
    ("grant select on files to anon", NOTHING),
    ("set role orion_ingest", DENIED),
    ("set role service_role", DENIED),
    ("set session authorization postgres", DENIED),
    ("alter role authenticated bypassrls", DENIED),
];

/// Somebody who may be `anon` and `authenticated`, as the API may, and nobody else.
async fn attacker(stack: &Stack, admin: &mut PgConnection) -> PgConnection {
    run(
        admin,
        "do $$ begin
             create role attacker login noinherit password 'guessed' in role anon, authenticated;
         exception when duplicate_object or unique_violation then null;
         end $$",
    )
    .await;
    let mut url = Url::parse(stack.database_url().expose_secret()).unwrap();
    url.set_username("attacker").unwrap();
    url.set_password(Some("guessed")).unwrap();
    let url = SecretString::from(url.to_string());
    PgConnection::connect(url.expose_secret()).await.unwrap()
}

/// Starts a transaction as the role, with Ada's token.
async fn begin(attacker: &mut PgConnection, role: &str) {
    let claims = match role {
        "anon" => "{}".to_owned(),
        _ => format!(r#"{{"sub": "{ADA}", "role": "{role}"}}"#),
    };
    let start = format!("begin; set local role {role}; set local request.jwt.claims = '{claims}'");
    run(attacker, &start).await;
}

/// What comes of a statement that is rolled back.
async fn outcome(attacker: &mut PgConnection, role: &str, statement: &str) -> String {
    begin(attacker, role).await;
    let outcome = attempt(attacker, statement).await;
    run(attacker, "rollback").await;
    outcome.map_or_else(|code| code, |touched| format!("{touched} rows"))
}

/// A file with a chunk and an object of each, and a conversation.
async fn belongings(admin: &mut PgConnection) {
    for me in [ADA, BOB] {
        run(
            admin,
            &format!(
                "insert into conversations (id, user_id) values ('{me}', '{me}');
                 insert into messages (user_id, conversation_id, role, content, embedding)
                     values ('{me}', '{me}', 'user', 'x', {v});
                 insert into files (id, user_id, original_name, storage_path, mime_type, file_size, processing_status)
                     values ('{me}', '{me}', 'x', '{me}/x', 'text/plain', 1, 'failed');
                 insert into document_chunks (user_id, file_id, content, chunk_index, embedding)
                     values ('{me}', '{me}', 'x', 0, {v});
                 insert into usage_logs (user_id, action) values ('{me}', 'embedding');
                 insert into storage.objects (bucket_id, name, owner_id)
                     values ('documents', '{me}/mine.txt', '{me}'), ('documents', '{me}/secret.txt', '{me}')",
                v = vector(0, 0.0)
            ),
        )
        .await;
    }
    run(
        admin,
        "insert into storage.buckets (id, name) values ('backups', 'backups')",
    )
    .await;
}

#[tokio::test]
async fn no_statement_of_a_users_reaches_what_is_not_theirs() {
    let (stack, mut admin) = database().await;
    belongings(&mut admin).await;
    let mut attacker = attacker(&stack, &mut admin).await;
    let mut wrong = Vec::new();
    for (statement, expected) in ATTACKS {
        let statement = statement
            .replace("ADA", ADA)
            .replace("BOB", BOB)
            .replace("VECTOR", &vector(0, 0.0));
        let found = outcome(&mut attacker, "authenticated", &statement).await;
        if found != *expected {
            wrong.push(format!("{statement}: {found}, not {expected}"));
        }
        let found = outcome(&mut attacker, "anon", &statement).await;
        if found != DENIED {
            wrong.push(format!("{statement} by nobody: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What may be called, of all our functions.
const CALLABLE: [&str; 7] = [
    "active_embedding_model",
    "check_query_embedding",
    "is_admin",
    "search_effort",
    "search_similar_chunks",
    "search_similar_messages",
    "searchable_chunks",
];

#[tokio::test]
async fn no_function_but_those_of_the_search_is_a_users_to_call() {
    let (stack, mut admin) = database().await;
    let mut attacker = attacker(&stack, &mut admin).await;
    let calls = rows(
        &mut admin,
        "select format('%s=select %I.%I(%s)', p.proname, n.nspname, p.proname,
                       (select string_agg('null::' || format_type(t, null), ', ') from unnest(p.proargtypes) t))
         from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('public', 'orion_ingest')
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')",
    )
    .await;
    assert!(calls.len() > 30, "{calls:?}");
    for call in calls {
        let (name, call) = call.trim_matches('"').split_once('=').unwrap();
        for role in ["authenticated", "anon"] {
            let found = outcome(&mut attacker, role, call).await;
            let may = role == "authenticated" && CALLABLE.contains(&name);
            assert_eq!(found != DENIED, may, "{call} as {role}: {found}");
        }
    }
}

/// Columns that a user may set when adding a row, and later.
const WRITABLE: [(&str, &[&str], &[&str]); 4] = [
    (
        "files",
        &[
            "conversation_id",
            "file_size",
            "id",
            "mime_type",
            "original_name",
            "storage_path",
            "user_id",
        ],
        &["original_name", "processing_status"],
    ),
    ("document_chunks", &[], &[]),
    ("usage_logs", &[], &[]),
    (
        "user_profiles",
        &[],
        &[
            "avatar_url",
            "display_name",
            "preferred_model_name",
            "preferred_model_provider",
        ],
    ),
];

#[tokio::test]
async fn no_column_of_the_workers_is_a_users_to_write() {
    let (stack, mut admin) = database().await;
    belongings(&mut admin).await;
    let mut attacker = attacker(&stack, &mut admin).await;
    for (table, on_insert, on_update) in WRITABLE {
        let columns = rows(
            &mut admin,
            &format!(
                "select attname from pg_attribute
                 where attrelid = 'public.{table}'::regclass and attnum > 0 and not attisdropped"
            ),
        )
        .await;
        for column in &columns {
            for (statement, writable) in [
                (format!("update {table} set {column} = {column}"), on_update),
                (
                    format!("insert into {table} ({column}) values (default)"),
                    on_insert,
                ),
            ] {
                let found = outcome(&mut attacker, "authenticated", &statement).await;
                let may = writable.contains(&column.as_str());
                // A row without its owner, say, is refused by other rules than those of rights.
                let refused = found == DENIED && !is_policy(&mut attacker, &statement).await;
                assert_eq!(!refused, may, "{statement}: {found}");
                let found = outcome(&mut attacker, "anon", &statement).await;
                assert_eq!(found, DENIED, "{statement} by nobody");
            }
        }
    }
}

/// Whether a refusal is a policy's, which has the code of a missing right.
async fn is_policy(attacker: &mut PgConnection, statement: &str) -> bool {
    begin(attacker, "authenticated").await;
    let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut *attacker)
        .await
        .unwrap_err();
    run(attacker, "rollback").await;
    error.to_string().contains("row-level security")
}

/// Types of the attacker's own that have the names of the system's, each with a check that would make Ada an admin.
const DISGUISES: &str = "
    create function pg_temp.seize() returns boolean language plpgsql as $$
    begin
        update public.user_profiles set role = 'admin' where id = 'ADA';
        return true;
    exception when insufficient_privilege then
        return true;
    end $$;
    create domain pg_temp.text as pg_catalog.text check (pg_temp.seize());
    create domain pg_temp.uuid as pg_catalog.uuid check (pg_temp.seize());
    create domain pg_temp.timestamptz as pg_catalog.timestamptz check (pg_temp.seize());
    create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.seize());
    create domain pg_temp.tid as pg_catalog.tid check (pg_temp.seize());
";

#[tokio::test]
async fn types_in_disguise_run_nothing_with_the_owners_rights() {
    let (stack, mut admin) = database().await;
    belongings(&mut admin).await;
    for statement in [
        "select public.is_admin()",
        "insert into public.files (user_id, original_name, storage_path, mime_type, file_size)
             values ('ADA', 'x', 'ADA/x', 'text/plain', 1)",
        "update public.files set processing_status = 'pending'",
        "select from public.active_embedding_model('chunks')",
        "select from public.user_activity_summary",
    ] {
        let mut attacker = attacker(&stack, &mut admin).await;
        begin(&mut attacker, "authenticated").await;
        run(&mut attacker, &DISGUISES.replace("ADA", ADA)).await;
        run(&mut attacker, &statement.replace("ADA", ADA)).await;
        run(&mut attacker, "commit").await;
        let role = row(
            &mut admin,
            &format!("select role from user_profiles where id = '{ADA}'"),
        )
        .await;
        assert_eq!(role, "user", "{statement}");
    }
}

#[tokio::test]
async fn a_status_is_guarded_whatever_types_are_in_disguise() {
    let (stack, mut admin) = database().await;
    belongings(&mut admin).await;
    let mut attacker = attacker(&stack, &mut admin).await;
    begin(&mut attacker, "authenticated").await;
    // A table of the attacker's own, all of whose columns they may write, is taken for `files`.
    run(
        &mut attacker,
        "create temp table mine (chunk_count int);
         create type pg_temp.regclass as enum ('public.files');
         create function pg_temp.mine(pg_temp.regclass) returns oid language sql as
             'select ''pg_temp.mine''::pg_catalog.regclass::oid';
         create cast (pg_temp.regclass as oid) with function pg_temp.mine(pg_temp.regclass) as implicit",
    )
    .await;
    let outcome = attempt(
        &mut attacker,
        "update public.files set processing_status = 'completed'",
    )
    .await;
    assert_eq!(outcome, Err(DENIED.into()));
}

#[tokio::test]
async fn every_function_of_ours_looks_into_temporary_schemas_last() {
    let (_stack, mut admin) = database().await;
    let careless = rows(
        &mut admin,
        "select p.oid::regprocedure, p.proconfig from pg_proc p
         where p.pronamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
           and not exists (select from unnest(p.proconfig) c where c ~ '^search_path=.*, pg_temp$')",
    )
    .await;
    assert_eq!(careless, Vec::<String>::new());
}

#[tokio::test]
async fn an_admin_reads_everybodys_rows_and_writes_nobodys() {
    let (stack, mut admin) = database().await;
    belongings(&mut admin).await;
    let mut attacker = attacker(&stack, &mut admin).await;
    let claims = format!(r#"{{"sub": "{EVE}", "role": "authenticated"}}"#);
    for (statement, expected) in [
        ("update files set processing_status = 'pending'", Ok(0)),
        ("update files set processing_status = 'completed'", Ok(0)),
        ("delete from files", Ok(0)),
        ("delete from document_chunks", Err(DENIED.into())),
        (
            "update user_profiles set role = 'admin'",
            Err(DENIED.into()),
        ),
        (
            "select from orion_ingest.stashed_vectors",
            Err(DENIED.into()),
        ),
    ] {
        let start = format!(
            "begin; set local role authenticated; set local request.jwt.claims = '{claims}'"
        );
        run(&mut attacker, &start).await;
        let outcome = attempt(&mut attacker, statement).await;
        run(&mut attacker, "rollback").await;
        assert_eq!(outcome, expected, "{statement}");
    }
}
