//! The command line as its user meets it: exit codes, what goes where, and what it says when something is wrong.

use std::{fmt::Write as _, io::Write as _, os::unix::process::ExitStatusExt as _};

use orion_ingest::embedded::provider::faults::Fault;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use uuid::Uuid;

use crate::program::{Place, Running, Said, bare, finish, without_environment};

/// Nobody's.
const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

async fn answer(admin: &mut PgConnection, query: &'static str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests ask what the program never asks"
    )]
    let row = sqlx::query(query).fetch_one(admin).await.unwrap();
    row.get(0)
}

// ---- wrong usage

#[tokio::test]
async fn a_slip_of_the_keyboard_is_exit_2_with_a_tip() {
    let cases: [(&[&str], &str); 2] = [(&["serch", "x"], "search"), (&["--drian"], "--drain")];
    for (arguments, tip) in cases {
        let said = without_environment(arguments).await.exits(2);
        assert_eq!(said.out, "");
        said.complains_of(&["a similar", tip]);
    }
}

#[tokio::test]
async fn usage_that_makes_no_sense_is_exit_2_and_says_why() {
    let cases: [(&[&str], &str); 17] = [
        (&["ingest", "--user", NOBODY], "<PATHS>"),
        (&["ingest", "x"], "--user <UUID>"),
        (&["ingest", "x", "--user", "me"], "not a UUID such as"),
        (&["ingest", "x", "--user", NOBODY], "cannot read x"),
        (&["search", "x", "--user", "me"], "not a UUID such as"),
        (
            &["search", "x", "--user", NOBODY, "--limit", "0"],
            "1..=200",
        ),
        (&["retry"], "--failed"),
        (&["retry", "--code", "corrupt"], "--failed"),
        (
            &["retry", "--failed", "--file", NOBODY],
            "cannot be used with",
        ),
        (
            &["retry", "--file", NOBODY, "--code", "corrupt"],
            "cannot be used with",
        ),
        (
            &["retry", "--failed", "--code", "tired"],
            "one of unsupported_type",
        ),
        (&["--timeout", "5s"], "--drain"),
        (&["--drain", "--timeout", "soon"], "a duration such as 30s"),
        (&["--drain", "--timeout", "0"], "above zero"),
        // What would be ignored is refused.
        (&["--drain", "status"], "are for `run`"),
        (&["run", "--json"], "add --drain"),
        (&["extract", "nowhere.txt"], "cannot read nowhere.txt"),
    ];
    for (arguments, word) in cases {
        let said = without_environment(arguments).await.exits(2);
        assert_eq!(said.out, "", "{arguments:?}");
        said.complains_of(&["error: ", word]);
    }
}

#[tokio::test]
async fn flags_of_run_may_stand_before_its_name_too() {
    // It gets as far as the settings that a drain needs.
    let said = without_environment(&["--drain", "run", "--json"]).await;
    said.exits(2).complains_of(&["DATABASE_URL: not set"]);
}

#[tokio::test]
async fn a_folder_without_files_and_a_pipe_are_nothing_to_ingest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let arguments = ["ingest", "--user", NOBODY, "empty"];
    let said = finish(bare(folder.path(), &arguments)).await.exits(2);
    said.complains_of(&["there is no file under these paths"]);
    let arguments = ["ingest", "--user", NOBODY, "/dev/null"];
    let said = finish(bare(folder.path(), &arguments)).await.exits(2);
    said.complains_of(&["/dev/null is a device or a pipe"]);
}

#[tokio::test]
async fn help_teaches_and_goes_to_stdout() {
    let said = without_environment(&["--help"]).await.exits(0);
    assert_eq!(said.err, "");
    for word in [
        "Examples:",
        "Exit codes:",
        "orion-ingest demo",
        "--embedded",
        "--lease-seconds",
        "[default: 60]",
        "DATABASE_URL",
    ] {
        assert!(said.out.contains(word), "{word} is not in {}", said.out);
    }
    for command in ["run", "ingest", "retry", "search", "extract", "doctor"] {
        let said = without_environment(&[command, "--help"]).await.exits(0);
        assert!(said.out.contains("Usage:"), "{said:?}");
    }
}

// ---- local files

