//! What the worker and an extraction child say to each other, and how it lies on the pipe.
//!
//! A frame is `[u32 little-endian length][u8 kind][payload]`, its payload at most [`MAX_PAYLOAD`]; the length counts the payload.
//! A message is one frame, or several of one kind of which all but the last carry the [`CONTINUES`] bit in their kind.
//! A request is `Start`, any number of `Bytes`, `End`; its response any number of `Page`, then `Done` or `Failed`.
//!
//! Decoding is pure and takes any bytes without a panic; readers take no more than they were allowed.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{ExtractError, Hints, Settings};
use crate::document::Page;

/// Most bytes of a frame's payload: small beside a pipe reader's memory, large beside the cost of a system call.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The bit of a frame's kind that says that the next frame continues the message.
pub const CONTINUES: u8 = 0x80;

const HEADER: usize = 5;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Request: a [`Start`].
    Start = 1,
    /// Request: the next bytes of the file, as they are.
    Bytes = 2,
    /// Request: the file is whole; nothing in it.
    End = 3,
    /// Response: a [`Page`].
    Page = 17,
    /// Response: a [`Done`].
    Done = 18,
    /// Response: an [`ExtractError`].
    Failed = 19,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Start,
        Self::Bytes,
        Self::End,
        Self::Page,
        Self::Done,
        Self::Failed,
    ];
}

/// Opens a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// What is known about the file.
    pub hints: Hints,
    /// How it is to be read.
    pub settings: Settings,
    /// What it may use.
    pub limits: Limits,
}

/// What one extraction may use, beyond what the child's process limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Length of the file that follows.
    pub body_bytes: u64,
    /// Processor time, from now on.
    pub cpu_seconds: u64,
    /// Most bytes of the response, headers included.
    pub response_bytes: u64,
}

/// Ends a response whose pages have all been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// [`crate::document::Document::mime_type`].
    pub mime_type: String,
    /// How many pages there were.
    pub pages: u32,
}

/// What the worker says.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// See [`Kind::Start`].
    Start(Box<Start>),
    /// See [`Kind::Bytes`].
    Bytes(Vec<u8>),
    /// See [`Kind::End`].
    End,
}

/// What the child says.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// See [`Kind::Page`].
    Page(Page),
    /// See [`Kind::Done`].
    Done(Done),
    /// See [`Kind::Failed`].
    Failed(ExtractError),
}

/// Why bytes are not a message.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The pipe itself.
    #[error("reading or writing the pipe failed")]
    Io(#[from] io::Error),
    /// Ended within a message.
    #[error("the pipe ended within a message")]
    Cut,
    /// A kind that nobody sends, or not in this direction.
    #[error("a frame is of unknown kind {0}")]
    Kind(u8),
    /// A frame longer than frames are.
    #[error("a frame of {0} bytes is too long")]
    Long(u32),
    /// A frame that continues nothing of its kind.
    #[error("a frame continues a message of another kind")]
    Mixed,
    /// More than this side was ready to take.
    #[error("there is more than the {0} bytes allowed")]
    Flood(u64),
    /// A payload that is not what its kind says.
    #[error("a payload is not what its kind says")]
    Payload(#[source] serde_json::Error),
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub kind: Kind,
    /// Whether the next frame goes on with the same message.
    pub continues: bool,
    /// Bytes of payload that follow, at most [`MAX_PAYLOAD`].
    pub length: usize,
}

impl Header {
    /// Reads a head from the first bytes of a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::Kind`] and [`FrameError::Long`].
    pub fn decode(bytes: [u8; HEADER]) -> Result<Self, FrameError> {
        let [a, b, c, d, kind] = bytes;
        let announced = u32::from_le_bytes([a, b, c, d]);
        let length = usize::try_from(announced)
            .ok()
            .filter(|length| *length <= MAX_PAYLOAD)
            .ok_or(FrameError::Long(announced))?;
        let known = Kind::ALL
            .into_iter()
            .find(|candidate| *candidate as u8 == kind & !CONTINUES)
            .ok_or(FrameError::Kind(kind))?;
        Ok(Self {
            kind: known,
            continues: kind & CONTINUES != 0,
            length,
        })
    }

    /// The bytes that [`Header::decode`] reads.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let [a, b, c, d] = length.to_le_bytes();
        let mark = if self.continues { CONTINUES } else { 0 };
        [a, b, c, d, self.kind as u8 | mark]
    }
}

/// Joins frames to messages, up to a number of bytes.
#[derive(Debug)]
pub struct Assembler {
    allowed: u64,
    left: u64,
    open: Option<Kind>,
    payload: Vec<u8>,
}

