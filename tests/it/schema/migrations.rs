//! `migrate`: on nothing, twice, after psql, beside Supabase, on a live database, and where it must refuse.

use orion_ingest::db::migrate::{MigrateError, Report, Step, migrate};
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{ADA, BOB, WORKER, acting, database, person, row, rows, run, vector};
use crate::stack::Stack;

const FIRST: &str = include_str!("../../../migrations/001_initial_schema.sql");
const SECOND: &str = include_str!("../../../migrations/002_ingestion.sql");
const THIRD: &str = include_str!("../../../migrations/003_formats.sql");
const FOURTH: &str = include_str!("../../../migrations/004_budgets.sql");
const FIFTH: &str = include_str!("../../../migrations/005_search.sql");
const SIXTH: &str = include_str!("../../../migrations/006_turns.sql");
const SEVENTH: &str = include_str!("../../../migrations/007_hardening.sql");
const EIGHTH: &str = include_str!("../../../migrations/008_reembedding.sql");

/// A database without anything in it, beside the stack's own.
async fn blank(stack: &Stack) -> PgConnection {
    let mut admin = stack.admin().await;
    let name = format!(
        "{}_blank",
        row(&mut admin, "select current_database()").await
    );
    run(&mut admin, &format!("create database {name}")).await;
    connect(stack, &name).await
}

async fn connect(stack: &Stack, database: &str) -> PgConnection {
    let mut url = url::Url::parse(stack.database_admin_url().expose_secret()).expect("a URL");
    url.set_path(database);
    PgConnection::connect(url.as_str())
        .await
        .expect("a connection")
}