#[tokio::test]
async fn every_kind_of_file_is_read_and_cut_with_no_environment_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, Vec<u8>); 8] = [
        ("note.txt", b"The heron stands still.".to_vec()),
        ("note.md", b"# Birds\n\nThe heron stands still.".to_vec()),
        (
            "note.html",
            b"<h1>Birds</h1><p>The heron stands still.</p>".to_vec(),
        ),
        (
            "note.csv",
            b"bird,habit\nheron,The heron stands still.\n".to_vec(),
        ),
        (
            "note.json",
            br#"{"bird": "The heron stands still."}"#.to_vec(),
        ),
        (
            "note.rs",
            b"/// The heron stands still.\nfn heron() {}\n".to_vec(),
        ),
        ("note.pdf", pdf("The heron stands still.")),
        ("note.docx", docx("The heron stands still.")),
    ];
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
        let said = finish(bare(folder.path(), &["extract", name]))
            .await
            .exits(0);
        assert!(
            said.out.contains("The heron stands still."),
            "{name}: {said:?}"
        );
        assert_eq!(said.err, "", "{name}");

        let said = finish(bare(folder.path(), &["extract", name, "--json"]))
            .await
            .exits(0);
        let document = said.json();
        assert!(
            document["pages"][0]["blocks"][0]["text"].is_string(),
            "{document}"
        );

        let said = finish(bare(folder.path(), &["chunk", name, "--json"]))
            .await
            .exits(0);
        let chunk: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
        assert_eq!(chunk["chunk_index"], 0, "{name}");
        assert!(chunk["token_count"].as_u64().unwrap() > 0, "{name}");
        let page = if name == "note.pdf" {
            Value::from(1)
        } else {
            Value::Null
        };
        assert_eq!(chunk["page_number"], page, "{name}");
        assert!(chunk.get("heading").is_some(), "{name}");
        assert!(
            chunk["content"].as_str().unwrap().contains("heron"),
            "{name}"
        );
        assert_eq!(chunk["last_page"], page, "{name}");
        let span = chunk["start"].as_u64()..chunk["end"].as_u64();
        assert!(span.start < span.end, "{name}");
        assert!(chunk["prefix"].is_string(), "{name}");
        assert!(chunk["embedded_tokens"].as_u64() >= chunk["token_count"].as_u64());

        let characters = ["chunk", name, "--json", "--embedding-tokenizer", "none"];
        let said = finish(bare(folder.path(), &characters)).await.exits(0);
        let chunk: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
        let content = chunk["content"].as_str().unwrap();
        assert_eq!(chunk["token_count"], content.chars().count(), "{name}");
    }
}

#[tokio::test]
async fn a_file_without_text_to_give_is_exit_3_with_its_code_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 4] = [
        ("broken.pdf", b"%PDF-1.7 and no more", "corrupt: "),
        (
            "picture.png",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            "unsupported_type: ",
        ),
        ("blank.txt", b" \n\n ", "no_text: "),
        ("none.md", b"", "no_text: "),
    ];
    for (name, content, code) in cases {
        std::fs::write(folder.path().join(name), content).unwrap();
        for command in ["extract", "chunk"] {
            let said = finish(bare(folder.path(), &[command, name])).await.exits(3);
            assert_eq!(said.out, "");
            assert!(said.err.starts_with(code), "{said:?}");
        }
    }
    // It is as long as it says and has not a byte on disk.
    let large = std::fs::File::create(folder.path().join("large.txt")).unwrap();
    large.set_len(1 << 32).unwrap();
    let said = finish(bare(folder.path(), &["extract", "large.txt"])).await;
    said.exits(3).complains_of(&["too_large: "]);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for line in 0..100_000 {
        writeln!(text, "The heron number {line} stands still.\n").unwrap();
    }
    std::fs::write(folder.path().join("many.txt"), text).unwrap();
    for command in ["extract", "chunk"] {
        let mut command = bare(folder.path(), &[command, "many.txt"]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next_line().await.unwrap();
        drop(lines);
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .await
            .unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{err}");
        assert_eq!(err, "");
    }
}

