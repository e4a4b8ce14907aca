//! The command line: what can be said, and which function of `ops` answers it.

mod dispatch;
mod drain;
mod file;
mod flags;
mod log;
mod reembed;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use uuid::Uuid;

pub use dispatch::main;
#[cfg(feature = "embedded")]
pub(crate) use dispatch::out;
pub use flags::SettingFlags;
pub use reembed::{ReembedArgs, Step};

use crate::{
    config::{DURATION, SETTINGS, parse_duration},
    db::Which,
    failure::Code,
};

/// Turns uploaded files into searchable, embedded chunks in Postgres.
///
/// Without a command it runs as a service: claims pending rows of `files`, downloads each object, extracts and chunks
/// its text, embeds the chunks and stores them, until SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "orion-ingest", version, max_term_width = 110, after_long_help = more_help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Of the default command.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where everything is.
    #[command(flatten)]
    pub place: Place,
}

const EXAMPLES: &str = "\
Examples:
  orion-ingest demo                                  see it work: no account, no key, no Docker
  orion-ingest doctor                                check every setting and connection
  orion-ingest migrate --seed                        prepare the database
  orion-ingest                                       run as a service
  orion-ingest --drain --timeout 10m                 empty the queue, report, exit
  orion-ingest ingest docs/ --user <uuid>            upload a folder and ingest it
  orion-ingest search 'refund policy' --user <uuid>
  orion-ingest retry --failed --code extract_timeout
  orion-ingest reembed --model text-embedding-3-large --dimensions 1024 --dry-run
  orion-ingest reingest --where config-changed

Exit codes: 0 done; 1 something broke that a retry may cure; 2 wrong usage or settings; 3 some files failed.
Results go to stdout, logs and progress to stderr; RUST_LOG=orion_ingest=debug shows more.";

/// The settings without a flag, and what is best shown by examples.
fn more_help() -> String {
    let mut help = String::from(
        "Secrets (variables only, in the environment or in .env; or <NAME>_FILE with the path of a file):\n",
    );
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        help.extend([format!("  {:<30}{}\n", setting.name, setting.help)]);
    }
    help.push('\n');
    help.push_str(EXAMPLES);
    help
}

impl Cli {
    /// The command, with what was said before its name.
    ///
    /// # Errors
    ///
    /// Flags of `run` where they mean nothing.
    pub fn asked(self) -> Result<Command, clap::Error> {
        let command = match self.command {
            None => Command::Run(self.run),
            Some(Command::Run(run)) => Command::Run(run.or(&self.run)),
            Some(_) if self.run.says_something() => {
                return Err(Self::command().error(
                    ErrorKind::ArgumentConflict,
                    "--drain, --timeout, --allow-failures and --json before a command are for `run`; write the command's own flags behind its name",
                ));
            }
            Some(command) => command,
        };
        if matches!(&command, Command::Run(run) if !run.drain && run.says_something()) {
            return Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "--json and --allow-failures are about the report of --drain; add --drain",
            ));
        }
        Ok(command)
    }
}

impl RunArgs {
    fn says_something(&self) -> bool {
        self.drain || self.timeout.is_some() || self.report.json || self.report.allow_failures
    }

    fn or(self, other: &Self) -> Self {
        Self {
            drain: self.drain || other.drain,
            timeout: self.timeout.or(other.timeout),
            report: ReportArgs {
                allow_failures: self.report.allow_failures || other.report.allow_failures,
                json: self.report.json || other.report.json,
            },
        }
    }
}

