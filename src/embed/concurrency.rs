//! How many requests in flight a provider bears: as many as do not make its answers later.
//!
//! The gradient of Netflix's concurrency-limits (`GradientLimit`): the usual latency divided by the latest says whether
//! a queue is growing there. Requests differ in size by three orders of magnitude, so that each is compared with those
//! of its own size. Pure.

use tokio::time::Instant;

/// An answer that takes up to so many times the usual is no sign of a queue.
const TOLERANCE: f64 = 2.0;
/// How much of a new estimate counts, and of an answer that came sooner than usual.
const SMOOTHING: f64 = 0.2;
/// After so many answers all is measured anew, from one request in flight on: what is usual may have changed.
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
    /// Answers to what was sent before say how long the queue was, not how long an answer takes.
    measured_since: Option<Instant>,
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
            measured_since: None,
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

    /// Notes when a request of so many tokens was sent and answered, which was one of `in_flight`.
    pub fn answered(&mut self, tokens: u32, sent_at: Instant, at: Instant, in_flight: usize) {
        if self.measured_since.is_some_and(|since| sent_at < since) {
            return;
        }
        self.answers += 1;
        if self.answers == MEASURES {
            *self = Self {
                // The next one waits for nobody.
                limit: 1.0,
                answers: 0,
                measured_since: Some(at),
                usual: [0.0; SIZES],
                most: self.most,
            };
            return;
        }
        let latency = (at - sent_at).as_secs_f64().max(1e-6);
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

    /// Notes that a request was not answered in time: fewer had better be in flight.
    pub fn unanswered(&mut self) {
        self.limit = (self.limit / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use super::*;

    /// A provider that works on `at_once` requests at a time, a second each, as they come; the most in flight in the last
    /// tenth of so many answers.
    fn most_in_flight(at_once: usize, most: usize, answers: usize) -> usize {
        let mut concurrency = Concurrency::new(most);
        let start = Instant::now();
        // When each was sent and will be answered, and when the provider's places are free.
        let mut sent = VecDeque::new();
        let mut free = VecDeque::from(vec![start; at_once]);
        let (mut now, mut in_flight) = (start, 0);
        for answer in 0..answers {
            while sent.len() < concurrency.limit() {
                let place = free.pop_front().unwrap_or(now).max(now);
                let done = place + Duration::from_secs(1);
                free.push_back(done);
                sent.push_back((now, done));
            }
            if answer >= answers - answers / 10 {
                in_flight = in_flight.max(sent.len());
            }
            let Some((sent_at, done)) = sent.pop_front() else {
                continue;
            };
            now = done;
            concurrency.answered(1_000, sent_at, now, sent.len() + 1);
        }
        in_flight
    }

    fn answer(concurrency: &mut Concurrency, tokens: u32, latency: Duration) {
        let now = Instant::now();
        let in_flight = concurrency.limit();
        concurrency.answered(tokens, now, now + latency, in_flight);
    }

    #[test]
    fn it_starts_low_and_grows_while_answers_do_not_get_later() {
        assert_eq!(Concurrency::new(8).limit(), 2);
        assert_eq!(Concurrency::new(1).limit(), 1);
        assert_eq!(most_in_flight(100, 8, 400), 8);
        assert_eq!(most_in_flight(100, 64, 400), 64);
    }

    #[test]
    fn a_queue_stays_short_however_often_all_is_measured_anew() {
        for answers in [400, 900, 1_400, 4_400] {
            let one = most_in_flight(1, 8, answers);
            assert!(one <= 5, "{one} after {answers}");
            let four = most_in_flight(4, 64, answers);
            assert!((4..=24).contains(&four), "{four} after {answers}");
        }
    }

    #[test]
    fn a_provider_that_answers_later_or_not_at_all_gets_fewer_at_once() {
        let mut concurrency = Concurrency::new(32);
        for _ in 0..200 {
            answer(&mut concurrency, 1_000, Duration::from_millis(100));
        }
        assert_eq!(concurrency.limit(), 32);
        for _ in 0..20 {
            answer(&mut concurrency, 1_000, Duration::from_secs(1));
        }
        let later = concurrency.limit();
        assert!(later < 16, "{later}");
        concurrency.unanswered();
        assert_eq!(concurrency.limit(), later / 2);
        (0..9).for_each(|_| concurrency.unanswered());
        assert_eq!(concurrency.limit(), 1);
    }

    #[test]
    fn a_large_request_that_takes_longer_is_no_sign_of_a_queue() {
        let mut concurrency = Concurrency::new(8);
        for _ in 0..200 {
            answer(&mut concurrency, 100, Duration::from_millis(50));
            answer(&mut concurrency, 32_000, Duration::from_secs(2));
        }
        assert_eq!(concurrency.limit(), 8);
    }
}