#[tokio::test]
async fn results_that_cannot_be_written_are_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "The heron stands still.").unwrap();
    let mut command = bare(folder.path(), &["extract", "note.txt"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    command.stdout(full).stderr(std::process::Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    Said::from(output)
        .exits(1)
        .complains_of(&["error: No space left on device"]);
}

// ---- the queue

#[tokio::test]
async fn what_is_ingested_is_found_and_only_that_is_drained() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    let waiting = place
        .stack
        .file(user, "waiting.txt", "Waits for its turn.")
        .await;
    place.write("birds.md", "# Birds\n\nThe heron stands still.");
    place.write(".hidden.md", "Not this one.");

    let said = place
        .ingest(user, &["birds.md"], &["--json"])
        .await
        .exits(0);
    let report = said.json();
    assert_eq!(report["ending"], "drained");
    assert_eq!(report["files_completed"], 1);
    assert_eq!(report["chunks"], 1);
    assert_eq!(report["files_left"], 0);
    let mut admin = place.stack.admin().await;
    let left = "select id::text from files where processing_status = 'pending'";
    assert_eq!(answer(&mut admin, left).await, waiting.to_string());

    let user = user.to_string();
    let said = place
        .run(&["search", "heron", "--user", &user, "--json"])
        .await
        .exits(0);
    assert_eq!(said.err, "");
    let hit = &said.json()["results"][0];
    assert_eq!(hit["file_name"], "birds.md");
    assert_eq!(hit["heading"], "Birds");
    let said = place
        .run(&["search", "heron", "--user", &user])
        .await
        .exits(0);
    assert!(said.out.starts_with("1. "), "{said:?}");

    let said = place.run(&["status", "--json"]).await.exits(0);
    assert_eq!(said.json()["files"]["completed"], 1);
    assert_eq!(said.json()["files"]["pending"], 1);
    let said = place.run(&["status"]).await.exits(0);
    assert!(said.out.contains("active model"), "{said:?}");
}

#[tokio::test]
async fn files_that_fail_are_exit_3_unless_allowed_and_can_be_retried() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place.write("good.txt", "The heron stands still.");
    place.write("broken.pdf", "%PDF-1.7 and no more");
    let said = place
        .ingest(user, &["good.txt", "broken.pdf"], &["--json"])
        .await
        .exits(3);
    let report = said.json();
    assert_eq!(report["files_completed"], 1);
    assert_eq!(report["files_failed"], 1);
    assert_eq!(report["failed_by_code"]["corrupt"], 1);
    assert_eq!(report["failures"][0]["name"], "broken.pdf");
    let failed = report["failures"][0]["file"].as_str().unwrap().to_owned();

    // Nothing failed in a run that had nothing to do.
    place.run(&["--drain"]).await.exits(0);

    let said = place
        .run(&["retry", "--failed", "--code", "encrypted"])
        .await
        .exits(0);
    assert_eq!(said.out, "0 files put back in the queue\n");
    let said = place
        .run(&["retry", "--failed", "--code", "corrupt"])
        .await
        .exits(0);
    assert_eq!(said.out, "1 file put back in the queue\n");
    let said = place.run(&["--drain", "--allow-failures"]).await.exits(0);
    assert!(said.out.contains("1 corrupt"), "{said:?}");

    place.run(&["retry", "--file", &failed]).await.exits(0);
    place.run(&["run", "--drain"]).await.exits(3);
    let said = place.run(&["retry", "--file", NOBODY]).await.exits(2);
    said.complains_of(&["no failed or waiting file has this id"]);
}

#[tokio::test]
async fn a_file_that_no_type_may_be_as_large_as_is_left_out_and_the_others_go_on() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    let large = std::fs::File::create(place.folder.path().join("large.txt")).unwrap();
    large.set_len(1 << 40).unwrap();
    place.write("good.txt", "The heron stands still.");
    let said = place
        .ingest(user, &["large.txt", "good.txt"], &["--json"])
        .await
        .exits(3);
    let report = said.json();
    assert_eq!(report["files_completed"], 1);
    assert_eq!(report["refused"][0]["path"], "large.txt");
    let reason = report["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("max_file_size"), "{reason}");
    let mut admin = place.stack.admin().await;
    assert_eq!(
        answer(&mut admin, "select count(*)::text from files").await,
        "1"
    );
}

