//! How many files are claimed before there is a hand for them.

use std::time::{Duration, Instant};

/// A file that is claimed ahead waits about so long, which no other worker's would have been faster.
const WINDOW: Duration = Duration::from_millis(250);

/// Small files, of which many are done in a moment, are claimed many at a time: a claim costs the database as much as all
/// else that is done for a note. Large ones are left to whoever is free.
#[derive(Debug)]
pub(super) struct Ahead {
    since: Instant,
    done: usize,
    done_before: usize,
}

impl Ahead {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            done: 0,
            done_before: 0,
        }
    }

    /// Another file is done.
    pub(super) fn count(&mut self, now: Instant) {
        self.roll(now);
        self.done += 1;
    }

    /// As many as were done in the last whole window.
    pub(super) fn files(&mut self, now: Instant) -> usize {
        self.roll(now);
        self.done_before
    }

    fn roll(&mut self, now: Instant) {
        let passed = now - self.since;
        if passed >= WINDOW {
            self.done_before = if passed < 2 * WINDOW { self.done } else { 0 };
            self.done = 0;
            self.since = now;
        }
    }
}

/// Whether a claim is worth its while: there is room for half of what would be claimed ahead, or nothing else to do.
pub(super) fn is_worth_a_claim(room: usize, ahead: usize, is_idle: bool) -> bool {
    room > 0 && (room * 2 >= ahead || is_idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_claimed_ahead_as_were_done_lately() {
        let start = Instant::now();
        let mut ahead = Ahead::new(start);
        for _ in 0..30 {
            ahead.count(start);
        }
        assert_eq!(ahead.files(start), 0, "nothing is known yet");
        assert_eq!(ahead.files(start + WINDOW), 30);
        ahead.count(start + WINDOW);
        assert_eq!(ahead.files(start + 2 * WINDOW), 1);
        assert_eq!(ahead.files(start + 4 * WINDOW), 0, "a large file is on");
    }

    #[test]
    fn claims_wait_until_they_bring_several() {
        assert!(!is_worth_a_claim(0, 0, true));
        assert!(is_worth_a_claim(1, 0, false));
        assert!(!is_worth_a_claim(7, 16, false));
        assert!(is_worth_a_claim(8, 16, false));
        assert!(is_worth_a_claim(1, 16, true), "nobody would wake it");
    }
}
