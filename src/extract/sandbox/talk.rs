//! The talk with a child: the question goes out while the answer comes in, and nothing of the answer is trusted.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::super::{
    ExtractError,
    frames::{self, Assembler, FrameError, Kind, MAX_PAYLOAD, Response, Start},
};
use crate::document::{Document, Page};

/// What a pipe holds (`man 7 pipe`): more waits for the reader anyway.
const PIPE_BYTES: usize = 64 << 10;

/// What comes of a question.
#[derive(Debug)]
pub(super) enum Answer {
    Document(Document),
    Refusal(ExtractError),
    /// Standard output ended early: how the child died says why.
    Silence,
    Breach(String),
}

/// The answer, and whether the whole question was sent before it came.
pub(super) async fn talk(
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

/// Writes as much at once as a pipe holds: a note and all that belongs to it.
async fn send(
    pipe: &mut (impl AsyncWrite + Unpin),
    request: &Start,
    body: &[u8],
) -> io::Result<()> {
    let mut unsent = Vec::new();
    let start = request.encode().map_err(io::Error::other)?;
    frames::write(&mut unsent, Kind::Start, &start)?;
    for part in body.chunks(PIPE_BYTES) {
        frames::write(&mut unsent, Kind::Bytes, part)?;
        if unsent.len() >= PIPE_BYTES {
            pipe.write_all(&unsent).await?;
            unsent.clear();
        }
    }
    frames::write(&mut unsent, Kind::End, &[])?;
    pipe.write_all(&unsent).await
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
