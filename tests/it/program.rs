//! The program itself, run as a process: on servers of a test's own, or with nothing at all.

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use orion_ingest::{
    document::UserId,
    embedded::provider::{self, Provider},
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use crate::stack::Stack;

/// The only key that a test's provider knows.
pub(crate) const PROVIDER_KEY: &str = "sk-the-key-of-the-test";
/// A process that takes longer hangs.
const LONGEST_RUN: Duration = Duration::from_mins(2);

/// The program with no environment but `PATH`, in `folder`.
pub(crate) fn bare(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion-ingest"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Fails the test, with all that was said, unless this was the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails the test unless stderr has these words.
    pub(crate) fn complains_of(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:#?}");
        }
        self
    }

    /// Fails the test unless stdout has these words.
    pub(crate) fn prints(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "{word:?} is not in {self:#?}");
        }
        self
    }

    /// Its one line of results.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("results are text"),
            err: String::from_utf8(output.stderr).expect("logs are text"),
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn finish(mut command: Command) -> Said {
    let output = tokio::time::timeout(LONGEST_RUN, command.output());
    output
        .await
        .expect("the program ends")
        .expect("the program starts")
        .into()
}

/// Runs the program with no environment, in a folder of its own.
pub(crate) async fn without_environment(arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    finish(bare(folder.path(), arguments)).await
}

/// A database, a bucket and a provider of a test's own, and a folder in which the program runs.
pub(crate) struct Place {
    pub(crate) stack: Stack,
    pub(crate) provider: Provider,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let provider = Provider::start(provider::Settings {
            api_key: PROVIDER_KEY.into(),
            port: 0,
            requests_per_minute: 0,
            tokens_per_minute: 0,
        });
        Self {
            stack: Stack::new().await,
            provider: provider.await.expect("a free port"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The program with the variables of this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let storage = self.stack.objects_settings();
        let mut command = bare(self.folder.path(), arguments);
        command
            .env("DATABASE_URL", self.stack.database_url().expose_secret())
            .env(
                "DATABASE_ADMIN_URL",
                self.stack.database_admin_url().expose_secret(),
            )
            .env("STORAGE_S3_ENDPOINT", storage.endpoint)
            .env("STORAGE_S3_REGION", storage.region)
            .env("STORAGE_S3_ACCESS_KEY_ID", storage.access_key_id)
            .env(
                "STORAGE_S3_SECRET_ACCESS_KEY",
                storage.secret_access_key.expose_secret(),
            )
            .env("STORAGE_BUCKET", storage.bucket)
            .env("OPENAI_BASE_URL", &self.provider.base_url)
            .env("OPENAI_API_KEY", PROVIDER_KEY);
        command
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments)).await
    }

    /// Runs the program to its end, with one variable more.
    pub(crate) async fn run_with(&self, name: &str, value: &str, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.env(name, value);
        finish(command).await
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// A file in the folder where the program runs.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// Uploads and ingests these files as the program does.
    pub(crate) async fn ingest(&self, user: UserId, names: &[&str], more: &[&str]) -> Said {
        let user = user.to_string();
        let mut arguments = vec!["ingest", "--user", &user];
        arguments.extend(more);
        arguments.extend(names);
        self.run(&arguments).await
    }
}

/// A process under way.
pub(crate) struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// The log as far as it was read.
    read: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = child.stderr.take().expect("it is piped");
        Self {
            child,
            log: BufReader::new(log).lines(),
            read: String::new(),
        }
    }

    /// The first line of the log from here on that has these words, as JSON.
    pub(crate) async fn logs(&mut self, words: &str) -> Value {
        let find = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.read.push_str(&line);
                self.read.push('\n');
                if line.contains(words) {
                    return Some(serde_json::from_str(&line).unwrap());
                }
            }
            None
        };
        let found = tokio::time::timeout(LONGEST_RUN, find).await;
        match found {
            Ok(Some(line)) => line,
            _ => panic!("{words:?} is not in the log:\n{}", self.read),
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().expect("it runs").cast_signed();
        let process = rustix::process::Pid::from_raw(id).expect("a process");
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ends(mut self) -> (ExitStatus, Said) {
        let rest = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.read.push_str(&line);
                self.read.push('\n');
            }
            self.child.wait_with_output().await.unwrap()
        };
        let output = tokio::time::timeout(LONGEST_RUN, rest)
            .await
            .expect("the program ends");
        let status = output.status;
        let mut said = Said::from(output);
        said.err = self.read;
        (status, said)
    }
}
