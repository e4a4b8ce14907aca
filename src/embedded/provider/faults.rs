//! What the stand-in is told to do wrong.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

/// Something that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fault {
    /// 429, with these headers.
    Throttle {
        /// Seconds or an HTTP date.
        #[serde(default)]
        retry_after: Option<String>,
        /// Milliseconds.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// 429 `insufficient_quota`.
    QuotaSpent,
    /// This status.
    Status {
        /// 4xx or 5xx.
        status: u16,
    },
    /// No answer, for ever; not billed.
    Hang,
    /// Billed, then the connection is closed without an answer.
    HangUp,
    /// Billed, then the answer breaks off.
    CutBody,
    /// One vector too few.
    WrongCount,
    /// Right vectors and indexes in another order, which is allowed.
    ShuffledIndexes,
    /// The same index for all.
    RepeatedIndex,
    /// NaN in each vector.
    NotFinite,
    /// Vectors of 3 numbers.
    ShortVectors,
    /// An answer without its bill, which is allowed.
    NoUsage,
    /// An answer without its vectors.
    NoData,
}

impl Fault {
    /// Whether whoever asked gets vectors all the same.
    pub(super) fn gives_vectors(&self) -> bool {
        matches!(self, Self::ShuffledIndexes | Self::NoUsage)
    }
}

/// Orders over HTTP: `POST /control`. What is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Forget the faults to come.
    pub clear: bool,
    /// Spoil the next requests.
    pub next: Option<Next>,
    /// Answer every request so much later.
    pub delay_ms: Option<u64>,
    /// Refuse inputs that contain this; an empty string refuses none.
    pub refuse_inputs_with: Option<String>,
    /// Change the rate limits.
    pub limits: Option<NewLimits>,
}

/// A fault and how many requests it spoils.
#[derive(Clone, Debug, Deserialize)]
pub struct Next {
    /// Requests.
    pub count: usize,
    /// What goes wrong.
    pub fault: Fault,
}

/// Rate limits; 0 means none.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct NewLimits {
    /// Requests per minute.
    pub requests_per_minute: u32,
    /// Tokens per minute.
    pub tokens_per_minute: u32,
}

/// Tells a stand-in to misbehave; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Fault>,
    delay: Duration,
    refuse_inputs_with: String,
    fail_inputs_with: String,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            plan: Arc::default(),
            held: watch::Sender::new(false),
        }
    }
}

impl Faults {
    /// Spoils the next requests, after those already planned.
    pub fn next_requests(&self, count: usize, fault: &Fault) {
        self.plan().next.extend(vec![fault.clone(); count]);
    }

    /// Answers every request so much later.
    pub fn delay(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// Refuses inputs that contain this; an empty string refuses none.
    pub fn refuse_inputs_with(&self, marker: &str) {
        marker.clone_into(&mut self.plan().refuse_inputs_with);
    }

    /// Fails at every input that contains this, as servers do that trip over a text; an empty string fails at none.
    pub fn fail_inputs_with(&self, marker: &str) {
        marker.clone_into(&mut self.plan().fail_inputs_with);
    }

    /// Forgets the faults to come.
    pub fn clear(&self) {
        self.plan().next.clear();
    }

    /// Keeps requests that arrive from now on waiting.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets them go on.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    pub(super) fn obey(&self, orders: Orders) {
        if orders.clear {
            self.clear();
        }
        if let Some(next) = orders.next {
            self.next_requests(next.count, &next.fault);
        }
        if let Some(millis) = orders.delay_ms {
            self.delay(Duration::from_millis(millis));
        }
        if let Some(marker) = orders.refuse_inputs_with {
            self.refuse_inputs_with(&marker);
        }
    }

    /// What goes wrong with the request that has just come.
    pub(super) fn next(&self) -> Option<Fault> {
        self.plan().next.pop_front()
    }

    /// Waits as long as ordered.
    pub(super) async fn wait(&self) {
        let delay = self.plan().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        // Fails only if every handle is gone, and this is one.
        drop(self.held.subscribe().wait_for(|held| !held).await);
    }

    pub(super) fn refuses(&self, text: &str) -> bool {
        holds(text, &self.plan().refuse_inputs_with)
    }

    pub(super) fn fails(&self, text: &str) -> bool {
        holds(text, &self.plan().fail_inputs_with)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(text: &str, marker: &str) -> bool {
    !marker.is_empty() && text.contains(marker)
}
