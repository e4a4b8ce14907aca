//! Messages to and from a pipe: blocking for the child, async for what the worker reads.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    FrameError, Kind,
    wire::{Assembler, HEADER, Header, frames},
};

/// Writes a message.
///
/// # Errors
///
/// Those of the pipe.
pub fn write(pipe: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    for (header, part) in frames(kind, payload) {
        pipe.write_all(&header.encode())?;
        pipe.write_all(part)?;
    }
    pipe.flush()
}

/// Reads the next message; `None` if the pipe ended before it.
///
/// # Errors
///
/// Those of the pipe, and every way in which bytes are not a message.
pub fn read(
    pipe: &mut impl Read,
    assembler: &mut Assembler,
) -> Result<Option<(Kind, Vec<u8>)>, FrameError> {
    loop {
        let mut head = [0; HEADER];
        match pipe.read(&mut head)? {
            0 if assembler.is_between_messages() => return Ok(None),
            0 => return Err(FrameError::Cut),
            got => pipe.read_exact(&mut head[got..]).map_err(cut)?,
        }
        let header = Header::decode(head)?;
        pipe.read_exact(assembler.open(header)?).map_err(cut)?;
        if let Some(message) = assembler.close(header) {
            return Ok(Some(message));
        }
    }
}

/// [`read`] for the worker.
///
/// # Errors
///
/// As [`read`].
pub async fn read_async(
    pipe: &mut (impl AsyncRead + Unpin),
    assembler: &mut Assembler,
) -> Result<Option<(Kind, Vec<u8>)>, FrameError> {
    loop {
        let mut head = [0; HEADER];
        match pipe.read(&mut head).await? {
            0 if assembler.is_between_messages() => return Ok(None),
            0 => return Err(FrameError::Cut),
            got => {
                pipe.read_exact(&mut head[got..]).await.map_err(cut)?;
            }
        }
        let header = Header::decode(head)?;
        let room = assembler.open(header)?;
        pipe.read_exact(room).await.map_err(cut)?;
        if let Some(message) = assembler.close(header) {
            return Ok(Some(message));
        }
    }
}

fn cut(error: io::Error) -> FrameError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        FrameError::Cut
    } else {
        FrameError::Io(error)
    }
}
