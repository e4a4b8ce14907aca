//! Upkeep, sample data, views, the profile of a new user, the seed.

use orion_ingest::file_type::{FileType, FileTypes};

use super::{ADA, BOB, EVE, SERVICE, WORKER, acting, attempt, database, person, row, rows, run};

#[tokio::test]
async fn a_new_user_gets_a_profile_and_a_sign_up_never_fails_for_it() {
    let (_stack, mut admin) = database().await;
    let profile = row(
        &mut admin,
        &format!("select email, display_name, role, total_tokens_used from user_profiles where id = '{ADA}'"),
    )
    .await;
    assert_eq!(profile, "ada@example.com,ada,user,0");

    run(
        &mut admin,
        r#"insert into auth.users (email, raw_user_meta_data) values
               ('c@example.com', '{"full_name": "Carol", "avatar_url": "https://example.com/c.png", "role": "admin"}'),
               (null, '{}')"#,
    )
    .await;
    let carol = row(
        &mut admin,
        "select display_name, avatar_url, role from user_profiles where email = 'c@example.com'",
    )
    .await;
    assert_eq!(carol, "Carol,https://example.com/c.png,user");
    assert_eq!(
        row(
            &mut admin,
            "select count(*) from user_profiles where email is null"
        )
        .await,
        "1"
    );

    // An address that a profile has kept is left out.
    run(
        &mut admin,
        &format!(
            "update user_profiles set email = 'taken@example.com' where id = '{BOB}';
             insert into auth.users (email) values ('taken@example.com')"
        ),
    )
    .await;
    assert_eq!(
        row(
            &mut admin,
            "select count(*) from user_profiles where email is null"
        )
        .await,
        "2"
    );
    run(
        &mut admin,
        &format!("update auth.users set email = 'new@example.com' where id = '{ADA}'"),
    )
    .await;
    let followed = row(
        &mut admin,
        &format!("select email from user_profiles where id = '{ADA}'"),
    )
    .await;
    assert_eq!(followed, "new@example.com");
}

#[tokio::test]
async fn a_deleted_user_takes_everything_along_but_the_bill() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into conversations (id, user_id) values ('{ADA}', '{ADA}');
             insert into messages (conversation_id, user_id, role, content) values ('{ADA}', '{ADA}', 'user', 'x');
             insert into files (id, user_id, conversation_id, original_name, storage_path, mime_type, file_size)
                 values ('{ADA}', '{ADA}', '{ADA}', 'x', 'x', 'text/plain', 1);
             insert into document_chunks (file_id, user_id, content, chunk_index) values ('{ADA}', '{ADA}', 'x', 0);
             insert into orion_ingest.stashed_vectors (file_id, user_id, model, dimensions, content_sha256, embedding)
                 values ('{ADA}', '{ADA}', 'm', 2, sha256('x'), '[1,2]');
             insert into usage_logs (user_id, conversation_id, action, tokens_used) values ('{ADA}', '{ADA}', 'chat', 7)"
        ),
    )
    .await;
    run(
        &mut admin,
        &format!("delete from conversations where id = '{ADA}'"),
    )
    .await;
    let file = row(
        &mut admin,
        "select conversation_id is null, user_id from files",
    )
    .await;
    assert_eq!(file, format!("t,{ADA}"), "a file outlives its conversation");

    run(
        &mut admin,
        &format!("delete from auth.users where id = '{ADA}'"),
    )
    .await;
    for table in [
        "messages",
        "files",
        "document_chunks",
        "orion_ingest.stashed_vectors",
        "orion_ingest.tenants",
        "orion_ingest.turns",
    ] {
        assert_eq!(
            row(&mut admin, &format!("select count(*) from {table}")).await,
            "0",
            "{table}"
        );
    }
    let bill = row(
        &mut admin,
        "select user_id is null, tokens_used from usage_logs",
    )
    .await;
    assert_eq!(bill, "t,7");
}

