//! The parts of a message: one pass over its lines with the boundaries that are open.

use super::super::error::ExtractError;
use super::header::Header;

/// Parts within parts beyond this are attachments by their type, unread.
const MAX_NESTED: usize = 32;
/// No letter has as many.
const MAX_PARTS: usize = 10_000;

/// A message, or one that it carries.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// How many messages it lies in.
    pub(super) depth: u8,
    pub(super) header: Header<'a>,
    pub(super) leaves: Vec<Leaf<'a>>,
}

/// A part that holds no others.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) header: Header<'a>,
    pub(super) body: &'a [u8],
    /// The parts of one number say the same in different ways.
    pub(super) alternative: Option<usize>,
}

/// What is open around a part.
#[derive(Debug)]
enum Open {
    /// Its parts begin behind lines of `--` and this.
    Parts {
        boundary: Vec<u8>,
        alternative: Option<usize>,
    },
    /// A message, by its place among all.
    Message(usize),
}

/// The messages of a file, each before those that it carries.
pub(super) fn messages(bytes: &[u8]) -> Result<Vec<Message<'_>>, ExtractError> {
    let mut reader = Reader {
        rest: bytes,
        open: Vec::new(),
        messages: Vec::new(),
        parts: 0,
    };
    // Mailboxes put such a line before each message.
    if bytes.starts_with(b"From ") {
        reader.line();
    }
    let mut header = reader.header();
    reader.start_message(&header);
    loop {
        reader.parts += 1;
        if reader.parts > MAX_PARTS {
            return Err(ExtractError::corrupt("it has more parts than any e-mail"));
        }
        let part = reader.start_part(&header);
        if part == Part::Message {
            header = reader.header();
            reader.start_message(&header);
        } else if reader.end_part(&header, part) {
            header = reader.header();
        } else {
            return Ok(reader.messages);
        }
    }
}

/// What a part holds.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// A message, whose header comes next.
    Message,
    /// Other parts.
    Parts,
    /// Something to read or to name.
    Leaf,
}

struct Reader<'a> {
    rest: &'a [u8],
    open: Vec<Open>,
    messages: Vec<Message<'a>>,
    parts: usize,
}

impl<'a> Reader<'a> {
    /// Takes a line with its end.
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self
            .rest
            .split_at(end.map_or(self.rest.len(), |end| end + 1));
        self.rest = rest;
        line
    }

    /// Takes the fields up to the empty line, or to the first line that is none of a header.
    fn header(&mut self) -> Header<'a> {
        let mut header = Header::default();
        loop {
            let start = self.rest;
            let line = self.line();
            if line.trim_ascii_end().is_empty() {
                return header;
            }
            if !is_field(line) {
                self.rest = start;
                return header;
            }
            while self.rest.starts_with(b" ") || self.rest.starts_with(b"\t") {
                self.line();
            }
            header.add(&start[..start.len() - self.rest.len()]);
        }
    }

    fn start_message(&mut self, header: &Header<'a>) {
        let depth = self.messages_open();
        self.open.push(Open::Message(self.messages.len()));
        self.messages.push(Message {
            depth: u8::try_from(depth).unwrap_or(u8::MAX),
            header: header.clone(),
            leaves: Vec::new(),
        });
    }

    fn messages_open(&self) -> usize {
        let is_message = |open: &&Open| matches!(open, Open::Message(_));
        self.open.iter().filter(is_message).count()
    }

    /// Opens what a part consists of.
    fn start_part(&mut self, header: &Header<'_>) -> Part {
        let kind = header.content_type();
        if self.open.len() >= MAX_NESTED {
            return Part::Leaf;
        }
        if let Some(kinds) = kind.value.strip_prefix("multipart/")
            && let Some(boundary) = kind.get("boundary")
        {
            let alternative = if kinds == "alternative" {
                Some(self.parts)
            } else {
                self.alternative()
            };
            self.open.push(Open::Parts {
                boundary: boundary.trim_end().as_bytes().to_vec(),
                alternative,
            });
            return Part::Parts;
        }
        let carried = matches!(&*kind.value, "message/rfc822" | "message/global")
            && !matches!(&*header.encoding(), "base64" | "quoted-printable");
        if carried { Part::Message } else { Part::Leaf }
    }

    /// The alternatives that the next part is one of.
    fn alternative(&self) -> Option<usize> {
        match self.open.last() {
            Some(Open::Parts { alternative, .. }) => *alternative,
            Some(Open::Message(_)) | None => None,
        }
    }

    /// Takes the rest of a part, and what stands before the next; whether there is a next.
    fn end_part(&mut self, header: &Header<'a>, part: Part) -> bool {
        let alternative = self.alternative();
        let message = self.open.iter().rev().find_map(|open| match open {
            Open::Message(at) => Some(*at),
            Open::Parts { .. } => None,
        });
        let start = self.rest;
        let mut body = None;
        let more = loop {
            let before = self.rest;
            if before.is_empty() {
                break false;
            }
            let line = self.line();
            let Some((at, closes)) = self.boundary(line) else {
                continue;
            };
            body.get_or_insert(&start[..start.len() - before.len()]);
            self.open.truncate(if closes { at } else { at + 1 });
            if !closes {
                break true;
            }
        };
        if let Some(message) = message.and_then(|at| self.messages.get_mut(at))
            && part == Part::Leaf
        {
            message.leaves.push(Leaf {
                header: header.clone(),
                body: body.unwrap_or(start),
                alternative,
            });
        }
        more
    }

    /// The open boundary that a line is, and whether it is the last of its parts.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        let of = |open: &Open| match open {
            Open::Parts { boundary, .. } => {
                let after = line.strip_prefix(boundary.as_slice())?;
                matches!(after, b"" | b"--").then_some(!after.is_empty())
            }
            Open::Message(_) => None,
        };
        let found = |(at, open)| of(open).map(|closes| (at, closes));
        self.open.iter().enumerate().rev().find_map(found)
    }
}

/// Whether a line is a field of a header: a name without spaces, and a colon.
pub(in crate::extract) fn is_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.is_empty()
        && name.trim_ascii_end().iter().all(u8::is_ascii_graphic)
}
