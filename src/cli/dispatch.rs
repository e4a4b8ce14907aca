//! From a command line to the function of `ops` that answers it, and to the exit code.

use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
};

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use super::{Cli, Command, Exit, Place, RetryArgs, drain, file, log::log, reembed};
#[cfg(debug_assertions)]
use crate::failpoint;
use crate::{
    app,
    config::{self, Config, Problems, Source},
    db::{self, Db, DbError, Failed, Which, migrate, reindex},
    document::{FileId, UserId},
    extract::sandbox,
    ops::{WrongUsage, doctor, files, progress::Screen, run::Worker, search::search, upload},
    shutdown::Signals,
    telemetry::Chain,
};
#[cfg(feature = "embedded")]
use crate::{
    embedded::{Stack, shim},
    ops::demo,
};

/// Runs the command line; every error ends here, as one line that says what to do.
#[must_use]
pub fn main() -> ExitCode {
    // Children of this program limit themselves before anything else is started; they are no commands for people.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == sandbox::COMMAND => return sandbox::child_main(),
        #[cfg(feature = "embedded")]
        Some(first) if first == shim::SUBCOMMAND => return shim::run(arguments),
        Some(_) | None => {}
    }
    let cli = Cli::parse();
    let place = cli.place.clone();
    match cli.asked() {
        Ok(command) => answer(command, &place).into(),
        Err(error) => error.exit(),
    }
}

fn answer(command: Command, place: &Place) -> Exit {
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(Box::pin(dispatch(command, place))));
    match result {
        Ok(exit) => exit,
        Err(error) => {
            let bad_url = matches!(error.downcast_ref(), Some(DbError::Url(_)));
            let exit = if bad_url || error.is::<Problems>() || error.is::<WrongUsage>() {
                Exit::Usage
            } else {
                Exit::Broken
            };
            complain(&Chain(error.as_ref()));
            exit
        }
    }
}

/// Threads for what waits: one for each four cores. The children do most of the work, and threads that wake each other
/// for a few microseconds each cost a tenth of the time of small files, and memory.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4))
}

/// What went wrong, to whom it may concern.
pub(super) fn complain(what: &impl Display) {
    // Nobody is left to tell if stderr is closed.
    drop(writeln!(io::stderr(), "error: {what}"));
}

async fn dispatch(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let mut source = Source::from_env(place.settings.given.clone());
    #[cfg(debug_assertions)]
    if let Some(line) = source.given(failpoint::VARIABLE) {
        failpoint::arm(line);
    }
    // Not a path, which may be another version's after an upgrade.
    let program = PathBuf::from("/proc/self/exe");
    let screen = Screen::new();
    log(&mut source, &command, &screen)?;
    // These have nothing to do with any server.
    let is_local = matches!(command, Command::Extract { .. } | Command::Chunk { .. });
    #[cfg(feature = "embedded")]
    if (place.embedded && !is_local) || matches!(command, Command::Demo | Command::With { .. }) {
        return embedded(command, place, source, program, &screen).await;
    }
    #[cfg(not(feature = "embedded"))]
    anyhow::ensure!(
        !place.embedded || is_local,
        WrongUsage(
            "--embedded: this build has no embedded stack (cargo feature `embedded`)".into()
        )
    );
    connected(command, &source, program, &screen).await
}

/// A command on the embedded stack, which is stopped after it, however it ends.
#[cfg(feature = "embedded")]
async fn embedded(
    command: Command,
    place: &Place,
    mut source: Source,
    program: PathBuf,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let stack = demo::start(&place.data_dir, program.clone(), &mut source).await?;
    let exit = on_stack(command, &stack, &source, program, screen).await;
    let stopped = stack.stop().await;
    // What the command says is more to the point.
    let exit = exit?;
    stopped?;
    Ok(exit)
}

#[cfg(feature = "embedded")]
async fn on_stack(
    command: Command,
    stack: &Stack,
    source: &Source,
    program: PathBuf,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    if let Command::Demo = command {
        return demo::demo(stack, source, program, screen).await;
    }
    if let Command::With { command } = command {
        return demo::with(&command, stack).await;
    }
    if let Command::Ingest { user, .. } = command {
        demo::ensure_user(stack, UserId(user)).await?;
    }
    connected(command, source, program, screen).await
}

