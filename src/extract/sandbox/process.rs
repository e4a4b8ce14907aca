//! A child process: how it is started, asked and seen off.

use std::{fs, io, process::Stdio};

use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    super::{
        ExtractError,
        frames::{self, Assembler, FrameError, Kind, MAX_PAYLOAD, Response, Start},
    },
    COMMAND, Settings,
    complaint::{Complaint, End},
};
use crate::{
    document::{Document, Page},
    spawner::Spawner,
};

/// A child that waits for a question; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    complaint: Complaint,
    /// Took every question whole and answered it, so that the next one cannot be taken for a part of the last.
    in_step: bool,
}

/// What comes of a question.
#[derive(Debug)]
pub(super) enum Answer {
    Document(Document),
    Refusal(ExtractError),
    /// Standard output ended early: how the child died says why.
    Silence,
    Breach(String),
}

impl Process {
    pub(super) fn start(settings: &Settings, spawner: &Spawner) -> io::Result<Self> {
        let mut child = spawner.spawn_async(command(settings))?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the child has no pipes"));
        };
        Ok(Self {
            child,
            input,
            output,
            complaint: Complaint::of(errors),
            in_step: true,
        })
    }

    /// Sends the question and takes the answer side by side, as each may wait for the other.
    pub(super) async fn ask(&mut self, request: &Start, body: &[u8]) -> Answer {
        self.complaint.forget();
        let (answer, sent) = tokio::select! {
            talked = talk(&mut self.input, &mut self.output, request, body) => talked,
            // Read all the while, since a child whose standard error is full waits for ever.
            never = self.complaint.listen_for_ever() => match never {},
        };
        self.in_step = sent;
        answer
    }

    /// Whether it can be asked again: it is in step, alive and silent.
    pub(super) fn is_ready(&mut self) -> bool {
        // A word that nobody asked for, or the end of the pipe, is there at once.
        self.in_step && self.output.read_u8().now_or_never().is_none()
    }

    /// Bytes of memory that it holds (`man 5 proc_pid_statm`, second field).
    pub(super) fn memory(&self) -> Option<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.child.id()?)).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    pub(super) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// How it ended, for one that has fallen silent.
    pub(super) async fn end(mut self) -> io::Result<End> {
        drop(self.input);
        let status = self.child.wait().await?;
        self.complaint.listen().await;
        Ok(End {
            status,
            complaint: self.complaint.words(),
        })
    }
}

fn command(settings: &Settings) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        .arg(settings.memory_bytes.to_string())
        .env_clear()
        // More arenas would spend address space that the limit counts.
        .env("MALLOC_ARENA_MAX", "1")
        // What one file took is given back before the next comes.
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the whole foreground group; the worker wants to finish what is in hand.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// The answer, and whether the whole question was sent before it came.
async fn talk(
    input: &mut (impl AsyncWrite + Unpin),
    output: &mut (impl AsyncRead + Unpin),
    request: &Start,
    body: &[u8],
) -> (Answer, bool) {
    let receive = receive(output, request.limits.response_bytes);
    tokio::pin!(receive);
    tokio::select! {
        // In this order, as a child may answer the moment that it has the question.
        biased;
        // A failed write means that the child is gone; what it said, or how it died, says why.
        sent = send(input, request, body) => (receive.await, sent.is_ok()),
        answer = &mut receive => (answer, false),
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
