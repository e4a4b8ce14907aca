//! What the benches measure with.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// The fastest of so many runs counts.
const RUNS: usize = 3;

/// Seconds of this thread's CPU time: other work on the machine does not count.
pub(crate) fn fastest<T>(mut work: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let started_at = now();
        black_box(work());
        now() - started_at
    };
    (0..RUNS).map(time).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a process")]
fn now() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(crate) fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
