//! From a command line to the function of `ops` that answers it, and to the exit code.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use super::{Cli, Command, Exit, Place, ReportArgs, RetryArgs, RunArgs};
use crate::{
    app,
    chunk::Tokenizer,
    config::{self, Config, Problems, Source},
    db::{self, Db, DbError, Failed, Scope, migrate},
    document::{FileId, UserId},
    extract::sandbox,
    failure::{Code, Verdict},
    ops::{
        WrongUsage, doctor, ensure_user, files,
        local::{self, NoText},
        progress::{Progress, Screen},
        provider_advice,
        report::Report,
        run::Worker,
        search::search,
        upload,
    },
    shutdown::Signals,
    telemetry::{self, Chain, LogFormat},
    worker::Ending,
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

/// What went wrong, to whom it may concern.
fn complain(what: &impl Display) {
    // Nobody is left to tell if stderr is closed.
    drop(writeln!(io::stderr(), "error: {what}"));
}

async fn dispatch(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let mut source = Source::from_env(place.settings.given.clone());
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
            self::run(run, worker, screen, signals).await
        }
        Command::Ingest {
            paths,
            user,
            report,
        } => {
            let paths = upload::collect(&paths)?;
            let config = Config::load(source, program)?;
            ingest(&paths, UserId(user), &report, config, screen).await
        }
        Command::Migrate { seed } => apply_migrations(seed, source).await,
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
            extract(&path, json, config::load_sandbox(source, program)?).await
        }
        Command::Chunk { path, json } => {
            chunk(&path, json, config::load_chunk(source, program)?).await
        }
        #[cfg(feature = "embedded")]
        Command::Demo | Command::With { .. } => {
            unreachable!("answered with the stack that they start")
        }
    }
}

fn signals() -> anyhow::Result<Signals> {
    Signals::new().context("cannot follow signals")
}

async fn run(
    run: RunArgs,
    mut worker: Worker,
    screen: &Screen,
    signals: Signals,
) -> anyhow::Result<Exit> {
    if !run.drain {
        worker.listen().await?;
        worker.serve(signals).await?;
        return Ok(Exit::Done);
    }
    // A drain is often run beside a service that has the same settings.
    if let Err(error) = worker.listen().await {
        tracing::warn!(error = %Chain(error.as_ref()), "health and metrics are not served");
    }
    let (ending, report) = worker
        .drain(Scope::All, run.timeout, screen, signals)
        .await?;
    reported(ending, &report, &run.report)
}

async fn ingest(
    paths: &[PathBuf],
    user: UserId,
    how: &ReportArgs,
    config: Config,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let worker = Worker::connect(config).await?;
    ensure_user(&worker.app.db, user).await?;
    let progress = Progress::uploading(screen, paths.len());
    let uploaded =
        upload::upload_all(&worker.app, user, paths, |done| progress.uploaded(done)).await;
    progress.end();
    let uploaded = uploaded?;
    let scope = Scope::Only {
        user,
        files: uploaded.files,
    };
    let (ending, mut report) = worker.drain(scope, None, screen, signals()?).await?;
    report.refused = uploaded.refused;
    reported(ending, &report, how)
}

/// Prints a drain's report and says what it means to the caller.
fn reported(ending: Ending, report: &Report, how: &ReportArgs) -> anyhow::Result<Exit> {
    print(how.json, report)?;
    let left = report
        .files_left
        .map_or_else(|| "some files".to_owned(), files);
    match ending {
        Ending::Stopped => complain(&format_args!("interrupted; left pending: {left}")),
        Ending::TimedOut => complain(&format_args!(
            "the time is up; left pending or processing: {left}; run it again, or give it longer"
        )),
        Ending::StorageRefused => complain(&format_args!(
            "storage refuses the credentials or has no such bucket; check STORAGE_BUCKET and the S3 credentials with `orion-ingest doctor`; left pending: {left}"
        )),
        Ending::Halted(state) => {
            complain(&format_args!(
                "{}; left pending: {left}",
                provider_advice(state)
            ));
        }
        Ending::Drained => {
            let failed = report.files_failed > 0 || !report.refused.is_empty();
            return Ok(if failed && !how.allow_failures {
                Exit::Failures
            } else {
                Exit::Done
            });
        }
    }
    Ok(Exit::Broken)
}

