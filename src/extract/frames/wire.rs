//! How a message lies on the pipe: its frames, and how they are joined again.

use super::{FrameError, Kind};

/// Most bytes of a frame's payload: small beside a pipe reader's memory, large beside the cost of a system call.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The bit of a frame's kind that says that the next frame continues the message.
pub const CONTINUES: u8 = 0x80;

pub(super) const HEADER: usize = 5;

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