/// Where database, storage and provider are.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Use a Postgres, an S3 and an embedding stand-in that are started for this command, instead of the environment's.
    #[arg(long, global = true)]
    pub embedded: bool,
    /// Folder in which --embedded keeps its data between runs.
    #[arg(long, global = true, value_name = "DIR", default_value = ".orion")]
    pub data_dir: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Of `run` and of no command.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Work until nothing is pending or processing, print a report, exit.
    #[arg(long)]
    pub drain: bool,
    /// Give up after this long, say what is left, exit 1.
    #[arg(long, requires = "drain", value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How to report.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// How a drain reports.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArgs {
    /// Exit 0 even if some files failed.
    #[arg(long)]
    pub allow_failures: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run as a service, or empty the queue with --drain (the default command).
    Run(RunArgs),
    /// Upload local files or folders, insert their rows, and ingest just those.
    Ingest {
        /// Files, or folders with everything under them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Whose files they become: the id of a row of `user_profiles`.
        #[arg(long, value_name = "UUID", value_parser = uuid)]
        user: Uuid,
        /// How to report.
        #[command(flatten)]
        report: ReportArgs,
    },
    /// Apply the database migrations; safe to repeat.
    Migrate {
        /// Also insert the sample prompts and the file types.
        #[arg(long)]
        seed: bool,
    },
    /// Rebuild the vector indexes for the rows that there are now, while everybody reads and writes.
    Reindex,
    /// Give every chunk a vector of another model, without downtime: plan, run and cutover in one, or step by step.
    Reembed(ReembedArgs),
    /// Make files due again whose chunking rules changed.
    Reingest {
        /// Which: config-changed (their type's rules changed since), type=MIME, or all.
        #[arg(long = "where", value_name = "WHICH", value_parser = which)]
        which: Which,
    },
    /// Show the queue, its age, throughput, failures and spend.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Put failed files back in the queue.
    Retry(RetryArgs),
    /// Search a user's documents.
    Search {
        /// What to look for.
        query: String,
        /// Whose documents: the id of a row of `user_profiles`.
        #[arg(long, value_name = "UUID", value_parser = uuid)]
        user: Uuid,
        /// Most results.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the text of one local file; needs no settings, database or network.
    Extract {
        /// The file.
        path: PathBuf,
        /// Print its pages, blocks and headings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the chunks of one local file; needs no settings, database or network.
    Chunk {
        /// The file.
        path: PathBuf,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Check every setting and connection, and say what to do about each problem.
    Doctor,
    /// Ingest sample documents on the embedded stack and search them.
    #[cfg(feature = "embedded")]
    Demo,
    /// Run another program with the embedded stack's variables set.
    #[cfg(feature = "embedded")]
    #[command(hide = true)]
    With {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// Which failed files.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct RetryArgs {
    /// This file.
    #[arg(long, value_name = "UUID", value_parser = uuid, conflicts_with_all = ["failed", "code"])]
    pub file: Option<Uuid>,
    /// Every failed file.
    #[arg(long)]
    pub failed: bool,
    /// Only those that failed with this code.
    #[arg(long, requires = "failed", value_parser = code)]
    pub code: Option<Code>,
}

/// The exit codes that other programs rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and no file failed.
    Done,
    /// Something broke that a retry of the command may cure.
    Broken,
    /// Wrong usage or settings.
    Usage,
    /// Drained, but some files failed.
    Failures,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Broken => 1,
            Exit::Usage => 2,
            Exit::Failures => 3,
        })
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    parse_duration(value).ok_or_else(|| format!("not {DURATION}"))
}

fn uuid(value: &str) -> Result<Uuid, String> {
    // Its own message counts characters.
    value
        .parse()
        .map_err(|_| "not a UUID such as 8f14e45f-ceea-467f-9b51-3f1f6d7c2a10".to_owned())
}

fn which(value: &str) -> Result<Which, String> {
    match value.split_once('=') {
        None if value == "config-changed" => Ok(Which::ConfigChanged),
        None if value == "all" => Ok(Which::All),
        Some(("type", mime)) if !mime.is_empty() => Ok(Which::Type(mime.to_owned())),
        None | Some(_) => Err("not config-changed, type=MIME or all".to_owned()),
    }
}

fn code(value: &str) -> Result<Code, String> {
    Code::parse(value).ok_or_else(|| {
        let codes: Vec<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
        format!("not an error code; one of {}", codes.join(", "))
    })
}