impl Assembler {
    /// Takes at most `allowed` bytes in all, headers included.
    #[must_use]
    pub const fn new(allowed: u64) -> Self {
        Self {
            allowed,
            left: allowed,
            open: None,
            payload: Vec::new(),
        }
    }

    /// Whether no message is half read.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.open.is_none()
    }

    /// Makes room for the payload that a head announces, and returns that room.
    ///
    /// # Errors
    ///
    /// If the head fits neither the message that is open nor what is left of the allowance.
    pub fn open(&mut self, header: Header) -> Result<&mut [u8], FrameError> {
        if self.open.is_some_and(|open| open != header.kind) {
            return Err(FrameError::Mixed);
        }
        let cost = (HEADER + header.length) as u64;
        let flood = FrameError::Flood(self.allowed);
        self.left = self.left.checked_sub(cost).ok_or(flood)?;
        self.open = Some(header.kind);
        let start = self.payload.len();
        self.payload.resize(start + header.length, 0);
        Ok(&mut self.payload[start..])
    }

    /// The message, if the frame with this head, whose payload is in place, ends it.
    pub fn close(&mut self, header: Header) -> Option<(Kind, Vec<u8>)> {
        if header.continues {
            return None;
        }
        self.open = None;
        Some((header.kind, std::mem::take(&mut self.payload)))
    }
}

impl Request {
    /// Reads a request's message.
    ///
    /// # Errors
    ///
    /// If the payload is not of its kind, or the kind is a response's.
    pub fn decode(kind: Kind, payload: Vec<u8>) -> Result<Self, FrameError> {
        match kind {
            Kind::Start => Ok(Self::Start(json(&payload)?)),
            Kind::Bytes => Ok(Self::Bytes(payload)),
            Kind::End => Ok(Self::End),
            Kind::Page | Kind::Done | Kind::Failed => Err(FrameError::Kind(kind as u8)),
        }
    }
}

impl Response {
    /// Reads a response's message.
    ///
    /// # Errors
    ///
    /// If the payload is not of its kind, or the kind is a request's.
    pub fn decode(kind: Kind, payload: &[u8]) -> Result<Self, FrameError> {
        match kind {
            Kind::Page => Ok(Self::Page(json(payload)?)),
            Kind::Done => Ok(Self::Done(json(payload)?)),
            Kind::Failed => Ok(Self::Failed(json(payload)?)),
            Kind::Start | Kind::Bytes | Kind::End => Err(FrameError::Kind(kind as u8)),
        }
    }

    /// The message that [`Response::decode`] reads.
    ///
    /// # Errors
    ///
    /// If it has no JSON form, which plain data always has.
    pub fn encode(&self) -> Result<(Kind, Vec<u8>), FrameError> {
        Ok(match self {
            Self::Page(page) => (Kind::Page, to_json(page)?),
            Self::Done(done) => (Kind::Done, to_json(done)?),
            Self::Failed(error) => (Kind::Failed, to_json(error)?),
        })
    }
}

impl Start {
    /// The payload of [`Kind::Start`].
    ///
    /// # Errors
    ///
    /// If it has no JSON form, which plain data always has.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        to_json(self)
    }
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(FrameError::Payload)
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    serde_json::to_vec(value).map_err(FrameError::Payload)
}

/// Cuts a message into frames; an empty message is one empty frame.
pub fn frames(kind: Kind, payload: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let count = payload.len().div_ceil(MAX_PAYLOAD).max(1);
    (0..count).map(move |place| {
        let from = place * MAX_PAYLOAD;
        let part = &payload[from..payload.len().min(from + MAX_PAYLOAD)];
        let header = Header {
            kind,
            continues: place + 1 < count,
            length: part.len(),
        };
        (header, part)
    })
}

/// Bytes that a message takes on the pipe.
#[must_use]
pub fn cost(payload: &[u8]) -> u64 {
    (payload.len() + HEADER * payload.len().div_ceil(MAX_PAYLOAD).max(1)) as u64
}

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

