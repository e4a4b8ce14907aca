//! Keeps requests and tokens within the provider's limits, before they are sent.
//!
//! [`Budget`] is the arithmetic (GCRA: a theoretical arrival time for requests and one for tokens), [`Limiter`] the
//! waiting. A reservation is a delay, never an instant of somebody else's clock; one that is not used is lost, since
//! handing it back is what causes 429s.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::openai::Announced;

/// Idle time that may be made up for at once. Providers enforce limits in pieces much smaller than their minute, so a
/// minute's worth in one second is refused: a fifth of a second of requests (their quantum is a second), two seconds of
/// tokens (about one full request at a million a minute).
const REQUEST_CREDIT: Duration = Duration::from_millis(200);
const TOKEN_CREDIT: Duration = Duration::from_secs(2);

/// A pause without a time in it.
const PAUSE: Duration = Duration::from_secs(1);

/// A pause is tested again after this, whatever the provider wished.
const MAX_PAUSE: Duration = Duration::from_mins(15);

/// Callers do not stand in line for a pause longer than this: their files had better wait in the queue.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The provider's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute; 0 means no limit.
    pub requests_per_minute: u32,
    /// Tokens per minute; 0 means no limit.
    pub tokens_per_minute: u32,
}

/// When the next request may leave. Pure: the caller says what time it is.
#[derive(Debug)]
pub struct Budget {
    configured: Limits,
    announced: Announced,
    requests: Lane,
    tokens: Lane,
    resume_at: Instant,
    pauses: u64,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// How long to wait before sending.
    pub delay: Duration,
    /// The pauses so far; a reservation made before a pause is void after it.
    pub pauses: u64,
}

/// One limited quantity.
#[derive(Debug)]
struct Lane {
    credit: Duration,
    /// When everything reserved so far will have been earned.
    earned_at: Instant,
}

impl Lane {
    fn reserve(&mut self, now: Instant, per_minute: u32, units: u32) -> Duration {
        if per_minute == 0 {
            return Duration::ZERO;
        }
        let cost = Duration::from_secs_f64(60.0 * f64::from(units) / f64::from(per_minute));
        let oldest = now.checked_sub(self.credit).unwrap_or(now);
        self.earned_at = self.earned_at.max(oldest) + cost;
        self.earned_at.saturating_duration_since(now)
    }
}

impl Budget {
    /// Starts with the credit of a short idle time.
    #[must_use]
    pub fn new(configured: Limits, now: Instant) -> Self {
        let lane = |credit| Lane {
            credit,
            earned_at: now.checked_sub(credit).unwrap_or(now),
        };
        Self {
            configured,
            announced: Announced::default(),
            requests: lane(REQUEST_CREDIT),
            tokens: lane(TOKEN_CREDIT),
            resume_at: now,
            pauses: 0,
        }
    }

    /// Takes one request of so many tokens from the budget.
    pub fn reserve(&mut self, now: Instant, tokens: u32) -> Reservation {
        let limits = self.limits();
        let start = now.max(self.resume_at);
        let for_request = self.requests.reserve(start, limits.requests_per_minute, 1);
        let for_tokens = self.tokens.reserve(start, limits.tokens_per_minute, tokens);
        Reservation {
            delay: (start - now) + for_request.max(for_tokens),
            pauses: self.pauses,
        }
    }

    /// Lets nothing leave for a while, and voids what was reserved: those callers queue again behind the pause.
    pub fn pause(&mut self, now: Instant, after: Duration) {
        self.resume_at = self.resume_at.max(now + after.min(MAX_PAUSE));
        for lane in [&mut self.requests, &mut self.tokens] {
            // Without credit at that moment, requests leave one by one after the pause and not all at once.
            lane.earned_at = lane.earned_at.max(self.resume_at);
        }
        self.pauses += 1;
    }

    /// What is left of a pause.
    #[must_use]
    pub fn pause_left(&self, now: Instant) -> Duration {
        self.resume_at.saturating_duration_since(now)
    }

    /// Headers may lower the configured rates and give back what they lowered, no more.
    pub fn hear(&mut self, announced: Announced) {
        self.announced.requests = announced.requests.or(self.announced.requests);
        self.announced.tokens = announced.tokens.or(self.announced.tokens);
    }

    /// The rates in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            requests_per_minute: lower(
                self.configured.requests_per_minute,
                self.announced.requests,
            ),
            tokens_per_minute: lower(self.configured.tokens_per_minute, self.announced.tokens),
        }
    }
}

fn lower(configured: u32, announced: Option<u32>) -> u32 {
    match announced {
        Some(announced) if announced > 0 && configured > 0 => configured.min(announced),
        Some(_) | None => configured,
    }
}

/// The budget of this process, and the waiting for it.
#[derive(Debug)]
pub struct Limiter {
    budget: Mutex<Budget>,
}

