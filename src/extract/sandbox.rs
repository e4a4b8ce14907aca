//! Extraction in a child process: what a file's parser does there costs one attempt of one file and nothing else.
//!
//! One child a file. It has no environment, bounded memory and time, and dies with the worker and with the future that
//! waits for it. Nothing that it says is trusted: lengths, amounts and order are checked, and a breach is a crash.
//! What it writes to its standard error may quote the file, so it is looked at and never passed on.

use std::{
    convert::Infallible,
    future, io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use rustix::process::Signal;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    process::{Child, ChildStderr, Command},
    time,
};

pub use super::child::{COMMAND, child_main};
use super::{
    ExtractError, Hints, Settings as ExtractSettings,
    frames::{self, Assembler, FrameError, Kind, Limits, MAX_PAYLOAD, Response, Start},
};
use crate::{
    document::{Document, Page},
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

/// What can go wrong while the two talk.
#[derive(Debug)]
enum Answer {
    Document(Document),
    Refusal(ExtractError),
    /// Standard output ended early: how the child died says why.
    Silence,
    Breach(String),
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

/// Sends the request and takes the answer side by side, as each may wait for the other; then sees the child off.
async fn converse(child: &mut Child, request: &Start, body: &[u8]) -> io::Result<(Answer, End)> {
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let mut complaint = Complaint::of(errors);
    let answer = tokio::select! {
        answer = talk(input, output, request, body) => answer,
        // Read all the while, since a child whose standard error is full waits for ever.
        never = complaint.listen_for_ever() => match never {},
    };
    if !matches!(answer, Answer::Silence) {
        child.start_kill()?;
    }
    let status = child.wait().await?;
    if matches!(answer, Answer::Silence) {
        complaint.listen().await;
    }
    let complaint = complaint.words();
    Ok((answer, End { status, complaint }))
}

async fn talk(
    mut input: impl AsyncWrite + Unpin,
    mut output: impl AsyncRead + Unpin,
    request: &Start,
    body: &[u8],
) -> Answer {
    let receive = receive(&mut output, request.limits.response_bytes);
    tokio::pin!(receive);
    tokio::select! {
        answer = &mut receive => answer,
        // A failed write means that the child is gone; what it said, or how it died, says why.
        _sent = send(&mut input, request, body) => receive.await,
    }
}

async fn send(
    pipe: &mut (impl AsyncWrite + Unpin),
    request: &Start,
    body: &[u8],
) -> io::Result<()> {
    let start = request.encode().map_err(io::Error::other)?;
    frames::write_async(pipe, Kind::Start, &start).await?;
    for part in body.chunks(MAX_PAYLOAD) {
        frames::write_async(pipe, Kind::Bytes, part).await?;
    }
    frames::write_async(pipe, Kind::End, &[]).await
}

async fn receive(pipe: &mut (impl AsyncRead + Unpin), response_bytes: u64) -> Answer {
    // Room beyond the pages' bytes for the message that ends them.
    let mut assembler = Assembler::new(response_bytes.saturating_add(MAX_PAYLOAD as u64));
    let mut pages = Vec::new();
    loop {
        match next_response(pipe, &mut assembler).await {
            Ok(Some(Response::Page(page))) if holds_nul(&page) => {
                return Answer::Breach("the child sent a NUL".into());
            }
            Ok(Some(Response::Page(page))) => pages.push(page),
            Ok(Some(Response::Done(done))) if done.pages as usize == pages.len() => {
                return Answer::Document(Document {
                    mime_type: done.mime_type,
                    pages,
                });
            }
            Ok(Some(Response::Done(_))) => {
                return Answer::Breach("the child lost pages".into());
            }
            Ok(Some(Response::Failed(error))) => return Answer::Refusal(error),
            Ok(None) | Err(FrameError::Cut | FrameError::Io(_)) => return Answer::Silence,
            Err(
                error @ (FrameError::Kind(_)
                | FrameError::Long(_)
                | FrameError::Mixed
                | FrameError::Flood(_)
                | FrameError::Payload(_)),
            ) => return Answer::Breach(error.to_string()),
        }
    }
}

async fn next_response(
    pipe: &mut (impl AsyncRead + Unpin),
    assembler: &mut Assembler,
) -> Result<Option<Response>, FrameError> {
    match frames::read_async(pipe, assembler).await? {
        Some((kind, payload)) => Response::decode(kind, &payload).map(Some),
        None => Ok(None),
    }
}

/// Postgres takes no NUL; extractors leave none, but this is the last place that could let one through.
fn holds_nul(page: &Page) -> bool {
    page.blocks.iter().any(|block| block.text.contains('\0'))
}

/// The last of what a child wrote to its standard error, where a dying program says why.
struct Complaint {
    pipe: ChildStderr,
    kept: Vec<u8>,
}

impl Complaint {
    const KEPT_BYTES: usize = 4096;

    const fn of(pipe: ChildStderr) -> Self {
        let kept = Vec::new();
        Self { pipe, kept }
    }

    /// Reads to the end; an error of the pipe is its end too.
    async fn listen(&mut self) {
        let mut piece = [0; Self::KEPT_BYTES];
        while let Ok(got @ 1..) = self.pipe.read(&mut piece).await {
            self.kept.extend_from_slice(&piece[..got]);
            let surplus = self.kept.len().saturating_sub(Self::KEPT_BYTES);
            self.kept.drain(..surplus);
        }
    }

    async fn listen_for_ever(&mut self) -> Infallible {
        self.listen().await;
        future::pending().await
    }

    fn words(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// How a child ended.
#[derive(Debug)]
struct End {
    status: ExitStatus,
    complaint: String,
}

impl End {
    fn died_of(&self, signal: Signal) -> bool {
        self.status.signal() == Some(signal.as_raw())
    }

    /// The words are those of Rust's allocator, and of the child's own start, which asks for its stack.
    fn lacked_memory(&self) -> bool {
        let refused = self.complaint.contains("memory allocation of")
            || self.complaint.contains("Cannot allocate memory");
        refused && !self.status.success()
    }

    /// In our words: the complaint itself may quote the file.
    fn describe(&self) -> String {
        let complaint = &self.complaint;
        if complaint.contains("has overflowed its stack") {
            return "the stack overflowed".into();
        }
        if let Some(place) = panic_place(complaint) {
            return format!("it panicked at {place}");
        }
        match (self.status.signal(), self.status.code()) {
            (Some(9), _) => "it was killed, perhaps by the kernel for want of memory".into(),
            (Some(signal), _) => format!("it died of signal {signal}"),
            (None, Some(0)) => "it left without an answer".into(),
            (None, code) => format!("it left with status {}", code.unwrap_or_default()),
        }
    }
}

/// Where the child's own panic hook says that it was, if that is a place in a source file and nothing else.
fn panic_place(complaint: &str) -> Option<&str> {
    let place = complaint
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("panicked at "))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    (place.len() <= 200 && place.chars().all(plain)).then_some(place)
}