/// [`write()`] for the worker.
///
/// # Errors
///
/// Those of the pipe.
pub async fn write_async(
    pipe: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    payload: &[u8],
) -> io::Result<()> {
    for (header, part) in frames(kind, payload) {
        pipe.write_all(&header.encode()).await?;
        pipe.write_all(part).await?;
    }
    pipe.flush().await
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::document::{Block, BlockKind};

    fn any_page() -> impl Strategy<Value = Page> {
        let block = (any::<bool>(), ".{0,40}").prop_map(|(header, text)| Block {
            kind: BlockKind::TableRow { header },
            text,
        });
        (any::<Option<u32>>(), vec(block, 0..5))
            .prop_map(|(number, blocks)| Page { number, blocks })
    }

    fn any_response() -> impl Strategy<Value = Response> {
        prop_oneof![
            any_page().prop_map(Response::Page),
            (".{0,40}", any::<u32>())
                .prop_map(|(mime_type, pages)| Response::Done(Done { mime_type, pages })),
            ".{0,40}".prop_map(|reason| Response::Failed(ExtractError::Corrupt { reason })),
        ]
    }

    fn read_all(mut pipe: &[u8], allowed: u64) -> Result<Vec<(Kind, Vec<u8>)>, FrameError> {
        let mut assembler = Assembler::new(allowed);
        let mut messages = Vec::new();
        while let Some(message) = read(&mut pipe, &mut assembler)? {
            messages.push(message);
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(responses in vec(any_response(), 0..8)) {
            let mut pipe = Vec::new();
            let mut paid = 0;
            for response in &responses {
                let (kind, payload) = response.encode().unwrap();
                paid += cost(&payload);
                write(&mut pipe, kind, &payload).unwrap();
            }
            prop_assert_eq!(pipe.len() as u64, paid);
            let back: Vec<_> = read_all(&pipe, paid)
                .unwrap()
                .into_iter()
                .map(|(kind, payload)| Response::decode(kind, &payload).unwrap())
                .collect();
            prop_assert_eq!(back, responses);
        }

        #[test]
        fn a_long_message_is_cut_and_joined(length in 0_usize..3 * MAX_PAYLOAD + 2, fill: u8) {
            let payload = vec![fill; length];
            let mut pipe = Vec::new();
            write(&mut pipe, Kind::Bytes, &payload).unwrap();
            prop_assert_eq!(pipe.len() as u64, cost(&payload));
            let messages = read_all(&pipe, u64::MAX).unwrap();
            prop_assert!(messages == [(Kind::Bytes, payload)]);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200), kind in 0_u8..24) {
            drop(read_all(&bytes, 1 << 16));
            let mut plausible = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
            plausible.push(kind);
            plausible.extend(&bytes);
            for (kind, payload) in read_all(&plausible, 1 << 16).unwrap_or_default() {
                drop(Response::decode(kind, &payload));
                drop(Request::decode(kind, payload));
            }
        }

        #[test]
        fn a_head_that_is_read_is_written_the_same(bytes: [u8; HEADER]) {
            if let Ok(header) = Header::decode(bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_flood_is_refused_before_it_is_taken() {
        let mut pipe = Vec::new();
        write(&mut pipe, Kind::Page, &vec![b' '; 3 * MAX_PAYLOAD]).unwrap();
        let refused = read_all(&pipe, 2 * MAX_PAYLOAD as u64);
        assert!(matches!(refused, Err(FrameError::Flood(_))), "{refused:?}");
    }

    #[test]
    fn a_pipe_that_ends_within_a_message_is_cut() {
        let mut pipe = Vec::new();
        write(&mut pipe, Kind::Bytes, b"whole").unwrap();
        for end in 1..pipe.len() {
            let cut = read_all(&pipe[..end], u64::MAX);
            assert!(matches!(cut, Err(FrameError::Cut)), "{end}: {cut:?}");
        }
    }

    #[test]
    fn messages_do_not_mix() {
        let mut pipe = Vec::new();
        let open = Header {
            kind: Kind::Page,
            continues: true,
            length: 0,
        };
        pipe.extend(open.encode());
        write(&mut pipe, Kind::Done, b"{}").unwrap();
        assert!(matches!(read_all(&pipe, u64::MAX), Err(FrameError::Mixed)));
    }

    #[tokio::test]
    async fn the_worker_reads_what_the_child_writes() {
        let payload = vec![7; 2 * MAX_PAYLOAD + 1];
        let mut pipe = Vec::new();
        write(&mut pipe, Kind::Page, &payload).unwrap();
        write_async(&mut pipe, Kind::Done, b"{}").await.unwrap();
        let mut pipe = &pipe[..];
        let mut assembler = Assembler::new(u64::MAX);
        let first = read_async(&mut pipe, &mut assembler).await.unwrap();
        assert_eq!(first, Some((Kind::Page, payload)));
        let second = read_async(&mut pipe, &mut assembler).await.unwrap();
        assert_eq!(second, Some((Kind::Done, b"{}".to_vec())));
        let end = read_async(&mut pipe, &mut assembler).await.unwrap();
        assert_eq!(end, None);
    }
}
