//! Extraction in a child process: what a file's parser does there costs one attempt of one file and nothing else.
//!
//! One child a file. It has no environment, bounded memory and time, and dies with the worker and with the future that
//! waits for it. Nothing that it says is trusted: lengths, amounts and order are checked, and a breach is a crash.
//! What it writes to its standard error may quote the file, so it is looked at and never passed on.

mod end;
mod talk;

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use bytes::Bytes;
use rustix::process::Signal;
use thiserror::Error;
use tokio::{process::Command, time};

use self::{
    end::End,
    talk::{Answer, converse},
};
pub use super::child::{COMMAND, child_main};
use super::{
    ExtractError, Hints, Settings as ExtractSettings,
    frames::{Limits, Start},
};
use crate::{
    document::Document,
    failure::{Code, Verdict},
    spawner::Spawner,
};

/// What a child may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary with the hidden subcommand. `/proc/self/exe` is this very program, even after an upgrade has replaced
    /// its file.
    pub program: PathBuf,
    /// From the start of the child to the end of its answer.
    pub timeout: Duration,
    /// Address space, its 64 MB stack included; less than 256 MB fails ordinary files.
    pub memory_bytes: u64,
}

/// Starts a child for each file.
#[derive(Clone, Debug)]
pub struct Sandbox {
    settings: Settings,
    spawner: Spawner,
}

/// Why a file yields no document.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The extractor says so.
    #[error("the file cannot be read")]
    Extract(#[source] ExtractError),
    /// Wall clock or processor time ran out.
    #[error("extraction took longer than {}", humantime::format_duration(*.after))]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The child could not get the memory that it asked for.
    #[error("extraction needed more memory than it may have")]
    Memory,
    /// The child died or broke the protocol.
    #[error("extraction crashed: {how}")]
    Crash {
        /// For logs; holds nothing of the file.
        how: String,
    },
    /// The system gave us no child.
    #[error("no process could be started for extraction")]
    Spawn(#[source] io::Error),
}

impl SandboxError {
    /// What becomes of the file.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Extract(error) => Verdict::Reject { code: error.code() },
            Self::Timeout { .. } => Verdict::Retry {
                code: Some(Code::ExtractTimeout),
            },
            Self::Memory => Verdict::Retry {
                code: Some(Code::ExtractMemory),
            },
            Self::Crash { .. } => Verdict::Retry {
                code: Some(Code::ExtractCrash),
            },
            Self::Spawn(_) => Verdict::Wait {
                code: None,
                after: None,
            },
        }
    }

    /// What the file's owner may see.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Extract(error) => error.to_string(),
            Self::Timeout { after } => format!(
                "reading the file took longer than {}: split it, or export it again in a simpler form",
                humantime::format_duration(*after)
            ),
            Self::Memory => {
                "reading the file takes too much memory: split it and upload the parts".into()
            }
            Self::Crash { .. } => {
                "the file breaks the program that reads it: open it, save it and upload that".into()
            }
            Self::Spawn(_) => "the file waits for the server to have room again".into(),
        }
    }
}

impl Sandbox {
    /// Takes its limits, and the thread that starts children and on whose life theirs depend.
    #[must_use]
    pub const fn new(settings: Settings, spawner: Spawner) -> Self {
        Self { settings, spawner }
    }

    /// Reads a file's text in a child of its own; the child is gone when this returns, and soon after it is dropped.
    ///
    /// # Errors
    ///
    /// What the extractor finds wrong with the file, and how the child died.
    pub async fn extract(
        &self,
        hints: &Hints,
        settings: &ExtractSettings,
        body: Bytes,
    ) -> Result<Document, SandboxError> {
        let request = Start {
            hints: hints.clone(),
            settings: settings.clone(),
            limits: Limits {
                body_bytes: body.len() as u64,
                cpu_seconds: self.settings.timeout.as_secs() + 1,
                response_bytes: response_bytes(settings),
            },
        };
        let mut child = self
            .spawner
            .spawn_async(self.command())
            .map_err(SandboxError::Spawn)?;
        let answered = time::timeout(self.settings.timeout, converse(&mut child, &request, &body));
        match answered.await {
            Ok(result) => self.judge(result.map_err(SandboxError::Spawn)?),
            Err(_elapsed) => {
                child.kill().await.map_err(SandboxError::Spawn)?;
                Err(self.timeout())
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.settings.program);
        command
            .arg(COMMAND)
            .arg(std::process::id().to_string())
            .arg(self.settings.memory_bytes.to_string())
            .env_clear()
            // More arenas would spend address space that the limit counts.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the whole foreground group; the worker wants to finish what is in hand.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn judge(&self, (answer, end): (Answer, End)) -> Result<Document, SandboxError> {
        match answer {
            Answer::Document(document) => Ok(document),
            Answer::Refusal(error) => Err(SandboxError::Extract(error)),
            Answer::Breach(how) => Err(SandboxError::Crash { how }),
            Answer::Silence if end.died_of(Signal::XCPU) => Err(self.timeout()),
            Answer::Silence if end.lacked_memory() => Err(SandboxError::Memory),
            Answer::Silence => Err(SandboxError::Crash {
                how: end.describe(),
            }),
        }
    }

    const fn timeout(&self) -> SandboxError {
        SandboxError::Timeout {
            after: self.settings.timeout,
        }
    }
}

/// Text takes up to twice its bytes in JSON, and a block about fifty more: room for honest documents, and a bound on what
/// a dishonest child can make the worker hold.
const fn response_bytes(settings: &ExtractSettings) -> u64 {
    settings
        .max_text_bytes
        .saturating_mul(4)
        .saturating_add(1 << 20)
}
