//! The embedded stack behind `--embedded`, `demo` and `with`.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use secrecy::ExposeSecret;
use serde::Deserialize;
use uuid::uuid;

use crate::{
    app,
    cli::Exit,
    config::{self, Config, Source},
    db::{self, Db, FileState, Hit, Scope, migrate},
    document::UserId,
    embedded::{Folder, Settings, Sources, Stack},
    objects::Objects,
    ops::{
        progress::Screen,
        report::Report,
        run::Worker,
        search::{Found, search},
        upload,
    },
    shutdown::Signals,
};

/// Where `--data-dir` points by itself.
const DEFAULT_FOLDER: &str = ".orion";

/// Whose files the samples become; `search --embedded --user` finds them afterwards.
const DEMO_USER: UserId = UserId(uuid!("0de00000-0000-4000-8000-000000000001"));

/// Settings that belong to the database, storage and provider of the environment.
const ELSEWHERE: [&str; 3] = [
    "DATABASE_DIRECT_URL",
    "STORAGE_S3_SESSION_TOKEN",
    "STORAGE_PATH_POLICY",
];

/// Starts the stack in `folder`, brings its database up to date and puts its addresses over those of `source`.
///
/// # Errors
///
/// Whatever keeps a server from starting, with what to do about it.
pub async fn start(folder: &Path, program: PathBuf, source: &mut Source) -> anyhow::Result<Stack> {
    let settings = Settings {
        folder: Folder::Kept(folder.to_owned()),
        program,
        sources: Sources::usual(cache(source)),
    };
    let stack = Stack::start(settings).await?;
    for (name, value) in stack.variables() {
        source.set(name, value.expose_secret());
    }
    for name in ELSEWHERE {
        source.set(name, "");
    }
    let mut admin = db::connect_admin(&stack.database_admin_url()).await?;
    migrate::migrate(&mut admin, true).await.with_context(|| {
        format!(
            "cannot prepare the database in {}; another --data-dir starts afresh",
            stack.folder().display()
        )
    })?;
    Ok(stack)
}

/// Where downloaded Postgres binaries are kept between runs.
fn cache(source: &Source) -> Option<PathBuf> {
    let folder = |name| source.given(name).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".cache")))
        .map(|cache| cache.join("orion-ingest"))
}

/// Adds a user to the embedded database if it has no such user yet.
///
/// # Errors
///
/// A database that does not answer.
pub async fn ensure_user(stack: &Stack, user: UserId) -> anyhow::Result<()> {
    let mut admin = db::connect_admin(&stack.database_admin_url()).await?;
    Ok(db::add_user(&mut admin, user).await?)
}

/// Runs another program with the stack's addresses in its environment; if that fails, so do we.
///
/// # Errors
///
/// A program that cannot be started.
pub async fn with(command: &[OsString], stack: &Stack) -> anyhow::Result<Exit> {
    let (program, arguments) = command.split_first().context("no program given")?;
    let mut child = tokio::process::Command::new(program);
    child.args(arguments);
    for (name, value) in stack.variables() {
        child.env(name, value.expose_secret());
    }
    let status = child
        .status()
        .await
        .with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
    Ok(if status.success() {
        Exit::Done
    } else {
        Exit::Broken
    })
}

/// Results of each search that are shown.
const SHOWN_HITS: u16 = 3;

/// What must come of `fixtures/`, from its `expected.json`.
#[derive(Debug, Deserialize)]
struct Expected {
    files: Vec<ExpectedFile>,
    searches: Vec<ExpectedSearch>,
}

#[derive(Debug, Deserialize)]
struct ExpectedFile {
    file: String,
    mime_type: String,
    status: String,
    code: Option<String>,
    min_chunks: i32,
}

#[derive(Debug, Deserialize)]
struct ExpectedSearch {
    query: String,
    file: String,
    page: Option<i32>,
    heading: String,
}

