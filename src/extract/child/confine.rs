//! The kernel's half of a child's confinement: of all system calls only those that reading from a pipe, computing and
//! answering take. The others are answered as if the kernel did not have them.
//!
//! No file can be opened, no socket made, no program started and no other process signalled, whatever a parser is led to
//! do. Where the kernel has no seccomp, or a container forbids it, the other limits hold without it.

use std::{collections::BTreeMap, env::consts::ARCH, fs::File, net::UdpSocket, process::Command};

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use serde::{Deserialize, Serialize};

/// What a child takes whatever its arguments are. glibc asks for the newest call first and understands that it is missing.
const ALLOWED: &[libc::c_long] = &[
    // Its pipes.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_madvise,
    // Threads.
    libc::SYS_futex,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_gettid,
    libc::SYS_getpid,
    // Signals to itself: a stack that overflows says so.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a child can do that it has no use for; all of it is `false` where the kernel helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freedom {
    /// Open a file.
    pub files: bool,
    /// Make a socket.
    pub network: bool,
    /// Start a program.
    pub programs: bool,
}

impl Freedom {
    /// Tries.
    pub(super) fn find_out() -> Self {
        Self {
            files: File::open("/").is_ok(),
            network: UdpSocket::bind("127.0.0.1:0").is_ok(),
            programs: Command::new("/proc/self/exe")
                .arg("--version")
                .output()
                .is_ok(),
        }
    }

    /// Whether the kernel keeps it to its pipes.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.reach().is_empty()
    }

    /// What it can reach, for people.
    #[must_use]
    pub fn reach(self) -> String {
        let all = [
            (self.files, "files"),
            (self.network, "the network"),
            (self.programs, "programs"),
        ];
        let reached = all.iter().filter(|(can, _)| *can);
        reached
            .map(|(_, what)| *what)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Gives up all other system calls, for this thread and those that it will start.
///
/// # Errors
///
/// Where the kernel or a container does not let us; nothing is given up then.
pub(super) fn confine() -> Result<(), Error> {
    let arch: TargetArch = ARCH.try_into()?;
    let filter = SeccompFilter::new(
        rules()?,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
        arch,
    )?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let us = u64::from(std::process::id());
    let limited = [
        // Threads and no processes.
        (libc::SYS_clone, 0, SeccompCmpOp::MaskedEq(thread), thread),
        // abort() is a signal to oneself.
        (libc::SYS_tgkill, 0, SeccompCmpOp::Eq, us),
        // Its own limits, which it can only lower.
        (libc::SYS_prlimit64, 0, SeccompCmpOp::Eq, 0),
        // The names of threads.
        (
            libc::SYS_prctl,
            0,
            SeccompCmpOp::Eq,
            u64::from(libc::PR_SET_NAME.unsigned_abs()),
        ),
    ];
    for (call, argument, how, value) in limited {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, value)?;
        rules.insert(call, vec![SeccompRule::new(vec![condition])?]);
    }
    Ok(rules)
}
