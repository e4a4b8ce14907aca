//! Who may do what: every table, every command, every role; every function.

use std::collections::BTreeSet;

use super::{
    ADA, ANON, BOB, Caller, EVE, SERVICE, WORKER, acting, attempt, database, person, row, rows, run,
};

/// How to try each command on a table; `ME` stands for whose row it is.
struct Table {
    name: &'static str,
    /// One row of a person's, in `insert into` form without the table's name.
    insert: &'static str,
    update: &'static str,
    owner: &'static str,
}

const fn table(
    name: &'static str,
    insert: &'static str,
    update: &'static str,
    owner: &'static str,
) -> Table {
    Table {
        name,
        insert,
        update,
        owner,
    }
}

const TABLES: [Table; 10] = [
    table(
        "user_profiles",
        "(id, email) values ('ME', 'x')",
        "display_name = 'x'",
        "id",
    ),
    table(
        "conversations",
        "(user_id, title) values ('ME', 'x')",
        "title = 'x'",
        "user_id",
    ),
    table(
        "messages",
        "(user_id, conversation_id, role, content) values ('ME', 'ME', 'user', 'x')",
        "content = 'y'",
        "user_id",
    ),
    table(
        "archived_messages",
        "(id, user_id, conversation_id, role, content) values (gen_random_uuid(), 'ME', 'ME', 'user', 'x')",
        "content = 'y'",
        "user_id",
    ),
    table(
        "files",
        "(user_id, original_name, storage_path, mime_type, file_size) values ('ME', 'x', 'ME/x', 'text/plain', 1)",
        "original_name = 'y'",
        "user_id",
    ),
    table(
        "document_chunks",
        "(user_id, file_id, content, chunk_index) values ('ME', 'ME', 'x', (random() * 1e9)::int)",
        "content = 'y'",
        "user_id",
    ),
    table(
        "generated_images",
        "(user_id, prompt, model, storage_path) values ('ME', 'x', 'x', 'ME/x')",
        "prompt = 'y'",
        "user_id",
    ),
    table(
        "usage_logs",
        "(user_id, action, tokens_used) values ('ME', 'chat', 1)",
        "tokens_used = 0",
        "user_id",
    ),
    table(
        "system_prompt_templates",
        "(user_id, name, content) values ('ME', 'x', 'x')",
        "content = 'y'",
        "user_id",
    ),
    table(
        "file_type_configs",
        "(mime_type, display_name, extractor, splitter) values ('x/' || gen_random_uuid(), 'ME', 'text', 'prose')",
        "chunk_size = 100",
        "display_name",
    ),
];

/// Rows that each command reaches: select; insert own, another's; update own, another's; delete own, another's.
/// `-` is a refusal. Ada acts on rows of hers and Bob's; the admin and the back end on Ada's ("own") and Bob's.
const RIGHTS: [(&str, [&str; 5]); 10] = [
    // table, then: anon, a user, an admin, service_role, the worker
    (
        "user_profiles",
        [
            "- -- -- --",
            "1 -- 10 --",
            "3 -- 00 --",
            "3 -- 11 11",
            "3 -- -- --",
        ],
    ),
    (
        "conversations",
        [
            "- -- -- --",
            "1 1- 10 10",
            "2 -- 00 00",
            "2 11 11 11",
            "- -- -- --",
        ],
    ),
    (
        "messages",
        [
            "- -- -- --",
            "1 1- 10 10",
            "2 -- 00 00",
            "2 11 11 11",
            "- -- -- --",
        ],
    ),
    (
        "archived_messages",
        [
            "- -- -- --",
            "1 -- -- 10",
            "2 -- -- 00",
            "2 11 11 11",
            "- -- -- --",
        ],
    ),
    (
        "files",
        [
            "- -- -- --",
            "1 1- 10 10",
            "2 -- 00 00",
            "2 11 11 11",
            "2 11 -- --",
        ],
    ),
    (
        "document_chunks",
        [
            "- -- -- --",
            "1 -- -- --",
            "2 -- -- --",
            "2 11 11 11",
            "2 11 -- 11",
        ],
    ),
    (
        "generated_images",
        [
            "- -- -- --",
            "1 1- -- 10",
            "2 -- -- 00",
            "2 11 11 11",
            "- -- -- --",
        ],
    ),
    (
        "usage_logs",
        [
            "- -- -- --",
            "1 -- -- --",
            "2 -- -- --",
            "2 11 11 11",
            "2 11 -- --",
        ],
    ),
    (
        "system_prompt_templates",
        [
            "- -- -- --",
            "1 1- 10 10",
            "2 11 11 11",
            "2 11 11 11",
            "- -- -- --",
        ],
    ),
    (
        "file_type_configs",
        [
            "- -- -- --",
            "2 -- 00 00",
            "2 11 11 11",
            "2 11 11 11",
            "2 -- -- --",
        ],
    ),
];