#[tokio::test]
async fn old_messages_are_moved_to_the_archive_where_their_owner_still_reads_them() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into conversations (id, user_id) values ('{ADA}', '{ADA}');
             insert into messages (conversation_id, user_id, role, content, created_at)
             select '{ADA}', '{ADA}', 'user', 'from ' || i || ' days ago', now() - make_interval(days => i)
             from unnest(array[1, 100, 400, 500]) i"
        ),
    )
    .await;
    let mut tx = acting(&mut admin, SERVICE).await;
    assert_eq!(row(&mut tx, "select archive_old_messages()").await, "2");
    assert_eq!(row(&mut tx, "select archive_old_messages()").await, "0");
    assert_eq!(
        row(&mut tx, "select archive_old_messages('90 days')").await,
        "1"
    );
    tx.commit().await.expect("a commit");
    let mut tx = acting(&mut admin, person(ADA)).await;
    let archived = rows(
        &mut tx,
        "select content from archived_messages order by created_at",
    )
    .await;
    assert_eq!(
        archived,
        [
            "\"from 500 days ago\"",
            "\"from 400 days ago\"",
            "\"from 100 days ago\""
        ]
    );
    assert_eq!(
        row(&mut tx, "select content from messages").await,
        "\"from 1 days ago\""
    );
}

#[tokio::test]
async fn files_without_an_object_are_cleaned_up_after_a_day_and_objects_never() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into storage.objects (bucket_id, name) values ('documents', 'there'), ('images', 'gone'), ('documents', 'rowless');
             insert into files (user_id, original_name, storage_path, mime_type, file_size)
                 select '{ADA}', path, path, 'text/plain', 1 from unnest(array['there', 'gone', 'gone too', 'new']) path;
             update files set created_at = now() - interval '25 hours' where original_name <> 'new'"
        ),
    )
    .await;
    let mut tx = acting(&mut admin, SERVICE).await;
    assert_eq!(row(&mut tx, "select cleanup_orphaned_files()").await, "2");
    let left = rows(&mut tx, "select original_name from files order by 1").await;
    assert_eq!(left, ["new", "there"]);
    assert_eq!(
        row(&mut tx, "select count(*) from storage.objects").await,
        "3"
    );
}

#[tokio::test]
async fn nothing_is_cleaned_up_where_the_objects_lie_in_a_storage_that_the_database_does_not_know()
{
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size, processing_status, created_at)
             values ('{ADA}', 'x', 'x', 'text/plain', 1, 'pending', now() - interval '9 days')"
        ),
    )
    .await;
    assert_eq!(
        row(&mut admin, "select cleanup_orphaned_files()").await,
        "0"
    );
    assert_eq!(row(&mut admin, "select count(*) from files").await, "1");
}

#[tokio::test]
async fn sample_data_comes_and_goes_and_takes_nothing_else_along() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!("insert into conversations (user_id, title) values ('{ADA}', 'real')"),
    )
    .await;
    let count = "select (select count(*) from auth.users), (select count(*) from conversations),
                        (select count(*) from messages), (select count(*) from usage_logs),
                        (select count(*) from generated_images),
                        (select count(*) from system_prompt_templates where user_id is not null)";
    let before = row(&mut admin, count).await;
    let mut tx = acting(&mut admin, SERVICE).await;
    row(&mut tx, "select generate_sample_data('ada@example.com')").await;
    let made = row(&mut tx, "select generate_sample_data('test@example.com')").await;
    let again = row(&mut tx, "select generate_sample_data('test@example.com')").await;
    assert_eq!(made, again, "the same person");
    tx.commit().await.expect("a commit");
    assert_eq!(row(&mut admin, count).await, "4,10,36,9,3,2");
    let removed = row(&mut admin, "select cleanup_test_data() > 0").await;
    assert_eq!(removed, "t");
    assert_eq!(row(&mut admin, count).await, before);
    assert_eq!(row(&mut admin, "select cleanup_test_data()").await, "0");
}