/// Runs a file as `psql -f` does: statement by statement, each a transaction.
async fn psql(connection: &mut PgConnection, file: &'static str) {
    for statement in statements(file) {
        sqlx::raw_sql(AssertSqlSafe(statement.as_str()))
            .execute(&mut *connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Cuts at semicolons that end a line outside of `$…$` bodies.
fn statements(file: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    for line in file.lines() {
        let statement = statements.last_mut().expect("one at least");
        statement.push_str(line);
        statement.push('\n');
        let inside = statement.matches("$$").count() % 2 == 1;
        if line.ends_with(';') && !inside {
            statements.push(String::new());
        }
    }
    statements
}

async fn migrated(connection: &mut PgConnection) -> Report {
    match migrate(connection, true).await {
        Ok(report) => report,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// Everything that the migrations are there for, as lines.
async fn picture(connection: &mut PgConnection) -> Vec<String> {
    rows(
        connection,
        "select 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text
         from pg_attribute a join pg_class c on c.oid = a.attrelid
         where attnum > 0 and not attisdropped and relkind in ('r', 'v') and relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
         union all
         select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
         from pg_constraint where connamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace) and contype <> 'n'
         union all
         select 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text
         from pg_index i join pg_class c on c.oid = i.indrelid
         where relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
         union all
         select 'policy', tablename, policyname, coalesce(qual, '') || ' / ' || coalesce(with_check, ''), cmd || roles::text
         from pg_policies
         union all
         select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled::text
         from pg_trigger where not tgisinternal
         union all
         select 'function', p.oid::regprocedure::text, '', md5(prosrc || coalesce(proconfig::text, '')), (select string_agg(a::text, ' ' order by a::text) from unnest(proacl) a)
         from pg_proc p where pronamespace = 'orion_ingest'::regnamespace
             or (pronamespace = 'public'::regnamespace and prolang <> (select oid from pg_language where lanname = 'c'))
         union all
         select 'rights', c.oid::regclass::text, '', (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a), relrowsecurity::text
         from pg_class c where relkind in ('r', 'v') and relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
         order by 1, 2, 3, 4",
    )
    .await
}

fn assert_same(before: &[String], after: &[String]) {
    let only_in = |here: &[String], there: &[String]| -> Vec<String> {
        here.iter()
            .filter(|line| !there.contains(line))
            .cloned()
            .collect()
    };
    assert_eq!(only_in(before, after), Vec::<String>::new(), "gone");
    assert_eq!(only_in(after, before), Vec::<String>::new(), "new");
}

const FILES: [&str; 8] = [
    "001_initial_schema",
    "002_ingestion",
    "003_formats",
    "004_budgets",
    "005_search",
    "006_turns",
    "007_hardening",
    "008_reembedding",
];

fn applied() -> Vec<Step> {
    let mut steps: Vec<_> = FILES.map(|file| Step::Applied { file: file.into() }).into();
    steps.push(Step::Seeded);
    steps
}

#[tokio::test]
async fn an_empty_database_is_prepared_and_repeating_it_changes_nothing() {
    let stack = Stack::new().await;
    let mut blank = blank(&stack).await;
    assert_eq!(migrated(&mut blank).await.steps, applied());
    let first = picture(&mut blank).await;

    let again = migrated(&mut blank).await;
    assert_eq!(
        again.to_string(),
        "was there 001_initial_schema\nwas there 002_ingestion\nwas there 003_formats\nwas there 004_budgets\nwas there 005_search\nwas there 006_turns\nwas there 007_hardening\nwas there 008_reembedding\nseeded    file types and sample prompts"
    );
    assert_same(&first, &picture(&mut blank).await);

    for file in [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH] {
        psql(&mut blank, file).await;
    }
    // The files themselves may be repeated.
    assert_same(&first, &picture(&mut blank).await);
    let recorded = rows(
        &mut blank,
        "select version, name from orion_ingest.migrations order by 1",
    )
    .await;
    assert_eq!(
        recorded,
        [
            "1,initial_schema",
            "2,ingestion",
            "3,formats",
            "4,budgets",
            "5,search",
            "6,turns",
            "7,hardening",
            "8,reembedding"
        ]
    );
    let elsewhere = row(
        &mut blank,
        "select to_regclass('public._sqlx_migrations') is null",
    )
    .await;
    assert_eq!(elsewhere, "t", "nothing for PostgREST to show");
}

#[tokio::test]
async fn files_that_were_applied_by_psql_are_adopted_as_they_are() {
    let stack = Stack::new().await;
    let mut blank = blank(&stack).await;
    for file in [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH] {
        psql(&mut blank, file).await;
    }
    let before = picture(&mut blank).await;
    let mut expected = applied();
    let (added, differing) = (Vec::new(), Vec::new());
    expected.insert(0, Step::Adopted { added, differing });
    assert_eq!(migrated(&mut blank).await.steps, expected);
    assert_same(&before, &picture(&mut blank).await);
}

#[tokio::test]
async fn turns_that_were_given_before_there_was_a_table_of_them_are_taken_over() {
    let stack = Stack::new().await;
    let mut blank = before_turns(&stack).await;
    run(&mut blank, &add(ADA)).await;
    psql(&mut blank, SIXTH).await;
    assert_eq!(rows(&mut blank, CLAIM).await, [ADA]);
    // Whoever repeats an earlier file has the triggers of before until this one is repeated, too.
    psql(&mut blank, SECOND).await;
    run(&mut blank, &add(BOB)).await;
    psql(&mut blank, SIXTH).await;
    assert_eq!(rows(&mut blank, CLAIM).await, [BOB]);
}

/// A database in which turns are columns of `tenants`.
async fn before_turns(stack: &Stack) -> PgConnection {
    let mut blank = blank(stack).await;
    for file in [FIRST, SECOND, THIRD, FOURTH, FIFTH] {
        psql(&mut blank, file).await;
    }
    blank
}

const CLAIM: &str =
    "select original_name from orion_ingest.claim_files(9, '1 minute', '-infinity') order by 1";

/// A person with a file.
fn add(user: &str) -> String {
    format!(
        "insert into auth.users (id) values ('{user}') on conflict do nothing;
         insert into files (user_id, original_name, storage_path, mime_type, file_size)
         values ('{user}', '{user}', 'x', 'text/plain', 1)"
    )
}

#[tokio::test]
async fn who_uploads_while_turns_get_their_table_has_a_turn_all_the_same() {
    let stack = Stack::new().await;
    let mut blank = before_turns(&stack).await;
    // One who was there before and has nothing to do, and one who comes now.
    run(&mut blank, &add(ADA)).await;
    assert_eq!(rows(&mut blank, CLAIM).await, [ADA]);
    run(&mut blank, "delete from files").await;
    let idle = "update orion_ingest.tenants set turn_at = 'infinity', head_at = 'infinity'";
    run(&mut blank, idle).await;
    let database = row(&mut blank, "select current_database()").await;
    run(&mut blank, "begin").await;
    psql(&mut blank, SIXTH).await;
    let mut uploads = tokio::task::JoinSet::new();
    for user in [ADA, BOB] {
        let mut client = connect(&stack, &database).await;
        uploads.spawn(async move { run(&mut client, &add(user)).await });
    }
    let held_up = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    let mut observer = connect(&stack, &database).await;
    while row(&mut observer, held_up).await != "2" {
        tokio::task::yield_now().await;
    }
    run(&mut blank, "commit").await;
    uploads.join_all().await;
    assert_eq!(rows(&mut blank, CLAIM).await, [ADA, BOB]);
    // And what was written by the functions of before does not stand in the way of what comes next.
    run(&mut blank, "delete from files").await;
    for user in [ADA, BOB] {
        run(&mut blank, &add(user)).await;
    }
    assert_eq!(rows(&mut blank, CLAIM).await, [ADA, BOB]);
}

#[tokio::test]
async fn types_that_can_be_read_now_are_switched_on_unless_somebody_chose_otherwise() {
    let stack = Stack::new().await;
    let mut blank = blank(&stack).await;
    psql(&mut blank, FIRST).await;
    psql(&mut blank, SECOND).await;
    // As an earlier seed left them: one untouched, one with another limit, one switched on and off again, one of ours.
    run(
        &mut blank,
        "insert into file_type_configs (mime_type, extensions, display_name, enabled, max_file_size, extractor, splitter, chunk_overlap)
         values ('application/rtf', '{rtf}', 'Rich text', false, 52428800, 'rtf', 'prose', 64),
                ('message/rfc822', '{eml}', 'E-mail', false, 52428800, 'eml', 'prose', 64),
                ('application/epub+zip', '{epub}', 'Electronic book', false, 104857600, 'epub', 'markdown', 64),
                ('application/vnd.ms-excel', '{xls}', 'Old sheets', false, 52428800, 'xls', 'table', 0),
                ('application/vnd.ms-outlook', '{msg}', 'Outlook e-mail', false, 52428800, 'msg', 'prose', 64)",
    )
    .await;
    for change in ["max_file_size = 1000", "max_file_size = 52428800"] {
        run(
            &mut blank,
            &format!("update file_type_configs set {change} where mime_type = 'message/rfc822'"),
        )
        .await;
    }
    run(
        &mut blank,
        "update file_type_configs set chunk_size = 200 where mime_type = 'application/epub+zip'",
    )
    .await;
    migrated(&mut blank).await;
    let read = "select mime_type, enabled, max_file_size, chunk_size from file_type_configs
                where mime_type in ('application/rtf', 'message/rfc822', 'application/epub+zip', 'application/vnd.ms-excel',
                    'application/vnd.ms-outlook')
                order by 1";
    let expected = [
        "application/epub+zip,f,104857600,200",
        "application/rtf,t,52428800,512",
        "application/vnd.ms-excel,f,52428800,512",
        "application/vnd.ms-outlook,f,52428800,512",
        "message/rfc822,f,52428800,512",
    ];
    assert_eq!(rows(&mut blank, read).await, expected);

    run(
        &mut blank,
        "update file_type_configs set enabled = false where mime_type = 'application/rtf'",
    )
    .await;
    psql(&mut blank, THIRD).await;
    let kept = row(
        &mut blank,
        "select enabled from file_type_configs where mime_type = 'application/rtf'",
    )
    .await;
    assert_eq!(kept, "f", "a repetition takes nobody's choice back");
}

#[tokio::test]
async fn several_may_migrate_at_once() {
    let stack = Stack::new().await;
    let mut one = blank(&stack).await;
    let mut url = url::Url::parse(stack.database_admin_url().expose_secret()).expect("a URL");
    url.set_path(&row(&mut one, "select current_database()").await);
    let mut other = PgConnection::connect(url.as_str())
        .await
        .expect("a connection");
    let (one, other) = tokio::join!(migrated(&mut one), migrated(&mut other));
    let was_there = |report: &Report| {
        report
            .steps
            .iter()
            .filter(|step| matches!(step, Step::AlreadyThere { .. }))
            .count()
    };
    assert_eq!(was_there(&one) + was_there(&other), FILES.len());
}

#[tokio::test]
async fn what_supabase_brings_stays_as_it_is() {
    let stack = Stack::new().await;
    let mut blank = blank(&stack).await;
    run(
        &mut blank,
        "create schema extensions; grant usage on schema extensions to anon, authenticated, service_role;
         create extension vector schema extensions;
         create schema auth; grant usage on schema auth to anon, authenticated, service_role;
         create table auth.users (id uuid primary key, email varchar(255), aud varchar(255),
             raw_app_meta_data jsonb, raw_user_meta_data jsonb, created_at timestamptz);
         create function auth.uid() returns uuid language sql stable as
             $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid /* theirs */ $$;
         create function auth.role() returns text language sql stable as $$ select 'theirs' $$;
         create function auth.jwt() returns jsonb language sql stable as $$ select '{}'::jsonb $$;
         create schema storage; grant usage on schema storage to anon, authenticated, service_role;
         create table storage.buckets (id text primary key, name text not null, owner uuid, public boolean default false);
         create table storage.objects (id uuid primary key default gen_random_uuid(), bucket_id text, name text,
             owner uuid, owner_id text, metadata jsonb, path_tokens text[] generated always as (string_to_array(name, '/')) stored);
         alter table storage.objects enable row level security;
         create function storage.foldername(name text) returns text[] language plpgsql as
             $$ begin return string_to_array(name, '/'); end $$;
         create publication supabase_realtime;
         alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
         alter default privileges in schema public grant all on functions to anon, authenticated, service_role;",
    )
    .await;
    let theirs = "select oid::regprocedure::text, prosrc from pg_proc
                  where pronamespace in ('auth'::regnamespace, 'storage'::regnamespace)
                  union all
                  select attrelid::regclass::text, attname from pg_attribute
                  where attrelid in ('auth.users'::regclass, 'storage.buckets'::regclass, 'storage.objects'::regclass) and attnum > 0
                  order by 1, 2";
    let before = rows(&mut blank, theirs).await;
    assert_eq!(migrated(&mut blank).await.steps, applied());
    assert_eq!(rows(&mut blank, theirs).await, before);

    let published = rows(
        &mut blank,
        "select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1",
    )
    .await;
    assert_eq!(published, ["conversations", "files", "messages"]);
    let leaks = rows(
        &mut blank,
        "select c.relname, a.grantee::regrole from pg_class c cross join aclexplode(c.relacl) a
         where c.relnamespace = 'public'::regnamespace
           and (a.grantee = 'anon'::regrole or a.privilege_type in ('TRUNCATE', 'TRIGGER', 'REFERENCES') and a.grantee = 'authenticated'::regrole)",
    )
    .await;
    assert_eq!(
        leaks,
        Vec::<String>::new(),
        "default privileges are taken back"
    );

    // Vectors are compared by an operator that lies in a schema that nobody's search path names.
    run(
        &mut blank,
        &format!(
            "insert into auth.users (id, email) values ('{ADA}', 'ada@example.com');
             insert into files (id, user_id, original_name, storage_path, mime_type, file_size)
                 values ('{ADA}', '{ADA}', 'x', 'x', 'text/plain', 1);
             insert into document_chunks (file_id, user_id, content, chunk_index, embedding)
                 values ('{ADA}', '{ADA}', 'found', 0, {})",
            vector(0, 0.0).replace("::vector", "::extensions.vector")
        ),
    )
    .await;
    for caller in [person(ADA), WORKER] {
        let mut tx = acting(&mut blank, caller).await;
        let found = row(
            &mut tx,
            &format!(
                "select content from search_similar_chunks({}, '{ADA}')",
                vector(0, 0.0).replace("::vector", "::extensions.vector")
            ),
        )
        .await;
        assert_eq!(found, "found", "{caller:?}");
        tx.rollback().await.expect("a rollback");
    }
}

#[tokio::test]
async fn no_superuser_is_needed_where_pgvector_is_and_what_belongs_to_others_stays_theirs() {
    let stack = Stack::new().await;
    let mut blank = blank(&stack).await;
    // As on Supabase: the project's owner is no superuser, and auth and storage are not his.
    let database = row(&mut blank, "select current_database()").await;
    let owner = format!("owner_of_{database}");
    run(
        &mut blank,
        &format!(
            "create role {owner} createrole bypassrls; grant create on database {database} to {owner};
             grant all on schema public to {owner};
             create schema extensions; create extension vector schema extensions; grant usage on schema extensions to public;
             create schema auth; grant usage on schema auth to public;
             create table auth.users (id uuid primary key, email text, raw_app_meta_data jsonb, raw_user_meta_data jsonb);
             grant select, insert, delete, references on auth.users to {owner};
             create function auth.uid() returns uuid language sql as $$ select null::uuid $$;
             create function auth.role() returns text language sql as $$ select null $$;
             create function auth.jwt() returns jsonb language sql as $$ select null::jsonb $$;
             create schema storage; grant usage on schema storage to public;
             create table storage.buckets (id text primary key, name text, public boolean);
             create table storage.objects (bucket_id text, name text, owner_id text);
             create function storage.foldername(name text) returns text[] language sql as $$ select string_to_array(name, '/') $$;
             create publication supabase_realtime;
             set session authorization {owner}"
        ),
    )
    .await;
    assert_eq!(migrated(&mut blank).await.steps, applied());
    assert_eq!(migrated(&mut blank).await.steps.len(), applied().len());
    run(&mut blank, "reset session authorization").await;
    let touched = row(
        &mut blank,
        "select (select count(*) from pg_policies where schemaname in ('auth', 'storage')),
                (select count(*) from pg_trigger where tgrelid = 'auth.users'::regclass and not tgisinternal),
                (select count(*) from storage.buckets), (select count(*) from pg_publication_tables)",
    )
    .await;
    assert_eq!(touched, "0,0,0,0", "all that was refused was said and left");
}

/// Makes a live database of earlier days: our tables, without what only the worker has.
async fn age(connection: &mut PgConnection) {
    run(
        connection,
        &format!(
            "drop schema orion_ingest cascade;
             drop function search_similar_chunks(vector, uuid, double precision, integer, text);
             create function search_similar_chunks(query_embedding vector, match_user_id uuid, match_count int default 5)
                 returns table (id uuid, content text) language sql as $$ select null::uuid, null::text $$;
             drop function archive_old_messages(interval, integer), cleanup_orphaned_files(text),
                 generate_sample_data(text), cleanup_test_data();
             create function archive_old_messages() returns void language sql as '';
             create function archive_old_messages(older_than text, max_rows integer default 5) returns bigint
                 language sql as 'select 7::bigint';
             create function cleanup_orphaned_files() returns integer language sql as 'select 7';
             create function generate_sample_data(user_email text) returns void language sql as '';
             create function cleanup_test_data() returns void language sql as '';
             alter table files drop column due_at, drop column lease_token, drop column leases_lost,
                 drop column processing_attempts, drop column processing_error, drop column processing_error_code,
                 drop column processed_at, drop column content_sha256, drop column fatal_sha256;
             alter table document_chunks drop column embedding_model, drop column token_count, drop column content_sha256;
             insert into files (id, user_id, original_name, storage_path, mime_type, file_size, processing_status, chunk_count) values
                 ('{ADA}', '{ADA}', 'done', 'x', 'text/plain', 1, 'completed', 1),
                 ('{BOB}', '{BOB}', 'waits', 'y', 'text/plain', 1, 'pending', 0);
             insert into document_chunks (file_id, user_id, content, chunk_index, embedding)
                 values ('{ADA}', '{ADA}', 'old', 0, {})",
            vector(0, 0.0)
        ),
    )
    .await;
}

#[tokio::test]
async fn a_live_database_is_adopted_without_putting_anything_back_into_the_queue() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    let report = migrated(&mut admin).await;
    let Step::Adopted { added, .. } = &report.steps[0] else {
        panic!("{report}");
    };
    assert_eq!(added.len(), 12, "{report}");
    assert!(added.contains(&"files.due_at".to_owned()), "{report}");
    assert!(
        report.to_string().starts_with(
            "adopted   the tables that were here\n\
             added     document_chunks: content_sha256; embedding_model; token_count\n\
             added     files: content_sha256; due_at;"
        ),
        "{report}"
    );

    let states = rows(
        &mut admin,
        "select original_name, processing_status from files order by 1",
    )
    .await;
    assert_eq!(states, ["done,completed", "waits,pending"]);
    assert_eq!(
        row(&mut admin, "select user_id from orion_ingest.turns").await,
        BOB
    );
    let claimed = rows(
        &mut admin,
        "select original_name from orion_ingest.claim_files(9, '1 minute', '-infinity')",
    )
    .await;
    assert_eq!(claimed, ["waits"]);
    let found = row(
        &mut admin,
        &format!(
            "select content from search_similar_chunks({}, '{ADA}')",
            vector(0, 0.0)
        ),
    )
    .await;
    assert_eq!(found, "old", "a chunk without a model is the active one's");
}

#[tokio::test]
async fn a_migrated_and_an_adopted_database_are_the_same() {
    let (_stack, mut admin) = database().await;
    let before = picture(&mut admin).await;
    age(&mut admin).await;
    migrated(&mut admin).await;
    assert_same(&before, &picture(&mut admin).await);
}

#[tokio::test]
async fn functions_of_our_names_are_replaced_and_triggers_of_the_application_stay() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    run(
        &mut admin,
        "create table signups (id uuid);
         create function handle_new_user() returns trigger language plpgsql as
             'begin insert into public.signups values (new.id); return new; end';
         create trigger on_auth_user_created after insert on auth.users
             for each row execute function handle_new_user()",
    )
    .await;
    migrated(&mut admin).await;
    for call in [
        "archive_old_messages()",
        "cleanup_orphaned_files()",
        "cleanup_test_data()",
    ] {
        assert_eq!(row(&mut admin, &format!("select {call}")).await, "0");
    }
    run(&mut admin, "select generate_sample_data('new@example.com')").await;
    assert_eq!(
        row(
            &mut admin,
            "select count(*), count(s.id) from user_profiles p left join signups s using (id) where email = 'new@example.com'"
        )
        .await,
        "1,1",
        "a new user has a profile, and what the application does at a sign-up is done"
    );
}

#[tokio::test]
async fn tables_of_other_types_are_refused_and_left_alone() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    run(
        &mut admin,
        "drop view user_activity_summary;
         alter table files drop column file_size cascade, add column file_size text;
         truncate document_chunks;
         drop index idx_document_chunks_embedding;
         alter table document_chunks alter column embedding type vector(768);
         alter table usage_logs drop column metadata, add column metadata text;
         alter type processing_status add value 'archived';",
    )
    .await;
    let before = picture_of_columns(&mut admin).await;
    match migrate(&mut admin, false).await {
        Err(MigrateError::Different { differences }) => assert_eq!(
            differences,
            [
                "document_chunks.embedding is vector(768), not vector(1536)",
                "files.file_size is text, not bigint",
                "usage_logs.metadata is text, not jsonb",
            ]
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(picture_of_columns(&mut admin).await, before);
}

/// Our tables as another program may have made them: narrower, with enums of other names and fewer labels.
const NARROW: &str = "
    drop view user_activity_summary;
    drop function search_similar_messages(vector, uuid, uuid, double precision, integer, text), is_admin() cascade;
    create type speaker as enum ('system', 'assistant', 'user');
    alter table messages alter column role type speaker using role::text::speaker;
    drop type model_provider cascade;
    create type model_provider as enum ('openai', 'anthropic');
    drop type user_role cascade;
    create type user_role as enum ('user', 'owner');
    alter table user_profiles alter column total_cost_usd type numeric(10, 2), alter column total_tokens_used type integer,
        add column role user_role not null default 'user';
    alter table usage_logs alter column cost_usd type numeric(10, 6), alter column tokens_used type integer,
        alter column model type varchar(20);
    alter table files alter column file_size type integer, alter column original_name type varchar(255);
    alter table document_chunks alter column content type varchar, alter column heading type varchar(40);
    alter table messages alter column content type varchar(8000);
    alter table conversations alter column title type varchar(40);
    create view user_activity_summary as select total_cost_usd from user_profiles";

#[tokio::test]
async fn columns_that_are_too_narrow_are_widened_and_those_that_do_are_named() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    run(&mut admin, NARROW).await;
    let report = migrated(&mut admin).await;
    for line in [
        "differs   conversations: title is character varying(40), not text",
        "differs   usage_logs: cost_usd is numeric(10,6), not numeric(20,10); model is character varying(20), not text; tokens_used is integer, not bigint",
    ] {
        assert!(report.to_string().contains(line), "{report}");
    }
    let types = rows(
        &mut admin,
        "select format_type(atttypid, atttypmod) from (values
             ('user_profiles', 'total_cost_usd'), ('user_profiles', 'total_tokens_used'), ('usage_logs', 'cost_usd'),
             ('usage_logs', 'tokens_used'), ('files', 'file_size'), ('document_chunks', 'heading'), ('messages', 'content')
         ) c (relation, name) join pg_attribute on attrelid = relation::regclass and attname = name",
    )
    .await;
    assert_eq!(
        types,
        [
            "numeric", "bigint", "numeric", "bigint", "bigint", "text", "text"
        ]
    );
    let labels = row(
        &mut admin,
        "select 'admin' = any (enum_range(null::user_role)::text[]), 'ollama' = any (enum_range(null::model_provider)::text[])",
    )
    .await;
    assert_eq!(labels, "t,t");

    run(
        &mut admin,
        &format!(
            "insert into conversations (id, user_id) values ('{ADA}', '{ADA}');
             insert into messages (conversation_id, user_id, role, content, embedding, created_at)
                 values ('{ADA}', '{ADA}', 'user', 'hello', {}, now() - interval '2 years')",
            vector(0, 0.0)
        ),
    )
    .await;
    for (function, found) in [("chunks", "old"), ("messages", "hello")] {
        let query = format!(
            "select content from search_similar_{function}({}, '{ADA}')",
            vector(0, 0.0)
        );
        assert_eq!(row(&mut admin, &query).await, found);
    }
    assert_eq!(
        row(&mut admin, "select archive_old_messages()").await,
        "1",
        "whatever the type of a role"
    );
}

#[tokio::test]
async fn an_amount_of_money_is_widened_in_a_large_table_too_and_an_integer_left() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    run(
        &mut admin,
        "drop view user_activity_summary;
         alter table usage_logs alter column cost_usd type numeric(10, 6), alter column tokens_used type integer;
         update pg_class set reltuples = 200000 where oid = 'usage_logs'::regclass",
    )
    .await;
    let place = "select pg_relation_filenode('usage_logs')";
    let before = row(&mut admin, place).await;
    migrated(&mut admin).await;
    assert_eq!(
        row(&mut admin, place).await,
        before,
        "nothing was rewritten"
    );
    let types = rows(
        &mut admin,
        "select format_type(atttypid, atttypmod) from pg_attribute
         where attrelid = 'usage_logs'::regclass and attname in ('cost_usd', 'tokens_used') order by 1",
    )
    .await;
    assert_eq!(types, ["integer", "numeric"]);
}

