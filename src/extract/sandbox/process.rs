//! A child process: how it is started, asked and seen off.

use std::{fs, io, process::Stdio, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time,
};

use super::{
    super::{
        Settings as ExtractSettings,
        child::{Freedom, TRY},
        frames::Start,
    },
    COMMAND, Settings,
    end::{Complaint, End},
    talk::{Answer, talk},
};
use crate::spawner::Spawner;

/// How long a child that has closed its output may take to die.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A child's environment: mimalloc by itself reserves a gibibyte of address space, which the limit counts. In KiB.
pub const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "32768");

/// A child that waits for a question; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    complaint: Complaint,
    /// How it was last told to read files.
    told: Option<ExtractSettings>,
    /// Took every question whole and answered it, so that the next one cannot be taken for a part of the last.
    in_step: bool,
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
            output: BufReader::new(output),
            complaint: Complaint::of(errors),
            told: None,
            in_step: true,
        })
    }

    /// Sends the question and takes the answer side by side, as each may wait for the other.
    pub(super) async fn ask(&mut self, request: &Start, body: &[u8]) -> Answer {
        self.complaint.forget();
        let is_told = self.told == request.settings;
        let request = &Start {
            settings: request.settings.clone().filter(|_| !is_told),
            ..request.clone()
        };
        let (answer, sent) = tokio::select! {
            talked = talk(&mut self.input, &mut self.output, request, body) => talked,
            // Read all the while, since a child whose standard error is full waits for ever.
            never = self.complaint.listen_for_ever() => match never {},
        };
        self.in_step = sent;
        self.told = request.settings.clone().or(self.told.take());
        answer
    }

    /// Whether it can be asked again: it is in step, alive and silent.
    pub(super) fn is_ready(&mut self) -> bool {
        // Its end shows here, and so does a word that nobody asked for, if it has come already; one that comes later spoils
        // a file of the same owner at most.
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

    /// How it ended, for one that has fallen silent; one that lives on is killed.
    pub(super) async fn end(mut self) -> io::Result<End> {
        drop(self.input);
        let complaint = &mut self.complaint;
        let ended = async {
            let (status, ()) = tokio::join!(self.child.wait(), complaint.listen());
            status
        };
        let ended = time::timeout(LAST_WORDS, ended).await;
        let status = match ended {
            Ok(status) => status?,
            Err(_elapsed) => {
                self.child.start_kill()?;
                self.child.wait().await?
            }
        };
        Ok(End {
            status,
            complaint: self.complaint.words(),
        })
    }
}

/// Asks a child of its own, which ends with its answer.
pub(super) async fn told_freedom(settings: &Settings, spawner: &Spawner) -> io::Result<Freedom> {
    let mut command = command(settings);
    command.arg(TRY).stdin(Stdio::null());
    let said = spawner.spawn_async(command)?.wait_with_output().await?;
    Ok(serde_json::from_slice(&said.stdout)?)
}

fn command(settings: &Settings) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        .arg(settings.memory_bytes.to_string())
        .env_clear()
        .envs([ALLOCATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the whole foreground group; the worker wants to finish what is in hand.
        .process_group(0)
        .kill_on_drop(true);
    command
}