#[tokio::test]
async fn each_role_reaches_the_rows_that_are_its_business_and_no_others() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        "delete from system_prompt_templates; delete from file_type_configs",
    )
    .await;
    for me in [ADA, BOB] {
        run(
            &mut admin,
            &format!(
                "insert into conversations (id, user_id) values ('{me}', '{me}');
                 insert into files (id, user_id, original_name, storage_path, mime_type, file_size)
                     values ('{me}', '{me}', 'x', '{me}/x', 'text/plain', 1)"
            ),
        )
        .await;
        for table in &TABLES {
            if !["user_profiles", "conversations", "files"].contains(&table.name) {
                run(&mut admin, &insert(table, me)).await;
            }
        }
    }

    let callers = [ANON, person(ADA), person(EVE), SERVICE, WORKER];
    for (table, (name, expected)) in TABLES.iter().zip(RIGHTS) {
        assert_eq!(table.name, name);
        for (caller, expected) in callers.iter().zip(expected) {
            let found = reach(&mut admin, *caller, table).await;
            assert_eq!(found, expected, "{name} as {caller:?}");
        }
    }
}

fn insert(table: &Table, me: &str) -> String {
    format!("insert into {} {}", table.name, table.insert).replace("ME", me)
}

/// What the caller reaches, written as in [`RIGHTS`].
async fn reach(admin: &mut sqlx::PgConnection, caller: Caller, table: &Table) -> String {
    let name = table.name;
    let mut found = String::new();
    // A second profile of the same person is refused by its key, not by rights: that says as much.
    let mut statements = vec![format!("select * from {name}")];
    statements.extend([ADA, BOB].map(|whose| insert(table, whose)));
    for (start, end) in [("update", table.update), ("delete", "")] {
        for whose in [ADA, BOB] {
            let what = if start == "update" {
                format!("update {name} set {end}")
            } else {
                format!("delete from {name}")
            };
            statements.push(format!("{what} where {} = '{whose}'", table.owner));
        }
    }
    for (place, statement) in statements.iter().enumerate() {
        let mut tx = acting(admin, caller).await;
        let outcome = attempt(&mut tx, statement).await;
        if place % 2 == 1 {
            found.push(' ');
        }
        match outcome {
            Ok(reached) => found.push_str(&reached.to_string()),
            Err(code) => {
                assert!(
                    ["42501", "23505"].contains(&code.as_str()),
                    "{statement} as {caller:?}: {code}"
                );
                found.push('-');
            }
        }
        tx.rollback().await.expect("a rollback");
    }
    found
}