#[tokio::test]
async fn an_unknown_user_is_exit_2_before_anything_is_uploaded_or_paid() {
    let place = Place::new().await;
    place.write("good.txt", "The heron stands still.");
    for arguments in [["ingest", "good.txt"], ["search", "heron"]] {
        let arguments = [&arguments[..], &["--user", NOBODY]].concat();
        let said = place.run(&arguments).await.exits(2);
        said.complains_of(&[NOBODY, "user_profiles"]);
    }
    assert_eq!(place.provider.counts().requests, 0);
}

#[tokio::test]
async fn the_second_migration_does_nothing() {
    let place = Place::new().await;
    for _ in 0..2 {
        let said = place.run(&["migrate", "--seed"]).await.exits(0);
        assert!(said.out.contains("001_initial_schema"), "{said:?}");
        assert!(!said.out.contains("applied"), "{said:?}");
    }
}

// ---- what is broken elsewhere

#[tokio::test]
async fn a_database_that_is_not_there_is_exit_1_at_once_and_says_so() {
    let place = Place::new().await;
    // Nothing listens on this port, which was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("postgres://worker:sesame@127.0.0.1:{port}/postgres");
    for arguments in [
        &["status"][..],
        &["--drain"],
        &["search", "x", "--user", NOBODY],
    ] {
        let said = place
            .run_with("DATABASE_URL", &url, arguments)
            .await
            .exits(1);
        // The pool's own word, after its patience, would be that it timed out.
        let said = said.complains_of(&["the database is not available", "Connection refused"]);
        assert!(!said.err.contains("sesame"), "{said:?}");
    }
    let said = place
        .run_with("DATABASE_ADMIN_URL", &url, &["migrate"])
        .await
        .exits(1);
    said.complains_of(&["Connection refused"]);
    let said = place
        .run_with("DATABASE_URL", &url, &["doctor"])
        .await
        .exits(1);
    assert!(said.out.contains("check DATABASE_URL"), "{said:?}");
    // The other parts are examined all the same.
    assert!(said.out.contains("ok       storage"), "{said:?}");
}

#[tokio::test]
async fn refused_credentials_are_exit_1_at_once_and_name_the_variable() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    let mut url = url::Url::parse(place.stack.database_url().expose_secret()).unwrap();
    url.set_password(Some("a-guess")).unwrap();
    let cases = [
        ("DATABASE_URL", url.as_str(), "the password"),
        (
            "STORAGE_S3_ACCESS_KEY_ID",
            "a-guess",
            "check STORAGE_S3_ACCESS_KEY_ID",
        ),
        (
            "STORAGE_S3_SECRET_ACCESS_KEY",
            "a-guess",
            "check STORAGE_S3_SECRET_ACCESS_KEY",
        ),
        (
            "STORAGE_BUCKET",
            "a-guess",
            "there is no such bucket; check STORAGE_BUCKET",
        ),
        ("OPENAI_API_KEY", "a-guess", "refuses OPENAI_API_KEY"),
        (
            "OPENAI_BASE_URL",
            &place.provider.base_url.replace("/v1", "/v7"),
            "check OPENAI_BASE_URL",
        ),
    ];
    for (name, value, word) in cases {
        let said = place.run_with(name, value, &["--drain"]).await.exits(1);
        let said = said.complains_of(&["error: ", word]);
        assert!(!said.err.contains("a-guess"), "{said:?}");
        // A healthy provider is asked again, and the file is where it was.
        place.run_with(name, value, &["doctor"]).await.exits(1);
    }
    let mut admin = place.stack.admin().await;
    let state = "select processing_status || ' ' || processing_attempts from files";
    assert_eq!(answer(&mut admin, state).await, "pending 0");
}

#[tokio::test]
async fn a_spent_quota_is_exit_1_at_once_and_says_what_is_left() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    place.provider.faults.next_requests(50, &Fault::QuotaSpent);
    let said = place.run(&["--drain", "--json"]).await.exits(1);
    assert_eq!(said.json()["ending"], "provider_quota_spent");
    assert_eq!(said.json()["files_left"], 1);
    said.complains_of(&["the quota at the embedding provider is spent", "1 file"]);
}

