//! The two searches: one's own rows, the nearest first, of the active model only, and none lost to an index.

use sqlx::PgConnection;

use super::{
    ADA, ANON, BOB, Caller, EVE, SERVICE, WORKER, acting, attempt, database, person, row, rows,
    run, vector,
};

/// Three chunks of a person, at a growing distance from axis 0.
async fn add_chunks(admin: &mut PgConnection, user: &str, model: &str) {
    run(
        admin,
        &format!(
            "insert into files (id, user_id, original_name, storage_path, mime_type, file_size, processing_status)
                 values ('{user}', '{user}', 'x', 'x', 'text/plain', 1, 'completed');
             insert into document_chunks (file_id, user_id, content, chunk_index, page_number, heading, embedding, embedding_model)
             values ('{user}', '{user}', 'near', 0, 1, 'A > B', {}, {model}),
                    ('{user}', '{user}', 'far', 1, 2, null, {}, {model}),
                    ('{user}', '{user}', 'farther', 2, null, null, {}, {model})",
            vector(0, 0.1),
            vector(0, 2.0),
            vector(500, 0.0),
        ),
    )
    .await;
}

fn search(arguments: &str) -> String {
    format!(
        "select content, round(similarity::numeric, 3) from search_similar_chunks({}, {arguments})",
        vector(0, 0.0)
    )
}

const ACTIVE: &str = "'text-embedding-3-small'";