#[tokio::test]
async fn the_views_show_people_themselves_and_admins_everybody() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into conversations (user_id) values ('{ADA}'), ('{ADA}'), ('{BOB}');
             insert into usage_logs (user_id, action, tokens_used, created_at) values
                 ('{ADA}', 'chat', 5, now()), ('{ADA}', 'chat', 100, now() - interval '60 days')"
        ),
    )
    .await;
    let summary = "select display_name, conversation_count, tokens_used_30_days from user_activity_summary order by 1";
    let stats = "select count(*) > 9 from performance_stats";
    for (caller, people, sees_stats) in [
        (person(ADA), &["ada,2,5"][..], "f"),
        (person(EVE), &["ada,2,5", "bob,1,0", "eve,0,0"], "t"),
        (SERVICE, &["ada,2,5", "bob,1,0", "eve,0,0"], "t"),
    ] {
        let mut tx = acting(&mut admin, caller).await;
        assert_eq!(rows(&mut tx, summary).await, people, "{caller:?}");
        assert_eq!(row(&mut tx, stats).await, sees_stats, "{caller:?}");
        tx.rollback().await.expect("a rollback");
    }
    for view in ["user_activity_summary", "performance_stats"] {
        let mut tx = acting(&mut admin, super::ANON).await;
        let outcome = attempt(&mut tx, &format!("select from {view}")).await;
        assert_eq!(outcome, Err("42501".into()), "{view}");
        tx.rollback().await.expect("a rollback");
    }
}

#[tokio::test]
async fn the_worker_learns_who_uploaded_an_object_and_no_more_of_storage() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!("insert into storage.objects (bucket_id, name, owner_id) values ('documents', 'k', '{ADA}')"),
    )
    .await;
    let mut tx = acting(&mut admin, WORKER).await;
    let owner = row(
        &mut tx,
        "select orion_ingest.object_owner('documents', 'k'), orion_ingest.object_owner('images', 'k') is null",
    )
    .await;
    assert_eq!(owner, format!("{ADA},t"));
    let outcome = attempt(&mut tx, "select from storage.objects").await;
    assert_eq!(outcome, Err("42501".into()));
}

#[tokio::test]
async fn the_worker_holds_the_active_model_for_its_commit_and_cannot_change_it() {
    let (_stack, mut admin) = database().await;
    let mut tx = acting(&mut admin, WORKER).await;
    run(
        &mut tx,
        "select from orion_ingest.active_models where target = 'chunks' for share",
    )
    .await;
    let outcome = attempt(&mut tx, "update orion_ingest.active_models set model = 'x'").await;
    assert_eq!(outcome, Err("42501".into()));
}

#[tokio::test]
async fn the_seeded_types_are_those_that_work_without_a_database() {
    let (_stack, mut admin) = database().await;
    let stored: Vec<FileType> = rows(
        &mut admin,
        "select encode(convert_to(to_jsonb(f)::text, 'utf8'), 'hex') from file_type_configs f",
    )
    .await
    .iter()
    .map(|row| serde_json::from_slice(&hex::decode(row).expect("hex")).expect("a file type"))
    .collect();
    let seeded = FileTypes::seeded();
    assert_eq!(stored.len(), seeded.iter().count());
    for file_type in &stored {
        assert_eq!(seeded.by_mime(&file_type.mime_type), Some(file_type));
        for extension in &file_type.extensions {
            let found = seeded.by_extension(&format!("x.{extension}"));
            assert_eq!(found, Some(file_type), "{extension} is one type's");
        }
    }
    let readable = rows(
        &mut admin,
        "select distinct extractor from file_type_configs where enabled order by 1",
    )
    .await;
    assert_eq!(
        readable,
        [
            "code", "csv", "docx", "eml", "epub", "html", "ipynb", "json", "markdown", "odp",
            "ods", "odt", "pdf", "pptx", "rtf", "text", "xls", "xlsx"
        ]
    );
}

#[tokio::test]
async fn types_that_cannot_be_obeyed_are_refused() {
    let (_stack, mut admin) = database().await;
    for change in [
        "chunk_size = 100, chunk_overlap = 50",
        "chunk_size = 100, chunk_overlap = -1",
        "chunk_size = 0, chunk_overlap = 0",
        "chunk_size = 8193",
        "mime_type = 'Text/Plain'",
        "mime_type = 'text/plain; charset=utf-8'",
        "mime_type = 'text'",
        "extensions = '{TXT}'",
        "max_file_size = 0",
        "splitter = 'scissors'",
        "extractor = ''",
        "options = '[]'",
    ] {
        let outcome = attempt(
            &mut admin,
            &format!("update file_type_configs set {change} where mime_type = 'text/plain'"),
        )
        .await;
        assert_eq!(outcome, Err("23514".into()), "{change}");
    }
}