#[tokio::test]
async fn a_drain_whose_time_is_up_is_exit_1_and_says_what_is_left() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    place.provider.faults.hold();
    let said = place
        .run(&["--drain", "--timeout", "1s", "--json"])
        .await
        .exits(1);
    assert_eq!(said.json()["ending"], "timed_out");
    assert_eq!(said.json()["files_left"], 1);
    said.complains_of(&["the time is up", "1 file"]);
    place.provider.faults.release();
    place.run(&["--drain", "--timeout", "10m"]).await.exits(0);
}

#[tokio::test]
async fn a_database_without_migrations_asks_for_them() {
    let place = Place::new().await;
    let mut url = url::Url::parse(place.stack.database_admin_url().expose_secret()).unwrap();
    let name = format!("empty_{}", Uuid::new_v4().simple());
    let mut admin = place.stack.admin().await;
    let statement = format!("create database {name} template template0");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut admin)
        .await
        .unwrap();
    url.set_path(&name);
    for arguments in [&["status"][..], &["--drain"], &["retry", "--failed"]] {
        let said = place
            .run_with("DATABASE_URL", url.as_str(), arguments)
            .await
            .exits(1);
        said.complains_of(&["run `orion-ingest migrate --seed`"]);
    }
    let said = place
        .run_with("DATABASE_URL", url.as_str(), &["doctor"])
        .await
        .exits(1);
    assert!(
        said.out.contains("run `orion-ingest migrate --seed`"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_url_that_is_none_is_a_wrong_setting() {
    let place = Place::new().await;
    let mut url = url::Url::parse(place.stack.database_url().expose_secret()).unwrap();
    url.set_query(Some("sslmode=perhaps"));
    for url in [url.as_str(), "localhost", "mysql://a:b@c/d"] {
        let said = place
            .run_with("DATABASE_URL", url, &["status"])
            .await
            .exits(2);
        assert!(!said.err.contains(url), "{said:?}");
    }
}

#[tokio::test]
async fn doctor_is_exit_0_when_all_is_well_and_2_when_settings_are_wrong() {
    let place = Place::new().await;
    let said = place.run(&["doctor"]).await.exits(0);
    assert!(said.out.ends_with("0 problems\n"), "{said:?}");
    assert_eq!(said.err, "");
    let said = place
        .run_with("LEASE_SECONDS", "soon", &["doctor"])
        .await
        .exits(2);
    assert!(
        said.out.contains("LEASE_SECONDS: \"soon\" is not"),
        "{said:?}"
    );
    assert!(said.out.contains("ok       database"), "{said:?}");
}

#[tokio::test]
async fn doctor_warns_of_a_connection_that_may_do_more_than_the_worker() {
    let place = Place::new().await;
    place.run(&["doctor"]).await.prints(&[
        "ok       rights",
        "ok       extract",
        "no files, network or programs",
    ]);
    let owner = place.stack.database_admin_url();
    place
        .run_with("DATABASE_URL", owner.expose_secret(), &["doctor"])
        .await
        .exits(0)
        .prints(&["WARNING  rights", "orion_ingest", "0 problems"]);
    // Without any attribute of its own, a login that may delete files may do too much, too.
    place
        .stack
        .sql("do $$ begin create role deletes login password 'guessed' in role orion_ingest; exception when duplicate_object then null; end $$;
              grant delete on files to deletes")
        .await;
    let mut url = url::Url::parse(owner.expose_secret()).unwrap();
    url.set_username("deletes").unwrap();
    url.set_password(Some("guessed")).unwrap();
    place
        .run_with("DATABASE_URL", url.as_str(), &["doctor"])
        .await
        .exits(0)
        .prints(&["WARNING  rights"]);
}

#[tokio::test]
async fn a_service_says_at_its_start_under_which_limits_files_are_read() {
    let place = Place::new().await;
    let mut service = place.start(&["--extract-timeout", "45s"]);
    let line = service.logs("files are read in child processes").await;
    assert_eq!(line["level"], "INFO", "{line}");
    let limits = line["limits"].as_str().unwrap();
    for limit in ["1024 MiB", "45s", "16 open files"] {
        assert!(limits.contains(limit), "{limit} is not in {limits}");
    }
}

// ---- signals

#[tokio::test]
async fn a_service_that_is_told_to_stop_exits_0_and_has_finished_what_it_had() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    place.provider.faults.hold();
    let mut service = place.start(&[]);
    place.provider.seen(|counts| counts.requests > 0).await;
    service.terminate();
    service.logs("finishing what is in hand").await;
    place.provider.faults.release();
    let (status, said) = service.ends().await;
    assert_eq!(status.code(), Some(0), "{said:?}");
    assert_eq!(said.out, "");
    let mut admin = place.stack.admin().await;
    let state = "select processing_status::text from files";
    assert_eq!(answer(&mut admin, state).await, "completed");
}

#[tokio::test]
async fn a_drain_that_is_told_to_stop_twice_hands_its_leases_back_and_exits_1() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    place.provider.faults.hold();
    let mut drain = place.start(&["--drain", "--json"]);
    place.provider.seen(|counts| counts.requests > 0).await;
    drain.terminate();
    drain.logs("finishing what is in hand").await;
    drain.terminate();
    drain.logs("handing leases back").await;
    // What was sent is booked.
    place.provider.faults.release();
    let (status, said) = drain.ends().await;
    assert_eq!(
        status.code(),
        Some(1),
        "{status:?} {:?} {said:?}",
        status.signal()
    );
    assert_eq!(said.json()["ending"], "interrupted");
    let mut admin = place.stack.admin().await;
    let state = "select processing_status || ' ' || (lease_token is null) || ' ' || processing_attempts from files";
    assert_eq!(answer(&mut admin, state).await, "pending true 0");
    let bill = "select count(*)::text from usage_logs where action = 'embedding'";
    assert_eq!(answer(&mut admin, bill).await, "1");
}

#[tokio::test]
async fn who_is_told_to_stop_while_it_connects_obeys_at_once() {
    let place = Place::new().await;
    // It takes the connection and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u:p@{}/x", silent.local_addr().unwrap());
    for (arguments, code) in [(&[][..], 0), (&["--drain"], 1)] {
        let mut command = place.command(arguments);
        command.env("DATABASE_URL", &url);
        let program = Running::start(command);
        let (_connection, _) = silent.accept().await.unwrap();
        program.terminate();
        let (status, said) = program.ends().await;
        assert_eq!(status.code(), Some(code), "{status:?} {said:?}");
    }
}

// ---- what is printed

#[tokio::test]
async fn a_drain_without_a_terminal_logs_lines_and_prints_its_report_alone() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    let said = place.run(&["--drain"]).await.exits(0);
    assert!(said.out.starts_with("drained in "), "{said:?}");
    assert!(said.out.contains("1 completed, 0 failed"), "{said:?}");
    assert!(!said.err.contains('\u{1b}'), "{said:?}");
    let lines: Vec<Value> = said
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let committed = lines
        .iter()
        .find(|line| line["message"] == "committed")
        .unwrap();
    assert!(committed["span"]["file.id"].is_string(), "{committed}");
}

