//! Starts child processes from one thread that lives as long as the [`Spawner`].
//!
//! A child's death signal (`PR_SET_PDEATHSIG`) follows the *thread* that started it, not the process: a child started
//! from a thread of a pool dies when the pool retires that thread. Whatever must die with us is started here.

use std::{
    io,
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use tokio::{process, runtime::Handle};

/// A thread that starts children; it ends with the last clone, and children with a death signal end with it.
#[derive(Clone, Debug)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

/// What the thread is asked to do; it answers through a channel that the closure holds.
type Job = Box<dyn FnOnce() + Send>;

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system has no thread to give.
    pub fn new() -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || todo.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Starts a child; blocks for the millisecond that a fork takes.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`].
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        self.on_thread(move || command.spawn())
    }

    /// Starts a child that the calling runtime reaps; blocks for the millisecond that a fork takes.
    ///
    /// # Errors
    ///
    /// As [`process::Command::spawn`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn_async(&self, mut command: process::Command) -> io::Result<process::Child> {
        let runtime = Handle::current();
        self.on_thread(move || {
            let _inside = runtime.enter();
            command.spawn()
        })
    }

    fn on_thread<T: Send + 'static>(
        &self,
        start: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job = move || {
            // The asker waits below, so the send fails only if it panicked; then nobody wants the child.
            drop(answer.send(start()));
        };
        self.jobs.send(Box::new(job)).map_err(thread_is_gone)?;
        answered.recv().map_err(thread_is_gone)?
    }
}

fn thread_is_gone<E>(_: E) -> io::Error {
    io::Error::other("the thread that starts child processes is gone")
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Stdio};

    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let spawner = Spawner::new().unwrap();
        let asker = spawner.clone();
        let mut child = thread::spawn(move || {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            asker.spawn(command).unwrap()
        })
        .join()
        .unwrap();
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    #[tokio::test]
    async fn an_async_child_is_reaped_by_the_asking_runtime() {
        let spawner = Spawner::new().unwrap();
        let mut command = process::Command::new("sh");
        command.args(["-c", "kill -9 $$"]);
        let status = spawner.spawn_async(command).unwrap().wait().await.unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_the_asker() {
        let spawner = Spawner::new().unwrap();
        let error = spawner.spawn(Command::new("/no/such/program")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