#[tokio::test]
async fn no_table_is_left_out_of_the_rights_and_all_have_row_level_security() {
    let (_stack, mut admin) = database().await;
    let tables = rows(
        &mut admin,
        "select relname, relrowsecurity from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1",
    )
    .await;
    let expected: BTreeSet<String> = TABLES
        .iter()
        .map(|table| format!("{},t", table.name))
        .collect();
    assert_eq!(tables.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// The columns that a role may write where it may not write all.
const COLUMNS: &str = "\
authenticated INSERT conversations: document_chat id image_generation max_tokens model_name model_provider system_prompt temperature title user_id web_search
authenticated INSERT files: conversation_id file_size id mime_type original_name storage_path user_id
authenticated INSERT generated_images: conversation_id dimensions format generation_time_ms id message_id model prompt storage_path user_id
authenticated INSERT messages: attachments content conversation_id cost_usd id model provider role tokens_used tool_calls user_id
authenticated INSERT system_prompt_templates: category content description id is_public name user_id
authenticated UPDATE conversations: document_chat image_generation max_tokens model_name model_provider system_prompt temperature title web_search
authenticated UPDATE files: original_name processing_status
authenticated UPDATE messages: attachments content cost_usd model provider tokens_used tool_calls
authenticated UPDATE system_prompt_templates: category content description is_public name
authenticated UPDATE user_profiles: avatar_url display_name preferred_model_name preferred_model_provider
orion_ingest INSERT files: conversation_id file_size id mime_type original_name storage_path user_id
orion_ingest UPDATE active_models: activated_at
orion_ingest UPDATE files: chunk_count content_sha256 due_at extracted_text fatal_sha256 lease_token leases_lost processed_at processing_attempts processing_error processing_error_code processing_status
orion_ingest UPDATE tenants: head_at turn_at
orion_ingest UPDATE turns: head_at turn_at
orion_ingest UPDATE user_profiles: total_cost_usd total_tokens_used";

#[tokio::test]
async fn columns_of_the_worker_and_of_the_back_end_are_not_the_users_to_write() {
    let (_stack, mut admin) = database().await;
    let columns = rows(
        &mut admin,
        "select format('%s %s %s: %s', a.grantee::regrole, a.privilege_type, c.relname,
                       string_agg(t.attname, ' ' order by t.attname))
         from pg_attribute t
         join pg_class c on c.oid = t.attrelid
         cross join aclexplode(t.attacl) a
         where c.relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
         group by a.grantee, a.privilege_type, c.relname
         order by a.grantee::regrole::text, a.privilege_type, c.relname",
    )
    .await;
    let columns: Vec<_> = columns.iter().map(|line| line.trim_matches('"')).collect();
    assert_eq!(columns.join("\n"), COLUMNS);
}

#[tokio::test]
async fn nobody_but_the_owner_may_truncate_or_make_triggers() {
    let (_stack, mut admin) = database().await;
    let beyond = rows(
        &mut admin,
        "select c.relname, coalesce(r.rolname, 'public'), a.privilege_type
         from pg_class c
         cross join aclexplode(c.relacl) a
         left join pg_roles r on r.oid = a.grantee
         where c.relnamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
           and a.grantee <> c.relowner
           and (a.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') or r.rolname is null or r.rolname = 'anon')",
    )
    .await;
    assert_eq!(beyond, Vec::<String>::new());
}

#[tokio::test]
async fn functions_are_called_by_those_they_are_for() {
    let (_stack, mut admin) = database().await;
    let callers = rows(
        &mut admin,
        "select format('%s: %s', p.proname, string_agg(a.grantee::regrole::text, ' ' order by a.grantee::regrole::text)
                    filter (where a.grantee <> p.proowner))
         from pg_proc p
         cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         where p.pronamespace in ('public'::regnamespace, 'orion_ingest'::regnamespace)
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
         group by p.oid, p.proname
         having count(*) filter (where a.grantee <> p.proowner) > 0
         order by p.proname",
    )
    .await;
    let callers: Vec<_> = callers.iter().map(|line| line.trim_matches('"')).collect();
    assert_eq!(
        callers,
        [
            "active_embedding_model: authenticated orion_ingest service_role",
            "archive_old_messages: service_role",
            "break_budget: orion_ingest",
            "budget_rate: orion_ingest",
            "check_query_embedding: authenticated orion_ingest service_role",
            "claim_files: orion_ingest",
            "cleanup_orphaned_files: service_role",
            "cleanup_test_data: service_role",
            "generate_sample_data: service_role",
            "hear_budget: orion_ingest",
            "is_admin: authenticated service_role",
            "learned_rate: orion_ingest",
            "lock_budget: orion_ingest",
            "object_owner: orion_ingest",
            "pace_at: orion_ingest",
            "pause_budget: orion_ingest",
            "reserve_budget: orion_ingest",
            "search_effort: authenticated orion_ingest service_role",
            "search_similar_chunks: authenticated orion_ingest service_role",
            "search_similar_messages: authenticated orion_ingest service_role",
            "searchable_chunks: authenticated orion_ingest service_role",
            "seconds_between: orion_ingest",
        ]
    );
}

#[tokio::test]
async fn the_workers_tables_are_the_workers_alone() {
    let (_stack, mut admin) = database().await;
    let tables = rows(
        &mut admin,
        "select relname from pg_class where relnamespace = 'orion_ingest'::regnamespace and relkind = 'r' order by 1",
    )
    .await;
    assert_eq!(
        tables,
        [
            "active_models",
            "deferred",
            "embedding_requests",
            "migrations",
            "provider_budgets",
            "reembedding_skips",
            "reembedding_slices",
            "reembeddings",
            "stashed_vectors",
            "tenants",
            "turns"
        ]
    );
    for table in tables {
        for caller in [ANON, person(ADA), person(EVE), SERVICE] {
            let mut tx = acting(&mut admin, caller).await;
            let outcome = attempt(&mut tx, &format!("select from orion_ingest.{table}")).await;
            assert_eq!(outcome, Err("42501".into()), "{table} as {caller:?}");
            tx.rollback().await.expect("a rollback");
        }
        let mut tx = acting(&mut admin, WORKER).await;
        let outcome = attempt(&mut tx, &format!("select from orion_ingest.{table}")).await;
        // A re-embedding and the migrations' leftovers are the owner's.
        let is_workers = !table.starts_with("reembedding") && table != "deferred";
        assert_eq!(outcome.is_ok(), is_workers, "{table}");
        tx.rollback().await.expect("a rollback");
    }
}

#[tokio::test]
async fn a_user_may_ask_for_a_re_ingest_and_for_nothing_else() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size, processing_status)
             values ('{ADA}', 'x', 'x', 'text/plain', 1, 'completed')"
        ),
    )
    .await;
    for status in ["processing", "failed"] {
        let mut tx = acting(&mut admin, person(ADA)).await;
        let outcome = attempt(
            &mut tx,
            &format!("update files set processing_status = '{status}'"),
        )
        .await;
        assert_eq!(outcome, Err("42501".into()), "{status}");
        tx.rollback().await.expect("a rollback");
    }
    let mut tx = acting(&mut admin, person(ADA)).await;
    let outcome = attempt(&mut tx, "update files set processing_status = 'pending'").await;
    assert_eq!(outcome, Ok(1));
}