/// Commands on whatever database, storage and provider `source` names.
async fn connected(
    command: Command,
    source: &Source,
    program: PathBuf,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    match command {
        Command::Run(run) => {
            let config = Config::load(source, program)?;
            let drains = run.drain;
            let mut signals = signals()?;
            let worker = tokio::select! {
                biased;
                worker = Worker::connect(config) => worker?,
                () = signals.next() => return Ok(if drains { Exit::Broken } else { Exit::Done }),
            };
            drain::run(run, worker, screen, signals).await
        }
        Command::Ingest {
            paths,
            user,
            report,
        } => {
            let paths = upload::collect(&paths)?;
            let config = Config::load(source, program)?;
            drain::ingest(&paths, UserId(user), &report, config, screen).await
        }
        Command::Migrate { seed } => apply_migrations(seed, source).await,
        Command::Reindex => reindex(source).await,
        Command::Reembed(args) => reembed::run(args, config::Search::load(source)?, screen).await,
        Command::Reingest { which } => reingest(&which, source).await,
        Command::Status { json } => {
            let db = database(source).await?;
            let status = db.status().await;
            db.close().await;
            print(json, &status?)?;
            Ok(Exit::Done)
        }
        Command::Retry(which) => retry(&which, source).await,
        Command::Search {
            query,
            user,
            limit,
            json,
        } => {
            let settings = config::Search::load(source)?;
            for found in search(settings, UserId(user), &[&query], limit).await? {
                print(json, &found)?;
            }
            Ok(Exit::Done)
        }
        Command::Doctor => {
            let found = doctor::examine(source, program).await;
            out(&found)?;
            Ok(if found.is_well() {
                Exit::Done
            } else if found.is_misconfigured() {
                Exit::Usage
            } else {
                Exit::Broken
            })
        }
        Command::Extract { path, json } => {
            file::extract(&path, json, config::load_sandbox(source, program)?).await
        }
        Command::Chunk { path, json } => {
            file::chunk(&path, json, config::load_chunk(source, program)?).await
        }
        #[cfg(feature = "embedded")]
        Command::Demo | Command::With { .. } => {
            unreachable!("answered with the stack that they start")
        }
    }
}

pub(super) fn signals() -> anyhow::Result<Signals> {
    Signals::new().context("cannot follow signals")
}

async fn apply_migrations(seed: bool, source: &Source) -> anyhow::Result<Exit> {
    let url = config::Database::load_admin(source)?;
    let mut admin = db::connect_admin(&url).await?;
    let done = migrate::migrate(&mut admin, seed).await?;
    out(done.to_string().trim_end())?;
    Ok(Exit::Done)
}

async fn reindex(source: &Source) -> anyhow::Result<Exit> {
    let url = config::Database::load_admin(source)?;
    let mut admin = db::connect_admin(&url).await?;
    let rebuilt = reindex::reindex(&mut admin).await?;
    anyhow::ensure!(
        !rebuilt.is_empty(),
        "the database has no vector index; run `orion-ingest migrate`"
    );
    for index in rebuilt {
        out(&index)?;
    }
    Ok(Exit::Done)
}

async fn reingest(which: &Which, source: &Source) -> anyhow::Result<Exit> {
    let db = database(source).await?;
    let due = db.reingest(which).await;
    db.close().await;
    out(&format_args!("{} put back in the queue", files(due?)))?;
    Ok(Exit::Done)
}

async fn retry(which: &RetryArgs, source: &Source) -> anyhow::Result<Exit> {
    let db = database(source).await?;
    let failed = which
        .file
        .map_or(Failed::All(which.code), |file| Failed::File(FileId(file)));
    let retried = db.retry_failed(failed).await;
    db.close().await;
    let retried = retried?;
    if let (Some(file), 0) = (which.file, retried) {
        return Err(WrongUsage(format!(
            "--file {file}: no failed or waiting file has this id; `orion-ingest status` shows what failed"
        ))
        .into());
    }
    out(&format_args!("{} put back in the queue", files(retried)))?;
    Ok(Exit::Done)
}

async fn database(source: &Source) -> anyhow::Result<Db> {
    let database = config::Database::load(source)?;
    Ok(Db::connect(&app::database(&database.url, 0)).await?)
}

/// A result, for people or as JSON.
pub(super) fn print<T: Serialize + Display>(json: bool, result: &T) -> anyhow::Result<()> {
    if json {
        out(&serde_json::to_string(result)?)
    } else {
        out(result)
    }
}

/// A line on stdout; a reader that went away (`| head`) is no error of ours.
pub(crate) fn out<T: Display + ?Sized>(line: &T) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