#[tokio::test]
async fn nothing_printed_at_any_level_has_a_secret_or_the_text_of_a_document() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place.write(
        "note.txt",
        "heronwords stand still, and every log is silent about them",
    );
    place.write("broken.pdf", "%PDF-1.7 heronwords");
    place.write(
        ".env",
        "OPENAI_API_KEY='not this one'\nSUPABASE_SERVICE_ROLE_KEY=servicewords\n",
    );
    let storage = place.stack.objects_settings();
    let password = |url: &SecretString| {
        let url = url::Url::parse(url.expose_secret()).unwrap();
        url.password().unwrap().to_owned()
    };
    let secrets = [
        password(&place.stack.database_url()),
        password(&place.stack.database_admin_url()),
        storage.secret_access_key.expose_secret().to_owned(),
        crate::program::PROVIDER_KEY.to_owned(),
        "tokenwords".to_owned(),
        "servicewords".to_owned(),
        "heronwords".to_owned(),
        "querywords".to_owned(),
    ];
    let user = user.to_string();
    let runs: [&[&str]; 7] = [
        &["ingest", "note.txt", "broken.pdf", "--user", &user],
        &["search", "querywords", "--user", NOBODY],
        &["retry", "--failed"],
        &["--drain", "--json"],
        &["status"],
        &["doctor"],
        &["migrate"],
    ];
    let mut lines = 0;
    for format in ["text", "json"] {
        for arguments in runs {
            let mut command = place.command(arguments);
            command
                .env("RUST_LOG", "trace")
                .env("LOG_FORMAT", format)
                .env("STORAGE_S3_SESSION_TOKEN", "tokenwords");
            let Said { out, err, .. } = finish(command).await;
            lines += err.lines().count();
            for secret in &secrets {
                let leak = [&out, &err].iter().any(|said| said.contains(secret));
                assert!(!leak, "{secret} in {arguments:?}: {out}\n{err}");
            }
        }
    }
    // Else the level was not heeded, and nothing was shown.
    assert!(lines > 100, "{lines} lines");
    // Results quote the text; logs do not, nor the query.
    let said = place
        .run_with(
            "RUST_LOG",
            "trace",
            &["search", "querywords", "--user", &user],
        )
        .await
        .exits(0);
    assert!(!said.err.contains("querywords"), "{said:?}");
}

