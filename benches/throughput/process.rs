//! What a process and its children use, as the kernel counts it.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What it used from start to end.
pub(crate) struct Usage {
    /// Seconds of processor time of the process itself.
    pub(crate) own: f64,
    /// Of its children.
    pub(crate) children: f64,
    pub(crate) wall: Duration,
    /// The most bytes of memory (PSS: shared pages by shares) of the process itself.
    pub(crate) own_memory: f64,
    /// With its children.
    pub(crate) memory: f64,
}

impl Usage {
    pub(crate) fn cpu(&self) -> f64 {
        self.own + self.children
    }
}

/// Runs a command to its end; 3 says that some files failed, which files may.
pub(crate) fn watch(mut command: Command) -> anyhow::Result<Usage> {
    let began = Instant::now();
    let mut child = command.spawn().context("cannot start the program")?;
    let pid = Pid::from_child(&child);
    let (mut own_memory, mut memory) = (0.0, 0.0);
    let mut so_far = 0.0;
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // It stays a zombie until it is waited for in earnest, and a zombie's times can still be read.
    while waitid(WaitId::Pid(pid), ended)?.is_none() {
        let children = children_of(child.id());
        // Those that live to its end may not be counted by the kernel as its own.
        let ended = times(child.id()).map_or(0.0, |[_, ended]| ended);
        let living = children.iter().filter_map(|child| times(*child).ok());
        so_far = ended + living.map(|[own, _]| own).sum::<f64>();
        let own = pss(child.id());
        own_memory = f64::max(own_memory, own);
        memory = f64::max(memory, own + children.into_iter().map(pss).sum::<f64>());
        thread::sleep(LOOK_EVERY);
    }
    let wall = began.elapsed();
    let [own, children] = times(child.id())?;
    let code = child.wait()?.code();
    ensure!(matches!(code, Some(0 | 3)), "the drain ended with {code:?}");
    Ok(Usage {
        own,
        children: children.max(so_far),
        wall,
        own_memory,
        memory,
    })
}

/// Seconds of processor time of a process and of its children that have ended (`man 5 proc_pid_stat`).
fn times(pid: u32) -> anyhow::Result<[f64; 2]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let ticks: Vec<u32> = fields
        .split(' ')
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse().ok())
        .collect();
    let [user, system, children_user, children_system] = ticks[..] else {
        anyhow::bail!("no times in {stat}");
    };
    let seconds = |ticks: u32| f64::from(ticks) / clock_ticks_per_second() as f64;
    Ok([
        seconds(user + system),
        seconds(children_user + children_system),
    ])
}

fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Bytes of memory, shared pages by shares; 0 of a process that is gone.
fn pss(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}