impl Limiter {
    /// Enforces these limits from now on.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            budget: Mutex::new(Budget::new(limits, Instant::now())),
        }
    }

    /// Waits until a request of so many tokens may leave.
    ///
    /// # Errors
    ///
    /// What is left of a pause that is too long to stand in line for.
    pub async fn reserve(&self, tokens: u32) -> Result<(), Duration> {
        loop {
            let pause = self.budget().pause_left(Instant::now());
            if pause > PATIENCE {
                return Err(pause);
            }
            let reservation = self.delay(tokens);
            sleep(reservation.delay).await;
            if self.budget().pauses == reservation.pauses {
                return Ok(());
            }
        }
    }

    /// A 429 or its like: pauses every caller.
    pub fn pause(&self, after: Option<Duration>) {
        self.budget().pause(Instant::now(), after.unwrap_or(PAUSE));
    }

    /// Notes the limits that an answer's headers told.
    pub fn hear(&self, announced: Announced) {
        self.budget().hear(announced);
    }

    /// Where delays come from.
    fn delay(&self, tokens: u32) -> Reservation {
        self.budget().reserve(Instant::now(), tokens)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        // No code panics while it holds the lock, and every state of a budget is a valid one.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;

    use super::*;

    const LIMITS: Limits = Limits {
        requests_per_minute: 3_000,
        tokens_per_minute: 1_000_000,
    };

    /// Reserves `count` requests at one instant; the delays.
    fn burst(budget: &mut Budget, now: Instant, count: usize, tokens: u32) -> Vec<Duration> {
        (0..count)
            .map(|_| budget.reserve(now, tokens).delay)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_at_their_rate_after_a_small_burst() {
        let now = Instant::now();
        let delays = burst(&mut Budget::new(LIMITS, now), now, 3_010, 1);
        assert_eq!(delays[9], Duration::ZERO);
        assert_eq!(delays[10], Duration::from_millis(20));
        assert_eq!(delays[3_009], Duration::from_mins(1));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_leave_at_their_rate_and_one_large_request_does_not_block_for_ever() {
        let now = Instant::now();
        let mut budget = Budget::new(LIMITS, now);
        assert_eq!(budget.reserve(now, 32_000).delay, Duration::ZERO);
        assert_eq!(
            budget.reserve(now, 32_000).delay,
            Duration::from_millis(1_840)
        );
        assert_eq!(
            budget.reserve(now, 300_000).delay,
            Duration::from_millis(19_840)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_made_up_for_only_a_little() {
        let now = Instant::now();
        let mut budget = Budget::new(LIMITS, now);
        let later = now + Duration::from_hours(1);
        let free = burst(&mut budget, later, 100, 1)
            .into_iter()
            .filter(Duration::is_zero)
            .count();
        assert_eq!(free, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn headers_lower_the_rate_and_never_raise_it_above_the_setting() {
        let now = Instant::now();
        let mut budget = Budget::new(LIMITS, now);
        budget.hear(Announced {
            requests: Some(60),
            tokens: Some(9_000_000),
        });
        assert_eq!(
            budget.limits(),
            Limits {
                requests_per_minute: 60,
                ..LIMITS
            }
        );
        budget.hear(Announced {
            requests: Some(5_000),
            tokens: None,
        });
        assert_eq!(budget.limits(), LIMITS);
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nothing_waits() {
        let limiter = Limiter::new(Limits {
            requests_per_minute: 0,
            tokens_per_minute: 0,
        });
        let start = Instant::now();
        for _ in 0..1_000 {
            limiter.reserve(300_000).await.expect("no pause");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_every_caller_and_they_leave_one_by_one_after_it() {
        let limiter = Arc::new(Limiter::new(Limits {
            requests_per_minute: 60,
            tokens_per_minute: 0,
        }));
        let start = Instant::now();
        let callers = (0..3).map(|_| async {
            limiter.reserve(1).await.expect("a short pause");
            start.elapsed().as_secs()
        });
        let pause = async { limiter.pause(Some(Duration::from_secs(30))) };
        let (left_at, ()) = futures_util::future::join(join_all(callers), pause).await;
        assert_eq!(left_at, [31, 32, 33]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_pause_does_not_end_a_longer_one() {
        let limiter = Limiter::new(Limits {
            requests_per_minute: 0,
            tokens_per_minute: 0,
        });
        let start = Instant::now();
        limiter.pause(Some(Duration::from_secs(20)));
        limiter.pause(None);
        limiter.reserve(1).await.expect("a short pause");
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_stands_in_line_for_an_hour() {
        let limiter = Limiter::new(LIMITS);
        limiter.pause(Some(Duration::from_hours(1)));
        assert_eq!(limiter.reserve(1).await, Err(MAX_PAUSE));
    }
}