async fn apply_migrations(seed: bool, source: &Source) -> anyhow::Result<Exit> {
    let url = config::Database::load_admin(source)?;
    let mut admin = db::connect_admin(&url).await?;
    let done = migrate::migrate(&mut admin, seed).await?;
    out(done.to_string().trim_end())?;
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

async fn extract(
    path: &std::path::Path,
    json: bool,
    settings: sandbox::Settings,
) -> anyhow::Result<Exit> {
    match local::extract(path, settings).await? {
        Ok(document) if json => out(&serde_json::to_string(&document)?)?,
        Ok(document) => out(&local::text(&document))?,
        Err(error) => return refused(&error),
    }
    Ok(Exit::Done)
}

async fn chunk(
    path: &std::path::Path,
    json: bool,
    (settings, tokenizer): (sandbox::Settings, Tokenizer),
) -> anyhow::Result<Exit> {
    let document = match local::extract(path, settings).await? {
        Ok(document) => document,
        Err(error) => return refused(&error),
    };
    for chunk in local::chunk(&document, tokenizer).chunks {
        if json {
            out(&serde_json::to_string(&local::Line::new(&chunk))?)?;
        } else {
            out(&local::Line::new(&chunk))?;
        }
    }
    Ok(Exit::Done)
}

/// A local file that has no text to give: its code on stderr, as the worker would store it.
fn refused(why: &NoText) -> anyhow::Result<Exit> {
    let (code, message) = match why {
        NoText::TooLarge { max_bytes } => (
            Code::TooLarge,
            format!("the file is larger than the {max_bytes} bytes that its type allows"),
        ),
        NoText::Refused(error) => match error.verdict() {
            Verdict::Reject { code } | Verdict::Retry { code: Some(code) } => {
                (code, error.public_message())
            }
            Verdict::Retry { code: None } | Verdict::Wait { .. } | Verdict::Abandon => {
                anyhow::bail!("{}", Chain(error))
            }
        },
    };
    writeln!(io::stderr(), "{code}: {message}")?;
    Ok(Exit::Failures)
}

async fn database(source: &Source) -> anyhow::Result<Db> {
    let database = config::Database::load(source)?;
    Ok(Db::connect(&app::database(&database.url, 0)).await?)
}

/// Starts the logs; a drain on a terminal has a bar, above which only warnings are worth a line.
///
/// What is wrong with the settings of logs is reported with what is wrong with the others.
fn log(source: &mut Source, command: &Command, screen: &Screen) -> anyhow::Result<()> {
    let format = match source
        .given("LOG_FORMAT")
        .map(|value| (value.to_owned(), LogFormat::parse(value)))
    {
        None => LogFormat::fitting(),
        Some((_, Some(format))) => format,
        Some((value, None)) => {
            source.problem(
                "LOG_FORMAT",
                format_args!("\"{value}\" is not text or json"),
            );
            LogFormat::fitting()
        }
    };
    let serves = matches!(command, Command::Run(RunArgs { drain: false, .. }));
    #[cfg(feature = "embedded")]
    let demonstrates = matches!(command, Command::Demo);
    #[cfg(not(feature = "embedded"))]
    let demonstrates = false;
    // The demo's table tells what becomes of each file, failures that are meant included.
    let usual = if demonstrates {
        "off"
    } else if serves || !io::stderr().is_terminal() {
        "orion_ingest=info,warn"
    } else {
        "warn"
    };
    let wanted = source.given("RUST_LOG").unwrap_or(usual);
    let filter = match telemetry::filter(wanted) {
        Ok(filter) => filter,
        Err(error) => {
            source.problem(
                "RUST_LOG",
                format_args!("{error}; set it to something like orion_ingest=debug,warn"),
            );
            telemetry::filter(usual).map_err(anyhow::Error::msg)?
        }
    };
    telemetry::start(format, filter, screen.clone())
}

/// A result, for people or as JSON.
fn print<T: Serialize + Display>(json: bool, result: &T) -> anyhow::Result<()> {
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