#[tokio::test]
async fn the_nearest_come_first_with_their_place_and_likeness() {
    let (_stack, mut admin) = database().await;
    add_chunks(&mut admin, ADA, ACTIVE).await;
    let all = rows(&mut admin, &search(&format!("'{ADA}'"))).await;
    assert_eq!(all, ["near,0.995", "far,0.447", "farther,0.000"]);
    let one = rows(&mut admin, &search(&format!("'{ADA}', null, 1"))).await;
    assert_eq!(one, ["near,0.995"]);
    let like = rows(&mut admin, &search(&format!("'{ADA}', 0.4"))).await;
    assert_eq!(like, ["near,0.995", "far,0.447"]);
    let place = row(
        &mut admin,
        &format!(
            "select file_id, chunk_index, page_number, heading, metadata from search_similar_chunks({}, '{ADA}', match_count => 1)",
            vector(0, 0.0)
        ),
    )
    .await;
    assert_eq!(place, format!(r#"{ADA},0,1,"A > B",{{}}"#));
}

#[tokio::test]
async fn the_number_of_hits_has_a_bound_and_may_be_nothing() {
    let (_stack, mut admin) = database().await;
    add_chunks(&mut admin, ADA, ACTIVE).await;
    run(
        &mut admin,
        &format!(
            "insert into document_chunks (file_id, user_id, content, chunk_index, embedding)
             select '{ADA}', '{ADA}', 'x', i, {} from generate_series(3, 300) i",
            vector(1, 0.0)
        ),
    )
    .await;
    for (asked, expected) in [("100000", "200"), ("0", "0"), ("-1", "0"), ("null", "5")] {
        let found = row(
            &mut admin,
            &format!(
                "select count(*) from ({}) t",
                search(&format!("'{ADA}', null, {asked}"))
            ),
        )
        .await;
        assert_eq!(found, expected, "{asked}");
    }
}

#[tokio::test]
async fn a_user_finds_only_their_own_whatever_id_they_pass_and_so_does_an_admin() {
    let (_stack, mut admin) = database().await;
    add_chunks(&mut admin, ADA, ACTIVE).await;
    add_chunks(&mut admin, BOB, ACTIVE).await;
    let cases: [(Caller, &str, usize); 8] = [
        (person(ADA), ADA, 3),
        (person(ADA), BOB, 0),
        (person(BOB), BOB, 3),
        (person(EVE), ADA, 0),
        (SERVICE, ADA, 3),
        (SERVICE, BOB, 3),
        (WORKER, ADA, 3),
        (WORKER, EVE, 0),
    ];
    for (caller, user, expected) in cases {
        let mut tx = acting(&mut admin, caller).await;
        let found = rows(&mut tx, &search(&format!("'{user}'"))).await;
        assert_eq!(found.len(), expected, "{caller:?} for {user}");
        tx.rollback().await.expect("a rollback");
    }
    let nobody = rows(&mut admin, &search("null")).await;
    assert_eq!(nobody.len(), 0);
    let mut tx = acting(&mut admin, ANON).await;
    let outcome = attempt(&mut tx, &search(&format!("'{ADA}'"))).await;
    assert_eq!(outcome, Err("42501".into()));
}

#[tokio::test]
async fn vectors_without_a_model_are_the_active_ones_and_those_of_others_are_not_searched() {
    let (_stack, mut admin) = database().await;
    add_chunks(&mut admin, ADA, "null").await;
    add_chunks(&mut admin, BOB, "'another-model'").await;
    assert_eq!(
        rows(&mut admin, &search(&format!("'{ADA}'"))).await.len(),
        3
    );
    assert_eq!(
        rows(&mut admin, &search(&format!("'{BOB}'"))).await.len(),
        0
    );
}

#[tokio::test]
async fn a_query_that_no_column_can_answer_is_told_the_active_model() {
    let (_stack, mut admin) = database().await;
    let active = row(&mut admin, "select * from active_embedding_model()").await;
    assert_eq!(active, "text-embedding-3-small,1536");
    for query in [
        search(&format!("'{ADA}', query_model => 'another-model'")),
        format!("select * from search_similar_chunks('[1,2,3]', '{ADA}')"),
        format!("select * from search_similar_messages('[1,2,3]', '{ADA}')"),
        format!("select * from search_similar_chunks(array_fill(0, array[1536])::vector, '{ADA}')"),
        "select * from active_embedding_model('nothing')".to_owned(),
    ] {
        assert_eq!(
            attempt(&mut admin, &query).await,
            Err("22023".into()),
            "{query}"
        );
    }
    let said = sqlx::raw_sql(sqlx::AssertSqlSafe(search(&format!(
        "'{ADA}', query_model => 'another-model'"
    ))))
    .execute(&mut admin)
    .await
    .expect_err("another model");
    assert!(
        said.to_string().contains("text-embedding-3-small"),
        "{said}"
    );
    let same = rows(
        &mut admin,
        &search(&format!("'{ADA}', query_model => {ACTIVE}")),
    )
    .await;
    assert_eq!(same.len(), 0);
}

#[tokio::test]
async fn beyond_what_is_compared_one_by_one_either_index_answers_in_order_and_settings_stay() {
    let (_stack, mut admin) = database().await;
    add_chunks(&mut admin, ADA, ACTIVE).await;
    add_chunks(&mut admin, BOB, ACTIVE).await;
    run(
        &mut admin,
        &format!(
            "insert into document_chunks (file_id, user_id, content, chunk_index, embedding)
             select '{ADA}', '{ADA}', 'crowd', i,
                 (array[100, 20 + i % 97, i % 89, i % 83] || array_fill(0, array[1532]))::vector
             from generate_series(3, 2000) i;
             create or replace function search_effort(target text, out one_by_one bigint, out probes integer)
                 language sql stable as 'select 1000::bigint, 10'"
        ),
    )
    .await;
    for index in [
        "ivfflat (embedding vector_cosine_ops) with (lists = 10)",
        "hnsw (embedding vector_cosine_ops)",
    ] {
        run(
            &mut admin,
            &format!(
                "drop index idx_document_chunks_embedding;
                 create index idx_document_chunks_embedding on document_chunks using {index};
                 analyze document_chunks"
            ),
        )
        .await;
        let mut tx = acting(&mut admin, person(ADA)).await;
        let found = rows(&mut tx, &search(&format!("'{ADA}', null, 200"))).await;
        assert_eq!(found.len(), 200, "{index}");
        assert_eq!(found[0], "near,0.995", "{index}");
        let likeness: Vec<f64> = found
            .iter()
            .map(|hit| {
                hit.split(',')
                    .nth(1)
                    .expect("two columns")
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert!(
            likeness.is_sorted_by(|a, b| a >= b),
            "{index}: {likeness:?}"
        );
        let settings = row(
            &mut tx,
            "select current_setting('ivfflat.probes'), current_setting('ivfflat.iterative_scan'),
                 current_setting('hnsw.iterative_scan'), current_setting('enable_sort')",
        )
        .await;
        assert_eq!(settings, "1,off,off,on");
        tx.rollback().await.expect("a rollback");
        // Bob's few are found among all of Ada's.
        let few = rows(&mut admin, &search(&format!("'{BOB}'"))).await;
        assert_eq!(few.len(), 3, "{index}");
    }
}

#[tokio::test]
async fn how_many_rows_are_compared_one_by_one_follows_from_the_table_and_its_index() {
    let (_stack, mut admin) = database().await;
    let effort = "select * from search_effort('chunks')";
    let of_million = "update pg_class set reltuples = 1e6 where relname = 'document_chunks'";
    // As migrated: 100 lists.
    assert_eq!(row(&mut admin, effort).await, "20000,80");
    run(&mut admin, of_million).await;
    assert_eq!(row(&mut admin, effort).await, "266667,80");
    for (index, expected) in [
        (
            "ivfflat (embedding vector_cosine_ops) with (lists = 1000)",
            "84333,253",
        ),
        ("hnsw (embedding vector_cosine_ops)", "31623,80"),
    ] {
        run(
            &mut admin,
            &format!(
                "drop index idx_document_chunks_embedding;
                 create index idx_document_chunks_embedding on document_chunks using {index}; {of_million}"
            ),
        )
        .await;
        assert_eq!(row(&mut admin, effort).await, expected, "{index}");
    }
    // Without an index, and of messages.
    run(&mut admin, "drop index idx_document_chunks_embedding").await;
    assert_eq!(row(&mut admin, effort).await, "9223372036854775806,80");
    let messages = row(&mut admin, "select * from search_effort('messages')").await;
    assert_eq!(messages, "20000,80");
}

#[tokio::test]
async fn messages_are_found_in_one_conversation_or_in_all() {
    let (_stack, mut admin) = database().await;
    for (conversation, user) in [(ADA, ADA), (EVE, ADA), (BOB, BOB)] {
        run(
            &mut admin,
            &format!(
                "insert into conversations (id, user_id) values ('{conversation}', '{user}');
                 insert into messages (conversation_id, user_id, role, content, embedding)
                 values ('{conversation}', '{user}', 'user', 'near', {}),
                        ('{conversation}', '{user}', 'assistant', 'far', {}),
                        ('{conversation}', '{user}', 'user', 'not embedded', null)",
                vector(0, 0.1),
                vector(0, 2.0),
            ),
        )
        .await;
    }
    let search = |arguments: &str| {
        format!(
            "select conversation_id, role, content, round(similarity::numeric, 3)
             from search_similar_messages({}, {arguments})",
            vector(0, 0.0)
        )
    };
    let mut tx = acting(&mut admin, person(ADA)).await;
    let one = rows(&mut tx, &search(&format!("'{ADA}', '{EVE}'"))).await;
    assert_eq!(
        one,
        [
            format!("{EVE},user,near,0.995"),
            format!("{EVE},assistant,far,0.447")
        ]
    );
    assert_eq!(rows(&mut tx, &search(&format!("'{ADA}'"))).await.len(), 4);
    assert_eq!(
        rows(&mut tx, &search(&format!("'{ADA}', null, 0.9")))
            .await
            .len(),
        2
    );
    assert_eq!(rows(&mut tx, &search(&format!("'{BOB}'"))).await.len(), 0);
    assert_eq!(
        rows(&mut tx, &search(&format!("'{ADA}', '{BOB}'")))
            .await
            .len(),
        0
    );
}

#[tokio::test]
async fn an_edited_message_loses_its_vector_and_an_embedded_one_is_not_edited() {
    let (_stack, mut admin) = database().await;
    run(
        &mut admin,
        &format!(
            "insert into conversations (id, user_id) values ('{ADA}', '{ADA}');
             insert into messages (conversation_id, user_id, role, content) values ('{ADA}', '{ADA}', 'user', 'x');
             update messages set updated_at = '2020-01-01'"
        ),
    )
    .await;
    run(
        &mut admin,
        &format!(
            "update messages set embedding = {}, embedding_model = {ACTIVE}",
            vector(0, 0.0)
        ),
    )
    .await;
    let embedded = row(
        &mut admin,
        "select embedding is not null, updated_at::date from messages",
    )
    .await;
    assert_eq!(embedded, "t,2020-01-01");
    run(&mut admin, "update messages set content = 'y'").await;
    let edited = row(
        &mut admin,
        "select embedding is null, embedding_model is null, updated_at > now() - interval '1 hour' from messages",
    )
    .await;
    assert_eq!(edited, "t,t,t");
}
