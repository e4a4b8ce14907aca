//! The embedded stack: kept data, one run at a time, nothing left behind.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read the environment, and ask what the program never asks"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use orion_ingest::embedded::{Folder, Stack, shim};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection, Row as _, error::DatabaseError};

use crate::stack;

/// Tells a copy of this test program to start a stack here and wait for its end.
const STAND_BY: &str = "ORION_INGEST_TEST_STAND_BY";

async fn start(folder: &Path) -> Stack {
    stack::start(Folder::Kept(folder.to_owned())).await
}

async fn connect(url: &SecretString) -> PgConnection {
    PgConnection::connect(url.expose_secret()).await.unwrap()
}

async fn fetch(url: &SecretString, query: &'static str) -> String {
    let mut connection = connect(url).await;
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    row.get(0)
}

async fn run(url: &SecretString, statement: &'static str) {
    sqlx::raw_sql(statement)
        .execute(&mut connect(url).await)
        .await
        .unwrap();
}

/// A folder that the server's account can enter.
fn open_tempdir() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test]
async fn it_is_a_postgres_with_vectors_for_its_owner_and_its_worker() {
    let stack = stack::Stack::new().await;
    let admin = stack.database_admin_url();
    let distance = fetch(&admin, "select ('[3,4]'::vector <-> '[0,0]')::text").await;
    assert_eq!(distance, "5");
    let encoding = fetch(&admin, "select current_setting('server_encoding')").await;
    assert_eq!(encoding, "UTF8");
    let role = "select current_user || ' ' || current_setting('is_superuser')";
    assert_eq!(fetch(&admin, role).await, "postgres on");
    assert_eq!(fetch(&stack.database_url(), role).await, "orion_ingest off");
}

#[tokio::test]
async fn the_worker_finds_an_uploaded_file_in_its_own_database() {
    let (stack, other) = tokio::join!(stack::Stack::new(), stack::Stack::new());
    let user = stack.user().await;
    let file = stack.file(user, "note.txt", "hello").await;
    let mut worker = connect(&stack.database_url()).await;
    let key: String = sqlx::query_scalar("select storage_path from files where id = $1")
        .bind(file)
        .fetch_one(&mut worker)
        .await
        .unwrap();
    assert_eq!(stack.objects().fetch(&key, 5).await.unwrap().bytes, "hello");
    let count = "select count(*)::text from files";
    assert_eq!(fetch(&other.database_url(), count).await, "0");
}

#[tokio::test]
async fn nobody_without_the_password_gets_in() {
    let stack = stack::Stack::new().await;
    let mut url = url::Url::parse(stack.database_admin_url().expose_secret()).unwrap();
    url.set_password(Some("a guess")).unwrap();
    let error = PgConnection::connect(url.as_str()).await.unwrap_err();
    let code = error.as_database_error().and_then(DatabaseError::code);
    assert_eq!(code.as_deref(), Some("28P01"));
}

#[tokio::test]
async fn data_stay_between_runs_and_a_second_run_is_told_so() {
    let folder = open_tempdir();
    let first = start(folder.path()).await;
    run(
        &first.database_admin_url(),
        "create table kept as select 'yes' as answer",
    )
    .await;
    let bucket = orion_ingest::objects::Objects::new(first.storage().settings());
    bucket
        .put("a/b.txt", "kept".into(), "text/plain")
        .await
        .unwrap();

    let second = Stack::start(stack::settings(Folder::Kept(folder.path().into()))).await;
    let error = second.unwrap_err().to_string();
    assert!(error.contains("another orion-ingest uses"), "{error}");

    first.stop().await.unwrap();
    // A number that somebody else has got since.
    let pid_file = folder.path().join("postgres/data/postmaster.pid");
    fs::write(pid_file, format!("{}\n", std::process::id())).unwrap();
    let again = start(folder.path()).await;
    let answer = fetch(&again.database_admin_url(), "select answer from kept").await;
    assert_eq!(answer, "yes");
    let bucket = orion_ingest::objects::Objects::new(again.storage().settings());
    assert_eq!(bucket.fetch("a/b.txt", 10).await.unwrap().bytes, "kept");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn postgres_dies_with_a_killed_parent_and_the_next_run_recovers() {
    let folder = open_tempdir();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["embedded::stand_by", "--exact", "--ignored", "--nocapture"])
        .env(STAND_BY, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let url: SecretString = lines
        .map(Result::unwrap)
        .find_map(|line| Some(line.split_once("postgres://")?.1.to_owned()))
        .map(|rest| format!("postgres://{rest}").into())
        .unwrap();
    run(&url, "create table kept as select 'yes' as answer").await;
    let mut witness = connect(&url).await;

    parent.kill().unwrap();
    parent.wait().unwrap();
    // Ends only when the server cuts it off.
    let cut_off = sqlx::query("select pg_sleep(600)")
        .execute(&mut witness)
        .await;
    assert!(cut_off.is_err());
    let again = start(folder.path()).await;
    let answer = fetch(&again.database_admin_url(), "select answer from kept").await;
    assert_eq!(answer, "yes");
    again.stop().await.unwrap();
}

/// The parent to be killed; does nothing when it is run by itself.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn stand_by() {
    let Some(folder) = std::env::var_os(STAND_BY) else {
        return;
    };
    let stack = start(Path::new(&folder)).await;
    println!("{}", stack.database_admin_url().expose_secret());
    // The test holds the other end and never writes.
    std::io::stdin().lines().for_each(drop);
}

#[tokio::test]
async fn a_throw_away_folder_is_gone_after_the_end() {
    let stack = stack::start(Folder::ThrowAway).await;
    let folder = stack.folder().to_owned();
    assert!(folder.join("postgres/data").exists());
    stack.stop().await.unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_sweeper_waits_for_the_death_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let doomed = folder.path().join("doomed");
    fs::create_dir_all(doomed.join("postgres/data")).unwrap();
    let mut sweeper = Command::new(env!("CARGO_BIN_EXE_orion-ingest"))
        .args([shim::SUBCOMMAND, "sweep"])
        .arg(&doomed)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(doomed.exists());
    drop(sweeper.stdin.take());
    assert!(sweeper.wait().unwrap().success());
    assert!(!doomed.exists());
}

#[tokio::test]
async fn root_does_not_run_postgres_and_a_closed_folder_is_replaced() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = closed.path().join(".orion");
    let stack = start(&wanted).await;
    // Only root has an account that it can lock out.
    assert_eq!(stack.folder() != wanted, is_root);
    let pid_file = stack.folder().join("postgres/data/postmaster.pid");
    let pid = fs::read_to_string(pid_file).unwrap();
    let process = format!("/proc/{}", pid.lines().next().unwrap());
    assert_ne!(fs::metadata(process).unwrap().uid(), 0);
    let folder = stack.folder().to_owned();
    stack.stop().await.unwrap();
    fs::remove_dir_all(folder).unwrap();
}
