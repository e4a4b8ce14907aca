//! Rate limits as strict as the real API's are known to be: a token bucket of 20 s, a request bucket of 1 s, both empty
//! at the start.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

const TOKEN_SECONDS: f64 = 20.0;
const REQUEST_SECONDS: f64 = 1.0;

/// The largest input must always fit.
const MIN_TOKEN_CAPACITY: f64 = 8_192.0;

/// Two buckets.
#[derive(Debug)]
pub(super) struct Meter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

/// Why and until when a request is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throttled {
    pub(super) quantity: &'static str,
    pub(super) after: Duration,
}

#[derive(Debug)]
struct Bucket {
    per_minute: u32,
    capacity: f64,
    level: f64,
    filled_at: Instant,
}

impl Bucket {
    fn new(per_minute: u32, seconds: f64, at_least: f64) -> Option<Self> {
        (per_minute > 0).then(|| Self {
            per_minute,
            capacity: (f64::from(per_minute) / 60.0 * seconds).max(at_least),
            level: 0.0,
            filled_at: Instant::now(),
        })
    }

    fn per_second(&self) -> f64 {
        f64::from(self.per_minute) / 60.0
    }

    /// How long until it holds so much; zero if it does now.
    fn fill(&mut self, now: Instant, wanted: f64) -> Duration {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.level = (self.level + since * self.per_second()).min(self.capacity);
        self.filled_at = now;
        Duration::try_from_secs_f64((wanted - self.level) / self.per_second()).unwrap_or_default()
    }
}

impl Meter {
    /// Per minute; 0 means no limit.
    pub(super) fn new(requests: u32, tokens: u32) -> Self {
        Self {
            requests: Bucket::new(requests, REQUEST_SECONDS, 1.0),
            tokens: Bucket::new(tokens, TOKEN_SECONDS, MIN_TOKEN_CAPACITY),
        }
    }

    /// Takes one request of so many tokens, or nothing.
    pub(super) fn take(&mut self, now: Instant, tokens: usize) -> Result<(), Throttled> {
        let tokens = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX));
        let wanted = [
            ("requests", &mut self.requests, 1.0),
            ("tokens", &mut self.tokens, tokens),
        ];
        let mut buckets = Vec::with_capacity(2);
        for (quantity, bucket, units) in wanted {
            let Some(bucket) = bucket else { continue };
            let after = bucket.fill(now, units);
            if !after.is_zero() {
                return Err(Throttled { quantity, after });
            }
            buckets.push((bucket, units));
        }
        for (bucket, units) in buckets {
            bucket.level -= units;
        }
        Ok(())
    }

    /// The headers by which the real API tells what is left.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (quantity, bucket) in [("requests", &self.requests), ("tokens", &self.tokens)] {
            let Some(bucket) = bucket else { continue };
            let reset = (bucket.capacity - bucket.level) / bucket.per_second();
            let told = [
                ("limit", bucket.per_minute.to_string()),
                ("remaining", format!("{:.0}", bucket.level.floor())),
                ("reset", format!("{:.0}ms", (reset * 1e3).ceil())),
            ];
            for (what, value) in told {
                let name = format!("x-ratelimit-{what}-{quantity}");
                if let (Ok(name), Ok(value)) = (
                    axum::http::HeaderName::try_from(name),
                    HeaderValue::try_from(value),
                ) {
                    headers.insert(name, value);
                }
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_starts_empty_and_never_holds_more_than_its_capacity() {
        let start = Instant::now();
        let mut meter = Meter::new(60, 60_000);
        assert_eq!(
            meter.take(start, 10).map_err(|t| t.quantity),
            Err("requests")
        );
        let second = start + Duration::from_secs(1);
        let throttled = meter
            .take(second, 2_000)
            .expect_err("too few tokens so far");
        assert_eq!(
            throttled,
            Throttled {
                quantity: "tokens",
                after: Duration::from_secs(1)
            }
        );
        assert_eq!(meter.take(second, 1_000), Ok(()));
        let hour = start + Duration::from_hours(1);
        assert_eq!(meter.take(hour, 20_000), Ok(()));
        assert_eq!(meter.take(hour, 1).map_err(|t| t.quantity), Err("requests"));
        assert_eq!(meter.headers()["x-ratelimit-remaining-tokens"], "0");
    }
}