#[tokio::test]
async fn the_demo_tells_what_became_of_each_file_and_answers_two_searches() {
    let folder = tempfile::Builder::new().tempdir().unwrap();
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut command = bare(folder.path(), &["demo"]);
    for name in ["HOME", "XDG_CACHE_HOME"] {
        if let Some(value) = crate::stack::variable(name) {
            command.env(name, value);
        }
    }
    let said = finish(command).await.exits(0);
    for words in [
        "handbook.pdf                 completed",
        "failed          0  encrypted: ",
        "failed          0  scanned: ",
        "failed          0  corrupt: ",
        "failed          0  no_text: ",
        "handbook.pdf, page 27, 20 Care through the year > Insects and birds",
        "service-instruction.docx, Work at the station > Drip test of the rain gauge",
    ] {
        assert!(said.out.contains(words), "{words:?} is not in {said:#?}");
    }
    assert_eq!(said.err, "", "the table says it all");
}

#[tokio::test]
async fn the_embedded_stack_is_quiet_and_ends_with_the_command() {
    let folder = tempfile::Builder::new().tempdir().unwrap();
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    std::fs::write(folder.path().join("note.txt"), "The heron stands still.").unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = bare(folder.path(), arguments);
        for name in ["HOME", "XDG_CACHE_HOME"] {
            if let Some(value) = crate::stack::variable(name) {
                command.env(name, value);
            }
        }
        // What belongs to another database and storage.
        command
            .env("DATABASE_DIRECT_URL", "postgres://nobody@127.0.0.1:1/none")
            .env("STORAGE_S3_SESSION_TOKEN", "of another storage");
        finish(command).await
    };
    let arguments = ["--embedded", "ingest", "note.txt", "--user", NOBODY];
    let said = run(&arguments).await.exits(0);
    let expected = ["\"working\"", "\"committed\"", "\"files are read in child"];
    let noise = said
        .err
        .lines()
        .filter(|line| !expected.iter().any(|words| line.contains(words)));
    assert_eq!(noise.collect::<String>(), "");
    let arguments = ["search", "heron", "--user", NOBODY, "--embedded"];
    let said = run(&arguments).await.exits(0);
    assert!(said.out.contains("note.txt"), "{said:?}");
    assert_eq!(said.err, "");
}

// ---- small real documents

fn pdf(text: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (index, object) in objects.iter().enumerate() {
        writeln!(table, "{:010} 00000 n ", pdf.len()).unwrap();
        write!(pdf, "{} 0 obj\n{object}\nendobj\n", index + 1).unwrap();
    }
    let start = pdf.len();
    let size = objects.len() + 1;
    write!(
        pdf,
        "xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    )
    .unwrap();
    pdf.into_bytes()
}

fn docx(text: &str) -> Vec<u8> {
    let parts = [
        (
            "[Content_Types].xml",
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#.to_owned(),
        ),
        (
            "_rels/.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#.to_owned(),
        ),
        (
            "word/document.xml",
            format!(r#"<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"#),
        ),
    ];
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in parts {
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