#[tokio::test]
async fn what_others_made_of_a_column_or_function_that_must_change_is_named_with_the_way_out() {
    for (made, named) in [
        (
            "drop view user_activity_summary;
             alter table usage_logs alter column cost_usd type numeric(10, 6);
             create view theirs as select cost_usd from usage_logs",
            "alter table usage_logs alter column cost_usd type numeric;",
        ),
        (
            "create view theirs as select cleanup_orphaned_files()",
            "rename the function",
        ),
        (
            "create view theirs as select * from performance_stats",
            "rename the view",
        ),
    ] {
        let (_stack, mut admin) = database().await;
        age(&mut admin).await;
        run(&mut admin, made).await;
        match migrate(&mut admin, false).await {
            Err(error @ MigrateError::Refused { .. }) => {
                assert!(error.to_string().contains(named), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn picture_of_columns(connection: &mut PgConnection) -> Vec<String> {
    rows(
        connection,
        "select table_schema, table_name, column_name, udt_name from information_schema.columns
         where table_schema in ('public', 'orion_ingest') order by 1, 2, 3",
    )
    .await
}

#[tokio::test]
async fn a_large_table_gets_its_indexes_afterwards_and_concurrently() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    // Large by the planner's word; what `create index` would need minutes for is not needed to show the order.
    run(
        &mut admin,
        "alter table document_chunks drop constraint document_chunks_file_id_user_id_fkey;
         drop index document_chunks_file_id_chunk_index_key, idx_document_chunks_embedding, files_id_user_id_key;
         update pg_class set reltuples = 200000 where oid in ('files'::regclass, 'document_chunks'::regclass);",
    )
    .await;
    let report = migrated(&mut admin).await;
    for name in [
        "document_chunks_file_id_chunk_index_key",
        "idx_document_chunks_embedding",
        "files_id_user_id_key",
        "document_chunks_file_id_user_id_fkey",
        "document_chunks_file_id_user_id_fkey (validation)",
        "idx_files_due",
        "turns of those who wait",
    ] {
        let built = Step::Built { name: name.into() };
        assert!(report.steps.contains(&built), "{name} in\n{report}");
    }
    assert_eq!(
        row(&mut admin, "select count(*) from orion_ingest.deferred").await,
        "0"
    );
    assert_eq!(
        row(&mut admin, "select user_id from orion_ingest.turns").await,
        BOB
    );
    let unfinished = rows(
        &mut admin,
        "select indexrelid::regclass::text from pg_index where not indisvalid
         union all select conname from pg_constraint where not convalidated",
    )
    .await;
    assert_eq!(unfinished, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_built_is_said_and_tried_again() {
    let (_stack, mut admin) = database().await;
    age(&mut admin).await;
    run(
        &mut admin,
        &format!(
            "drop index document_chunks_file_id_chunk_index_key;
             update pg_class set reltuples = 200000 where oid = 'document_chunks'::regclass;
             insert into document_chunks (file_id, user_id, content, chunk_index) values ('{ADA}', '{ADA}', 'twice', 0)"
        ),
    )
    .await;
    let name = "document_chunks_file_id_chunk_index_key";
    let report = migrated(&mut admin).await;
    let left = |step: &Step| matches!(step, Step::Left { name: left, .. } if left == name);
    assert!(report.steps.iter().any(left), "{report}");

    run(
        &mut admin,
        "delete from document_chunks where content = 'twice'",
    )
    .await;
    let report = migrated(&mut admin).await;
    assert!(
        report.steps.contains(&Step::Built { name: name.into() }),
        "{report}"
    );
    let valid = row(
        &mut admin,
        &format!("select indisvalid from pg_index where indexrelid = '{name}'::regclass"),
    )
    .await;
    assert_eq!(valid, "t", "what the first try left was replaced");
}

#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_refused() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        "update orion_ingest.migrations set checksum = '' where version = 2",
    )
    .await;
    match migrate(&mut admin, false).await {
        Err(MigrateError::Changed { file }) => assert_eq!(file, "002_ingestion"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_catalog_that_others_are_compared_with_is_the_one_that_the_files_make() {
    let (_stack, mut admin) = database().await;
    let query = include_str!("../../../src/db/sql/catalog.sql")
        .replace("= any($1)", "<> ''")
        .replace("!\"", "\"");
    let made = rows(
        &mut admin,
        &format!("select encode(convert_to(table_name || '.' || column_name || ' ' || column_type, 'utf8'), 'hex') from ({query}) c"),
    )
    .await;
    let made: Vec<String> = made
        .iter()
        .map(|line| String::from_utf8(hex::decode(line).expect("hex")).expect("text"))
        .collect();
    let kept: Vec<&str> = include_str!("../../../src/db/catalog.txt")
        .lines()
        .collect();
    assert_eq!(made, kept, "copy what was made into src/db/catalog.txt");
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is_for() {
    let (_stack, mut admin) = database().await;
    let silent = rows(
        &mut admin,
        "select c.relname, a.attname from pg_class c
         left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind = 'r'
         where c.relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace) and c.relkind in ('r', 'v')
           and (obj_description(c.oid) is null or (a.attnum is not null and col_description(c.oid, a.attnum) is null))
         union all
         select proname, null from pg_proc p
         where pronamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace) and obj_description(p.oid) is null
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')",
    )
    .await;
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn every_reference_can_be_followed_back_by_an_index() {
    let (_stack, mut admin) = database().await;
    let slow = rows(
        &mut admin,
        "select conrelid::regclass, conname from pg_constraint c
         where contype = 'f' and connamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
           and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])",
    )
    .await;
    assert_eq!(slow, Vec::<String>::new());
}