/// Ingests `fixtures/`, prints what became of each file, and answers two searches.
///
/// # Errors
///
/// A stack that breaks; a fixture that ends otherwise than expected is exit code 1.
pub async fn demo(
    stack: &Stack,
    source: &Source,
    program: PathBuf,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let fixtures = fixtures()?;
    let expected: Expected =
        serde_json::from_slice(&std::fs::read(fixtures.join("expected.json"))?)?;
    clear(stack, source).await?;

    let worker = Worker::connect(Config::load(source, program)?).await?;
    let mut ids = Vec::new();
    for file in &expected.files {
        let path = fixtures.join(&file.file);
        ids.push(
            upload::upload(
                &worker.app,
                DEMO_USER,
                &path,
                std::fs::read(&path)?.into(),
                Some(&file.mime_type),
            )
            .await?
            .0,
        );
    }
    let (_, report) = worker
        .drain(
            Scope::Only {
                user: DEMO_USER,
                files: ids.clone(),
            },
            None,
            screen,
            Signals::new().context("cannot follow signals")?,
        )
        .await?;

    let settings = config::Search::load(source)?;
    let db = Db::connect(&app::database(&settings.database.url, 0)).await?;
    let states = db.states(&ids).await?;
    db.close().await;
    let queries: Vec<&str> = expected
        .searches
        .iter()
        .map(|wanted| wanted.query.as_str())
        .collect();
    let answers = search(settings, DEMO_USER, &queries, SHOWN_HITS).await?;
    let wrong = surprises(&expected, &states, &answers);
    crate::cli::out(&Shown {
        stack,
        expected: &expected,
        states: &states,
        report: &report,
        answers: &answers,
        wrong: &wrong,
    })?;
    Ok(if wrong.is_empty() {
        Exit::Done
    } else {
        Exit::Broken
    })
}

/// Takes away what an earlier demo left of its user.
async fn clear(stack: &Stack, source: &Source) -> anyhow::Result<()> {
    ensure_user(stack, DEMO_USER).await?;
    let mut admin = db::connect_admin(&stack.database_admin_url()).await?;
    let objects = Objects::new(config::load_storage(source)?);
    for key in db::delete_files(&mut admin, DEMO_USER).await? {
        objects.delete(&key).await?;
    }
    Ok(())
}

/// The samples lie beside the source, or in the current folder.
fn fixtures() -> anyhow::Result<PathBuf> {
    let places = [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
        PathBuf::from("fixtures"),
    ];
    places
        .into_iter()
        .find(|folder| folder.join("expected.json").is_file())
        .context("cannot find the folder fixtures; run the demo in a clone of the repository")
}

/// What did not end as `expected.json` says.
fn surprises(expected: &Expected, states: &[FileState], answers: &[Found]) -> Vec<String> {
    let mut wrong = Vec::new();
    for wanted in &expected.files {
        let Some(state) = states.iter().find(|state| state.name == wanted.file) else {
            wrong.push(format!("{}: has no row", wanted.file));
            continue;
        };
        if state.status != wanted.status
            || state.code != wanted.code
            || state.chunks < wanted.min_chunks
        {
            let code = wanted.code.as_deref().unwrap_or("no error");
            wrong.push(format!(
                "{}: expected {} with {code} and at least {} chunks",
                wanted.file, wanted.status, wanted.min_chunks
            ));
        }
    }
    for (wanted, found) in expected.searches.iter().zip(answers) {
        if !found
            .results
            .first()
            .is_some_and(|hit| wanted.is_answered_by(hit))
        {
            wrong.push(format!(
                "\"{}\": expected {}, {}",
                wanted.query, wanted.file, wanted.heading
            ));
        }
    }
    wrong
}

impl ExpectedSearch {
    fn is_answered_by(&self, hit: &Hit) -> bool {
        hit.file_name == self.file
            && hit.page_number == self.page
            && hit
                .heading
                .as_ref()
                .is_some_and(|heading| heading.contains(&self.heading))
    }
}

/// What the demo prints.
struct Shown<'a> {
    stack: &'a Stack,
    expected: &'a Expected,
    states: &'a [FileState],
    report: &'a Report,
    answers: &'a [Found],
    wrong: &'a [String],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28} {:<10} {:>6}  what became of it",
            "file", "status", "chunks"
        )?;
        for state in self.states {
            let what = match (&state.code, &state.error) {
                (Some(code), Some(error)) => format!("{code}: {error}"),
                (Some(code), None) => code.clone(),
                (None, _) => String::new(),
            };
            writeln!(
                f,
                "{:<28} {:<10} {:>6}  {what}",
                state.name, state.status, state.chunks
            )?;
        }
        writeln!(f, "\n{}", self.report)?;
        for (wanted, found) in self.expected.searches.iter().zip(self.answers) {
            writeln!(f, "\n? {}\n{found}", wanted.query)?;
        }
        for wrong in self.wrong {
            writeln!(f, "\nUNEXPECTED  {wrong}")?;
        }
        writeln!(
            f,
            "\nThe vectors are lexical stand-ins made on this machine: no text left it, and nothing was billed."
        )?;
        let folder = self.stack.folder();
        writeln!(f, "All of it lies in {}. Look around:", folder.display())?;
        write!(f, "  cargo run --release -- --embedded")?;
        if !folder.ends_with(DEFAULT_FOLDER) {
            write!(f, " --data-dir {}", folder.display())?;
        }
        write!(f, " search 'your words' --user {DEMO_USER}")
    }
}