#[tokio::test]
async fn nothing_can_point_into_another_persons_rows() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into conversations (id, user_id) values ('{BOB}', '{BOB}');
             insert into files (id, user_id, original_name, storage_path, mime_type, file_size)
                 values ('{BOB}', '{BOB}', 'x', 'x', 'text/plain', 1)"
        ),
    )
    .await;
    for statement in [
        "insert into messages (user_id, conversation_id, role, content) values ('ADA', 'BOB', 'user', 'x')",
        "insert into files (user_id, conversation_id, original_name, storage_path, mime_type, file_size)
             values ('ADA', 'BOB', 'x', 'x', 'text/plain', 1)",
        "insert into document_chunks (user_id, file_id, content, chunk_index) values ('ADA', 'BOB', 'x', 0)",
        "insert into generated_images (user_id, conversation_id, prompt, model, storage_path)
             values ('ADA', 'BOB', 'x', 'x', 'x')",
        "insert into usage_logs (user_id, conversation_id, action) values ('ADA', 'BOB', 'chat')",
    ] {
        let statement = statement.replace("ADA", ADA).replace("BOB", BOB);
        assert_eq!(
            attempt(&mut admin, &statement).await,
            Err("23503".into()),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_template_is_made_public_by_admins_only() {
    let (_stack, mut admin) = database().await;
    let public = "insert into system_prompt_templates (user_id, name, content, is_public) values ('ME', 'x', 'x', true)";
    let mut tx = acting(&mut admin, person(ADA)).await;
    let outcome = attempt(&mut tx, &public.replace("ME", ADA)).await;
    assert_eq!(outcome, Err("42501".into()));
    tx.rollback().await.expect("a rollback");
    let mut tx = acting(&mut admin, person(EVE)).await;
    assert_eq!(attempt(&mut tx, &public.replace("ME", EVE)).await, Ok(1));
    tx.commit().await.expect("a commit");
    let mut tx = acting(&mut admin, person(ADA)).await;
    let seen = row(
        &mut tx,
        "select count(*) from system_prompt_templates where name = 'x'",
    )
    .await;
    assert_eq!(seen, "1");
}

#[tokio::test]
async fn objects_are_uploaded_and_seen_in_ones_own_folder_only() {
    let (_stack, mut admin) = database().await;
    let upload = |bucket: &str, key: &str| {
        format!("insert into storage.objects (bucket_id, name) values ('{bucket}', '{key}')")
    };
    let outcomes = [
        (person(ADA), "documents", format!("{ADA}/a.pdf"), true),
        (person(ADA), "images", format!("{ADA}/deep/a.png"), true),
        (person(ADA), "documents", format!("{BOB}/a.pdf"), false),
        (person(ADA), "documents", "a.pdf".to_owned(), false),
        (person(ADA), "documents", format!("x/{ADA}/a.pdf"), false),
        (person(BOB), "documents", format!("{BOB}/b.pdf"), true),
        (ANON, "documents", format!("{ADA}/b.pdf"), false),
        (SERVICE, "documents", "anything".to_owned(), true),
    ];
    for (caller, bucket, key, allowed) in outcomes {
        let mut tx = acting(&mut admin, caller).await;
        let outcome = attempt(&mut tx, &upload(bucket, &key)).await;
        assert_eq!(outcome.is_ok(), allowed, "{key} by {caller:?}: {outcome:?}");
        if allowed {
            tx.commit().await.expect("a commit");
        } else {
            tx.rollback().await.expect("a rollback");
        }
    }
    for (caller, expected) in [(person(ADA), "2"), (person(BOB), "1"), (SERVICE, "4")] {
        let mut tx = acting(&mut admin, caller).await;
        let seen = row(&mut tx, "select count(*) from storage.objects").await;
        assert_eq!(seen, expected, "{caller:?}");
        tx.rollback().await.expect("a rollback");
    }
}
