//! The inside of an extraction child: limits itself, then answers requests until its standard input ends.
//!
//! Nothing here may be needed for the worker's safety: the worker bounds what it reads and kills what is late.
//! What the child adds is that a file's harm ends with the child: no memory beyond its limit, no files, no survivors.

mod confine;

use std::{
    any::Any,
    env, fs,
    io::{self, Write},
    panic,
    process::ExitCode,
    thread,
};

use rustix::{
    process::{
        Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
    },
    time::{ClockId, clock_gettime},
};

pub use self::confine::Freedom;
use self::confine::confine;
use super::{
    ExtractError, Hints, Limit, Settings, extract,
    frames::{self, Assembler, Done, FrameError, Request, Response, Start},
};
use crate::document::Document;

/// The hidden subcommand; `main` must hand it to [`child_main`] before it starts a thread or reads a setting.
pub const COMMAND: &str = "extract-child";

/// The third argument of a child that only says what it can do.
pub(super) const TRY: &str = "try";

/// Parsers recurse as deep as their input is nested; a deep stack turns many a crash into an answer.
const STACK_BYTES: usize = 64 << 20;

/// Standard input, output and error, and what the standard library opens for a moment.
pub(super) const MAX_FILES: u64 = 16;

/// Answers extraction requests on standard input and output; the body of the hidden subcommand.
///
/// Arguments: the worker's process id, the most bytes of address space, and `TRY` to be told its [`Freedom`] instead.
#[must_use]
pub fn child_main() -> ExitCode {
    let work = if env::args().nth(4).as_deref() == Some(TRY) {
        tell_freedom
    } else {
        answer_all
    };
    match limit_self().and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Gives up what an extraction does not need. Comes before any thread and any byte of input.
fn limit_self() -> io::Result<()> {
    let mut arguments = env::args().skip(2).map(|argument| argument.parse::<u64>());
    let (Some(Ok(parent)), Some(Ok(memory))) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("this command is for the worker's own use"));
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before the line above sent no signal: the child has been given to another by now.
    let found = getppid().and_then(|pid| u64::try_from(pid.as_raw_nonzero().get()).ok());
    if found != Some(parent) {
        return Err(io::Error::other("the worker is gone"));
    }
    // First to go when the machine is out of memory. Not everywhere may this be written; then it is as before.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    env::set_current_dir("/")?;
    fix(Resource::Core, 0)?;
    fix(Resource::Fsize, 0)?;
    fix(Resource::Nofile, MAX_FILES)?;
    fix(Resource::As, memory)?;
    // Where the kernel cannot, the worker has been told at its start.
    drop(confine());
    Ok(())
}

fn tell_freedom() -> io::Result<()> {
    let freedom = serde_json::to_vec(&Freedom::find_out())?;
    io::stdout().write_all(&freedom)
}

fn fix(resource: Resource, limit: u64) -> io::Result<()> {
    let limit = Some(limit);
    Ok(setrlimit(
        resource,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?)
}

/// Lets the processor time run from now; only the soft limit, as the hard one could not be raised for the next file.
fn allow_cpu(seconds: u64) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or(0) + 1;
    // The hard limit stays what it is: only root could raise it.
    let maximum = getrlimit(Resource::Cpu).maximum;
    let wanted = used.saturating_add(seconds);
    let current = Some(maximum.map_or(wanted, |maximum| wanted.min(maximum)));
    Ok(setrlimit(Resource::Cpu, Rlimit { current, maximum })?)
}

/// Reads a file in a thread of its own. What a parser that panicked left behind in its thread would spoil the next
/// file, and parsers recurse as deep as their input is nested.
fn read(
    body: &[u8],
    hints: &Hints,
    settings: &Settings,
) -> io::Result<Result<Document, ExtractError>> {
    thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("extract".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || extract(body, hints, settings))?;
        reader.join().map_err(panicked)
    })
}

fn panicked(panic: Box<dyn Any + Send>) -> io::Error {
    // Dropping a panic's payload can panic again; the process ends anyway.
    std::mem::forget(panic);
    io::Error::other("the extractor panicked")
}

fn complain(line: &str) {
    // Standard error may be gone with the worker; then nobody is left to tell.
    drop(writeln!(io::stderr(), "{line}"));
}

fn answer_all() -> io::Result<()> {
    // A panic's message may quote the file; its place never does.
    panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            complain(&format!("panicked at {}:{}", place.file(), place.line()));
        }
    }));
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut told = None;
    while let Some(mut start) = next_start(&mut input).map_err(io::Error::other)? {
        allow_cpu(start.limits.cpu_seconds)?;
        let body = body(&mut input, &start).map_err(io::Error::other)?;
        told = start.settings.take().or(told);
        let Some(settings) = &told else {
            return Err(io::Error::other("nobody said how files are to be read"));
        };
        let found = read(&body, &start.hints, settings)?;
        drop(body);
        let bytes = start.limits.response_bytes;
        answer(&mut output, bytes, settings, found).map_err(io::Error::other)?;
    }
    Ok(())
}

fn next_start(input: &mut impl io::Read) -> Result<Option<Box<Start>>, FrameError> {
    let mut assembler = Assembler::new(u64::MAX);
    let Some((kind, payload)) = frames::read(input, &mut assembler)? else {
        return Ok(None);
    };
    match Request::decode(kind, payload)? {
        Request::Start(start) => Ok(Some(start)),
        Request::Bytes(_) | Request::End => Err(FrameError::Kind(kind as u8)),
    }
}

fn body(input: &mut impl io::Read, start: &Start) -> Result<Vec<u8>, FrameError> {
    let mut assembler = Assembler::new(u64::MAX);
    let mut body = Vec::with_capacity(usize::try_from(start.limits.body_bytes).unwrap_or(0));
    while let Some((kind, payload)) = frames::read(input, &mut assembler)? {
        match Request::decode(kind, payload)? {
            Request::Bytes(bytes) => body.extend_from_slice(&bytes),
            Request::End => return Ok(body),
            Request::Start(_) => return Err(FrameError::Kind(kind as u8)),
        }
    }
    Err(FrameError::Cut)
}

/// Sends the document, or what is wrong with the file; a document beyond the limit is never sent in part as if whole.
fn answer(
    output: &mut impl Write,
    response_bytes: u64,
    settings: &Settings,
    found: Result<Document, ExtractError>,
) -> Result<(), FrameError> {
    let last = match found {
        Ok(document) => pages(output, response_bytes, settings, document)?,
        Err(error) => Response::Failed(error),
    };
    let (kind, payload) = last.encode()?;
    Ok(frames::write(output, kind, &payload)?)
}

fn pages(
    output: &mut impl Write,
    response_bytes: u64,
    settings: &Settings,
    document: Document,
) -> Result<Response, FrameError> {
    let mut left = response_bytes;
    let mut pages = 0;
    for page in document.pages {
        let (kind, payload) = Response::Page(page).encode()?;
        let Some(rest) = left.checked_sub(frames::cost(&payload)) else {
            let limit = Limit::Text(settings.max_text_bytes);
            return Ok(Response::Failed(ExtractError::TooLarge { limit }));
        };
        left = rest;
        frames::write(output, kind, &payload)?;
        pages += 1;
    }
    let mime_type = document.mime_type;
    Ok(Response::Done(Done { mime_type, pages }))
}
