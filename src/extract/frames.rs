//! What the worker and an extraction child say to each other, and how it lies on the pipe.
//!
//! A frame is `[u32 little-endian length][u8 kind][payload]`, its payload at most [`MAX_PAYLOAD`]; the length counts the payload.
//! A message is one frame, or several of one kind of which all but the last carry the [`CONTINUES`] bit in their kind.
//! A request is `Start`, any number of `Bytes`, `End`; its response any number of `Page`, then `Done` or `Failed`.
//!
//! Decoding is pure and takes any bytes without a panic; readers take no more than they were allowed.

mod pipe;
mod wire;

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{
    pipe::{read, read_async, write},
    wire::{Assembler, CONTINUES, Header, MAX_PAYLOAD, cost, frames},
};
use super::{ExtractError, Hints, Settings};
use crate::document::Page;

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
    /// How it is to be read; as the file before it if this is `None`, so that types are not told for each file.
    pub settings: Option<Settings>,
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

#[cfg(test)]
mod tests;
