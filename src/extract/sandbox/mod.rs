//! Extraction in child processes: what a file's parser does there costs one attempt of one file and nothing else.
//!
//! A few children read one file after another, since starting one costs more than a small file; but never files of two
//! people, as nobody knows what a parser that was taken in by one file does to the next. A child has no
//! environment, bounded memory and time, and dies with the worker and with the future that waits for it. Nothing that it
//! says is trusted: lengths, amounts and order are checked, and a breach is a crash. What it writes to its standard
//! error may quote the file, so it is looked at and never passed on.

mod end;
mod idle;
mod process;
mod talk;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use thiserror::Error;
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};

pub use self::process::ALLOCATOR;
use self::{idle::Idle, process::Process, talk::Answer};
use super::child::MAX_FILES;
pub use super::child::{COMMAND, Freedom, child_main};
use super::{
    ExtractError, Hints, Settings as ExtractSettings,
    frames::{Limits, Start},
};
use crate::{
    document::{Document, UserId},
    failure::{Code, Verdict},
    spawner::Spawner,
};

/// What a child may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary with the hidden subcommand. `/proc/self/exe` is this very program, even after an upgrade has replaced
    /// its file.
    pub program: PathBuf,
    /// From the first byte of a question to the last of its answer.
    pub timeout: Duration,
    /// Address space, its 64 MB stack included; less than 256 MB fails ordinary files.
    pub memory_bytes: u64,
    /// Children at work at a time; further files wait for one of them.
    pub children: usize,
}

/// Has files read by children; clones share them.
#[derive(Clone, Debug)]
pub struct Sandbox {
    settings: Settings,
    spawner: Spawner,
    room: Arc<Semaphore>,
    idle: Arc<Idle>,
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

    /// Whether a child died of the file, or was killed for it.
    #[must_use]
    pub const fn is_death(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Memory | Self::Crash { .. } => true,
            Self::Extract(_) | Self::Spawn(_) => false,
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
    pub fn new(settings: Settings, spawner: Spawner) -> Self {
        Self {
            room: Arc::new(Semaphore::new(settings.children)),
            settings,
            spawner,
            idle: Arc::default(),
        }
    }

    /// Reads a file's text in a child that reads files of this owner only. A child that fails is gone when this returns; one that is at work is gone soon
    /// after this is dropped.
    ///
    /// # Errors
    ///
    /// What the extractor finds wrong with the file, and how the child died.
    pub async fn extract(
        &self,
        owner: UserId,
        hints: &Hints,
        settings: &ExtractSettings,
        body: Bytes,
    ) -> Result<Document, SandboxError> {
        let request = Start {
            hints: hints.clone(),
            settings: Some(settings.clone()),
            limits: Limits {
                body_bytes: body.len() as u64,
                cpu_seconds: self.settings.timeout.as_secs() + 1,
                response_bytes: response_bytes(settings),
            },
        };
        let _room = self.room.acquire().await;
        let deadline = Instant::now() + self.settings.timeout;
        if let Some(kept) = self.idle.take(owner, self.room.available_permits()) {
            match self.ask(owner, kept, &request, &body, deadline).await {
                // What other files left behind may be the reason: the file is judged by a child of its own.
                Err(SandboxError::Memory | SandboxError::Crash { .. }) => {}
                answered => return answered,
            }
        }
        let fresh = Process::start(&self.settings, &self.spawner).map_err(SandboxError::Spawn)?;
        self.ask(owner, fresh, &request, &body, deadline).await
    }

    /// A child's limits, for people.
    #[must_use]
    pub fn limits(&self) -> String {
        format!(
            "{} MiB of memory, {}, {MAX_FILES} open files, {} children at a time",
            self.settings.memory_bytes >> 20,
            humantime::format_duration(self.settings.timeout),
            self.settings.children
        )
    }

    /// What a child of ours can do beyond computing: what the kernel lets us forbid shows when a child tries.
    ///
    /// # Errors
    ///
    /// No child, or one that does not answer.
    pub async fn freedom(&self) -> Result<Freedom, SandboxError> {
        let told = process::told_freedom(&self.settings, &self.spawner);
        let told = time::timeout(self.settings.timeout, told).await;
        told.map_err(|_elapsed| self.timeout())?
            .map_err(SandboxError::Spawn)
    }

    async fn ask(
        &self,
        owner: UserId,
        mut process: Process,
        request: &Start,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Document, SandboxError> {
        let asked = process.ask(request, body);
        let Ok(answer) = time::timeout_at(deadline, asked).await else {
            process.kill().await.map_err(SandboxError::Spawn)?;
            return Err(self.timeout());
        };
        match answer {
            Answer::Document(document) => {
                self.idle.keep(owner, process);
                Ok(document)
            }
            Answer::Refusal(error) => {
                self.idle.keep(owner, process);
                Err(SandboxError::Extract(error))
            }
            Answer::Breach(how) => {
                process.kill().await.map_err(SandboxError::Spawn)?;
                Err(SandboxError::Crash { how })
            }
            Answer::Silence => {
                let end = process.end().await.map_err(SandboxError::Spawn)?;
                Err(if end.ran_out_of_time() {
                    self.timeout()
                } else if end.lacked_memory() {
                    SandboxError::Memory
                } else {
                    SandboxError::Crash {
                        how: end.describe(),
                    }
                })
            }
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
