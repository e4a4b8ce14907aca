//! How many requests in flight a provider bears: as many as do not make its answers later.
//!
//! The gradient of Netflix's concurrency-limits (`GradientLimit`): the usual latency divided by the latest says whether
//! a queue is growing there. Requests differ in size by three orders of magnitude, so that each is compared with those
//! of its own size. Pure.

use std::time::Duration;

/// An answer that takes up to so many times the usual is no sign of a queue.
const TOLERANCE: f64 = 2.0;
/// How much of a new estimate counts, and of an answer that came sooner than usual.
const SMOOTHING: f64 = 0.2;
/// After so many answers all is measured anew, with few in flight: what is usual may have changed.
const MEASURES: u32 = 500;
/// What is in flight at the start.
const FIRST: f64 = 2.0;
/// Sizes by powers of two.
const SIZES: usize = u32::BITS as usize + 1;

/// The number of requests that may be in flight.
#[derive(Debug)]
pub struct Concurrency {
    most: f64,
    limit: f64,
    answers: u32,
    /// Seconds, by the size of requests; 0 where none has been answered.
    usual: [f64; SIZES],
}

impl Concurrency {
    /// Starts low, and never goes above `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = f64::from(u32::try_from(most).unwrap_or(u32::MAX)).max(1.0);
        Self {
            most,
            limit: FIRST.min(most),
            answers: 0,
            usual: [0.0; SIZES],
        }
    }

    /// What may be in flight now; at least one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and what was a u32"
    )]
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Notes how long a request of so many tokens took, which was one of `in_flight`.
    pub fn answered(&mut self, tokens: u32, latency: Duration, in_flight: usize) {
        self.answers += 1;
        if self.answers == MEASURES {
            self.answers = 0;
            self.usual = [0.0; SIZES];
            self.limit = FIRST.min(self.most);
        }
        let latency = latency.as_secs_f64().max(1e-6);
        let size = (u32::BITS - tokens.leading_zeros()) as usize;
        let usual = &mut self.usual[size];
        if *usual == 0.0 {
            *usual = latency;
        }
        let gradient = (TOLERANCE * *usual / latency).clamp(0.5, 1.0);
        *usual += (latency - *usual).min(0.0) * SMOOTHING;
        // Latency says nothing of a limit that is not reached.
        if gradient >= 1.0 && in_flight * 2 < self.limit() {
            return;
        }
        let next = self.limit * gradient + self.limit.sqrt();
        self.limit = (self.limit + (next - self.limit) * SMOOTHING).clamp(1.0, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider that works on `at_once` requests at a time, a second each; the limit at the end of a measurement.
    fn settled(at_once: f64, most: usize) -> usize {
        let mut concurrency = Concurrency::new(most);
        for _ in 1..4 * MEASURES {
            let in_flight = concurrency.limit();
            let queued = f64::from(u32::try_from(in_flight).unwrap_or(0)) / at_once;
            let latency = Duration::from_secs_f64(queued.max(1.0));
            concurrency.answered(1_000, latency, in_flight);
        }
        concurrency.limit()
    }

    #[test]
    fn it_starts_low_and_grows_while_answers_do_not_get_later() {
        assert_eq!(Concurrency::new(8).limit(), 2);
        assert_eq!(Concurrency::new(1).limit(), 1);
        assert_eq!(settled(100.0, 8), 8);
        assert_eq!(settled(100.0, 64), 64);
    }

    #[test]
    fn a_provider_that_answers_later_gets_fewer_at_once() {
        let mut concurrency = Concurrency::new(32);
        for _ in 0..200 {
            concurrency.answered(1_000, Duration::from_millis(100), concurrency.limit());
        }
        assert_eq!(concurrency.limit(), 32);
        for _ in 0..20 {
            concurrency.answered(1_000, Duration::from_secs(1), concurrency.limit());
        }
        assert!(concurrency.limit() < 16, "{}", concurrency.limit());
    }

    #[test]
    fn a_queue_stays_short() {
        let limit = settled(4.0, 64);
        assert!((4..=24).contains(&limit), "{limit}");
    }

    #[test]
    fn a_large_request_that_takes_longer_is_no_sign_of_a_queue() {
        let mut concurrency = Concurrency::new(8);
        for _ in 0..200 {
            concurrency.answered(100, Duration::from_millis(50), concurrency.limit());
            concurrency.answered(32_000, Duration::from_secs(2), concurrency.limit());
        }
        assert_eq!(concurrency.limit(), 8);
    }
}
