//! The hidden subcommand that stands between us and Postgres: `postgres-shim run …` becomes the server,
//! `postgres-shim sweep …` removes a throw-away folder.
//!
//! Both see to it that nothing is left when we are killed with a signal that nobody can catch. They run in a fresh
//! process of our own program, before it has a second thread: the changes below are per thread.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{Gid, Uid},
    process::{Pid, Signal},
};

use super::account::Account;

/// The first argument by which `main` knows that it is to call [`run`].
pub const SUBCOMMAND: &str = "postgres-shim";

/// An immediate shutdown takes up to five seconds where a backend does not listen.
const POSTMASTER_GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Does what the arguments after [`SUBCOMMAND`] say; a successful `run` never returns.
///
/// To be called before any thread is started.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let words: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
    let done = match words.as_slice() {
        [verb, folder] if *verb == "sweep" => sweep(Path::new(folder)),
        [verb, parent, uid, gid, program, rest @ ..] if *verb == "run" => {
            become_server(parent, uid, gid, program, rest)
        }
        _ => Err(anyhow::anyhow!("not a command for people")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the standard error of a child is read by the process that started it"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("{SUBCOMMAND}: {error:#}");
}

/// A command that runs a program of Postgres as the account, and dies with the thread that starts it.
pub(super) fn server_command(
    ourselves: &Path,
    account: Account,
    program: &Path,
) -> tokio::process::Command {
    let [uid, gid] = if account.is_another {
        [account.uid.to_string(), account.gid.to_string()]
    } else {
        ["-".to_owned(), "-".to_owned()]
    };
    let mut command = tokio::process::Command::new(ourselves);
    command
        .args([SUBCOMMAND, "run", &std::process::id().to_string()])
        .args([uid, gid])
        .arg(program)
        // A PGPORT or LC_ALL of the user's must not change what we start.
        .env_clear()
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        // Ctrl-C in a terminal goes to the whole group; the server has to outlive our own orderly end.
        .process_group(0);
    command
}

/// A child that removes the folder when the pipe to its standard input closes, which our death does too.
pub(super) fn sweeper(ourselves: &Path, folder: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(ourselves);
    command
        .args([OsStr::new(SUBCOMMAND), OsStr::new("sweep")])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        // Inherited pipes would keep whoever reads our output waiting.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Drops root, asks for SIGQUIT at the parent's death, and becomes the program.
fn become_server(
    parent: &OsStr,
    uid: &OsStr,
    gid: &OsStr,
    program: &OsStr,
    arguments: &[&OsStr],
) -> anyhow::Result<()> {
    if uid != "-" {
        let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
        rustix::thread::set_thread_groups(&[gid]).context("cannot leave root's groups")?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).context("cannot change the group")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).context("cannot change the user")?;
    }
    // After the change of user, which clears it; it survives the exec.
    rustix::process::set_parent_process_death_signal(Some(Signal::QUIT))
        .context("cannot ask for a signal at the parent's death")?;
    let expected = number(parent)?;
    let found = Pid::as_raw(rustix::process::getppid());
    if u32::try_from(found).ok() != Some(expected) {
        bail!("the parent died before the server was started");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", Path::new(program).display()))
}

fn number(word: &OsStr) -> anyhow::Result<u32> {
    let word = word.to_string_lossy();
    word.parse()
        .with_context(|| format!("{word:?} is not a number"))
}

/// Waits for the end of standard input and of the server, then removes the folder.
#[expect(
    clippy::disallowed_methods,
    reason = "a process of one thread, which has nothing else to do"
)]
fn sweep(folder: &Path) -> anyhow::Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).context("cannot wait for the parent")?;
    let give_up_at = Instant::now() + POSTMASTER_GONE_WITHIN;
    loop {
        // A dying server may write once more between two attempts.
        let removed = match postmaster(&data_folder(folder)) {
            Some(pid) => Err(io::Error::other(format!("the server {pid} is still there"))),
            None => fs::remove_dir_all(folder),
        };
        match removed {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > give_up_at => return Err(error.into()),
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

/// Where the server's data lie in the stack's folder.
pub(super) fn data_folder(folder: &Path) -> PathBuf {
    folder.join("postgres/data")
}

/// The living server on these data, if there is one.
///
/// The number in `postmaster.pid` may since belong to a stranger, or to a dead child that nobody reaped; only a
/// process that was started on this very folder counts.
pub(super) fn postmaster(data: &Path) -> Option<Pid> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = file.lines().next()?.trim().parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let data = data.as_os_str().as_encoded_bytes();
    let is_ours = cmdline.split(|byte| *byte == 0).any(|word| word == data);
    is_ours.then(|| Pid::from_raw(pid)).flatten()
}
