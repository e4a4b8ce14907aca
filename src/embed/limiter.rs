//! What this process may send, of what it has reserved of the provider's limits.
//!
//! Pure: the caller says what time it is, and asks the shared budget when a [`Purse`] runs short. A part of a budget is
//! earned evenly over a span of time, so that a hundred small requests cost one question. What is not spent soon is
//! lost, since handing it back is what causes 429s.

use std::time::Duration;

use tokio::time::Instant;

/// How much time's worth of requests is reserved at once, by what was sent lately: a few questions a second.
const AHEAD: Duration = Duration::from_millis(300);

/// What is left of a part is lost so long after it was earned: its time has been given to others.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// The provider's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute; 0 means that no limit is known.
    pub requests_per_minute: u32,
    /// Tokens per minute; 0 means that no limit is known.
    pub tokens_per_minute: u32,
}

/// A limit by an answer's `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Units per minute, above 0.
    pub limit: u32,
    /// Units left in the provider's bucket, and how long it takes to fill.
    pub left: Option<(u32, Duration)>,
}

/// The limits by an answer's headers; none where they do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Requests.
    pub requests: Option<Announced>,
    /// Tokens.
    pub tokens: Option<Announced>,
}

impl Announced {
    /// A bucket that holds so much time's worth, or half of what it can hold, is safe from what others take meanwhile.
    const RESERVE_SECONDS: f64 = 10.0;

    /// Which share of a safe reserve is left in the provider's bucket, 0 to 1; 1 where nobody knows.
    #[must_use]
    pub fn stock(&self) -> f64 {
        let Some((left, full_in)) = self.left else {
            return 1.0;
        };
        let per_second = f64::from(self.limit) / 60.0;
        let left = f64::from(left);
        let holds = left + full_in.as_secs_f64() * per_second;
        let reserve = (Self::RESERVE_SECONDS * per_second).min(holds / 2.0);
        // A bucket of one or two units is never full for long.
        if reserve < 1.0 {
            1.0
        } else {
            (left / reserve).min(1.0)
        }
    }
}

/// When units are earned: evenly between two instants.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first.
    pub from: Instant,
    /// The last; not before the first.
    pub until: Instant,
}

/// One quantity of a [`Purse`].
#[derive(Debug)]
struct Lane {
    units: u32,
    span: Span,
    spent: u32,
    /// What is left of the part before, and when it was earned.
    rest: (u32, Instant),
    /// Spent since the last question.
    lately: u32,
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self {
            units: 0,
            span: Span {
                from: now,
                until: now,
            },
            spent: 0,
            rest: (0, now),
            lately: 0,
        }
    }

    /// Loses what has not been spent for too long.
    fn expire(&mut self, now: Instant) {
        let is_old = |earned_at: Instant| now.saturating_duration_since(earned_at) >= KEPT_FOR;
        if is_old(self.rest.1) {
            self.rest.0 = 0;
        }
        if is_old(self.span.until) {
            self.spent = self.units;
        }
    }

    fn left(&self) -> u32 {
        self.rest.0 + self.units - self.spent
    }

    /// How many units to ask for: those that are missing, or as many as were spent lately in some time.
    fn wants(&self, needed: u32, asked_for: Duration) -> u32 {
        let missing = needed.saturating_sub(self.left());
        let rate = f64::from(self.lately) / asked_for.as_secs_f64().max(1e-3);
        // Twice the last part at most: a burst of two makes no flood.
        let ahead = (rate * AHEAD.as_secs_f64()).min(2.0 * f64::from(self.units.max(1)));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative and at most twice a u32, which saturates"
        )]
        missing.max(ahead as u32)
    }

    fn fill(&mut self, units: u32, span: Span) {
        let rest = (self.left(), self.span.until);
        *self = Self {
            units,
            span,
            spent: 0,
            rest,
            lately: 0,
        };
    }

    /// When so many units are earned.
    fn spend(&mut self, units: u32) -> Instant {
        self.lately += units;
        let of_rest = units.min(self.rest.0);
        self.rest.0 -= of_rest;
        self.spent = self.units.min(self.spent + units - of_rest);
        if self.spent == 0 {
            return self.rest.1;
        }
        let share = f64::from(self.spent) / f64::from(self.units.max(1));
        self.span.from + (self.span.until - self.span.from).mul_f64(share)
    }
}

/// What is reserved and not yet spent.
#[derive(Debug)]
pub struct Purse {
    requests: Lane,
    tokens: Lane,
    asked_at: Instant,
}

impl Purse {
    /// An empty one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            requests: Lane::new(now),
            tokens: Lane::new(now),
            asked_at: now,
        }
    }

    /// Whether a request of so many tokens can be paid, by what is not too old.
    #[must_use]
    pub fn holds(&mut self, now: Instant, tokens: u32) -> bool {
        self.requests.expire(now);
        self.tokens.expire(now);
        self.requests.left() >= 1 && self.tokens.left() >= tokens
    }

    /// How many requests and tokens to ask for, before one of so many tokens.
    #[must_use]
    pub fn wants(&self, now: Instant, tokens: u32) -> (u32, u32) {
        let asked_for = now.saturating_duration_since(self.asked_at);
        (
            self.requests.wants(1, asked_for),
            self.tokens.wants(tokens, asked_for),
        )
    }

    /// Adds what was granted.
    pub fn fill(&mut self, now: Instant, requests: (u32, Span), tokens: (u32, Span)) {
        self.requests.fill(requests.0, requests.1);
        self.tokens.fill(tokens.0, tokens.1);
        self.asked_at = now;
    }

    /// Pays a request of so many tokens, which it must hold; when it may leave.
    pub fn spend(&mut self, tokens: u32) -> Instant {
        self.requests.spend(1).max(self.tokens.spend(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(now: Instant, from: f64, until: f64) -> Span {
        let at = |seconds| now + Duration::from_secs_f64(seconds);
        Span {
            from: at(from),
            until: at(until),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_spent_as_it_is_earned_and_its_rest_goes_before_the_next() {
        let now = Instant::now();
        let mut purse = Purse::new(now);
        assert!(!purse.holds(now, 1));
        assert_eq!(purse.wants(now, 1_000), (1, 1_000));
        purse.fill(now, (4, span(now, 0.0, 0.1)), (4_000, span(now, 0.0, 4.0)));
        let left_at = |at: Instant| (at - now).as_millis();
        assert_eq!(left_at(purse.spend(1_000)), 1_000);
        assert_eq!(left_at(purse.spend(2_500)), 3_500);
        assert!(!purse.holds(now, 1_000));
        let later = now + Duration::from_millis(600);
        assert_eq!(
            purse.wants(later, 1_000).1,
            1_750,
            "half of what was sent lately"
        );
        assert_eq!(purse.wants(later, 3_000).1, 2_500, "what is missing");
        purse.fill(now, (0, span(now, 0.0, 0.0)), (500, span(now, 6.0, 8.0)));
        assert_eq!(
            left_at(purse.spend(500)),
            4_000,
            "what was left was earned by then"
        );
        assert_eq!(left_at(purse.spend(250)), 7_000);
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_requests_take_few_questions() {
        let start = Instant::now();
        let mut purse = Purse::new(start);
        let mut questions = 0;
        // Fifty a second for ten seconds.
        for request in 0..500 {
            let now = start + Duration::from_millis(20) * request;
            if !purse.holds(now, 300) {
                let (requests, tokens) = purse.wants(now, 300);
                purse.fill(
                    now,
                    (requests, span(now, 0.0, 0.0)),
                    (tokens, span(now, 0.0, 0.0)),
                );
                questions += 1;
            }
            purse.spend(300);
        }
        assert!(questions <= 45, "{questions}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_spent_soon_is_lost() {
        let now = Instant::now();
        let mut purse = Purse::new(now);
        purse.fill(now, (9, span(now, 0.0, 1.0)), (900, span(now, 0.0, 1.0)));
        assert!(purse.holds(now + Duration::from_secs(2), 900));
        assert!(!purse.holds(now + Duration::from_secs(4), 1));
    }

    #[test]
    fn a_bucket_is_safe_with_ten_seconds_or_half_of_what_it_holds() {
        let stock = |limit, left, full_in| {
            let left = Some((left, Duration::from_secs(full_in)));
            let percent = Announced { limit, left }.stock() * 100.0;
            format!("{percent:.0} %")
        };
        // A bucket of a minute.
        assert_eq!(stock(60_000, 60_000, 0), "100 %");
        assert_eq!(stock(60_000, 10_000, 50), "100 %");
        assert_eq!(stock(60_000, 5_000, 55), "50 %");
        // One of four seconds.
        assert_eq!(stock(60_000, 2_000, 2), "100 %");
        assert_eq!(stock(60_000, 1_000, 3), "50 %");
        assert_eq!(stock(60_000, 0, 4), "0 %");
        // One of a single request, as small accounts have it.
        assert_eq!(stock(60, 0, 1), "100 %");
        let untold = Announced {
            limit: 60,
            left: None,
        };
        assert!(untold.stock() >= 1.0);
    }
}
