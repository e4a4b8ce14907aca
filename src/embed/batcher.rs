//! Packs pieces of text of many files into requests, fair between tenants. Pure: no clock, no I/O.
//!
//! Deficit round robin over tenants by tokens (Shreedhar and Varghese, 1995): each tenant in turn adds a quantum of
//! tokens and takes what that pays for, so that a 500-page document does not hold up another tenant's note. Within a
//! tenant, and so within a file, first come is first served.

use std::collections::{HashMap, VecDeque};

use crate::document::{Text, UserId};

/// Tokens that a tenant may take in its turn: a few ordinary chunks.
const QUANTUM: u32 = 2_048;

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inputs in one request.
    pub inputs: usize,
    /// Tokens in one request.
    pub tokens: u32,
}

impl Default for Limits {
    /// The API's 2,048 inputs, but far fewer than its 300,000 tokens: that much is repeated if we are killed.
    fn default() -> Self {
        Self {
            inputs: 2_048,
            tokens: 32_000,
        }
    }
}

/// A text that waits for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The tenant.
    pub user: UserId,
    /// SHA-256 of the text.
    pub sha256: [u8; 32],
    /// What is embedded.
    pub text: Text,
    /// Its tokens.
    pub tokens: u32,
}

/// Texts that wait, by tenant.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    lines: HashMap<UserId, Line>,
    /// Tenants whose line is not empty, next one first.
    turns: VecDeque<UserId>,
    inputs: usize,
    tokens: u64,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Input>,
    deficit: u32,
    /// Its turn was cut short by a full request; it goes on without a new quantum.
    interrupted: bool,
}

impl Batcher {
    /// Packs requests of at most this size.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: HashMap::new(),
            turns: VecDeque::new(),
            inputs: 0,
            tokens: 0,
        }
    }

    /// Packs requests of at most this size from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Puts a text at the end of its tenant's line.
    pub fn push(&mut self, input: Input) {
        self.inputs += 1;
        self.tokens += u64::from(input.tokens);
        let line = self.lines.entry(input.user).or_default();
        if line.waiting.is_empty() {
            self.turns.push_back(input.user);
        }
        line.waiting.push_back(input);
    }

    /// How many texts wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs == 0
    }

    /// Whether what waits fills a request.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inputs >= self.limits.inputs || self.tokens >= u64::from(self.limits.tokens)
    }

    /// Drops the waiting texts that nobody wants any more.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&Input) -> bool) {
        for line in self.lines.values_mut() {
            line.waiting.retain(&mut is_wanted);
        }
        self.lines.retain(|_, line| !line.waiting.is_empty());
        self.turns.retain(|user| self.lines.contains_key(user));
        let waiting = || self.lines.values().flat_map(|line| &line.waiting);
        self.inputs = waiting().count();
        self.tokens = waiting().map(|input| u64::from(input.tokens)).sum();
    }

    /// Takes the next request's texts; empty if nothing waits.
    ///
    /// A text larger than a whole request goes alone.
    pub fn pack(&mut self) -> Vec<Input> {
        let mut batch = Vec::new();
        let mut room = self.limits.tokens;
        while let Some(user) = self.turns.front().copied() {
            let Some(line) = self.lines.get_mut(&user) else {
                break;
            };
            if !std::mem::take(&mut line.interrupted) {
                line.deficit += QUANTUM;
            }
            let before = batch.len();
            let full = line.take_turn(&mut batch, &mut room, self.limits.inputs);
            let taken = &batch[before..];
            self.inputs -= taken.len();
            self.tokens -= taken
                .iter()
                .map(|input| u64::from(input.tokens))
                .sum::<u64>();
            if full {
                line.interrupted = true;
                break;
            }
            self.turns.pop_front();
            if line.waiting.is_empty() {
                self.lines.remove(&user);
            } else {
                self.turns.push_back(user);
            }
        }
        batch
    }
}

impl Line {
    /// Moves what the deficit pays for into the batch; true when the batch has no room for the next text.
    fn take_turn(&mut self, batch: &mut Vec<Input>, room: &mut u32, max_inputs: usize) -> bool {
        while let Some(next) = self.waiting.front() {
            let fits = batch.is_empty() || (next.tokens <= *room && batch.len() < max_inputs);
            if !fits {
                return true;
            }
            if next.tokens > self.deficit {
                return false;
            }
            self.deficit -= next.tokens;
            *room = room.saturating_sub(next.tokens);
            batch.extend(self.waiting.pop_front());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn input(user: u128, name: u8, tokens: u32) -> Input {
        Input {
            user: tenant(user),
            sha256: [name; 32],
            text: format!("{user}/{name}").into(),
            tokens,
        }
    }

    #[test]
    fn a_note_is_in_the_first_request_although_a_long_document_came_before() {
        let mut batcher = Batcher::new(Limits::default());
        for page in 0..200 {
            batcher.push(input(1, page, 500));
        }
        batcher.push(input(2, 0, 100));
        let first = batcher.pack();
        assert!(first.iter().any(|input| input.user == tenant(2)));
        assert!(first.iter().map(|input| input.tokens).sum::<u32>() <= 32_000);
    }

    #[test]
    fn tenants_share_by_tokens_and_not_by_pieces() {
        let mut batcher = Batcher::new(Limits {
            inputs: 2_048,
            tokens: 16_000,
        });
        for piece in 0..250 {
            batcher.push(input(1, piece, 1_000));
            batcher.push(input(2, piece, 100));
        }
        let mut taken = HashMap::<UserId, u32>::new();
        for _ in 0..3 {
            for input in batcher.pack() {
                *taken.entry(input.user).or_default() += input.tokens;
            }
        }
        let (large, small) = (taken[&tenant(1)], taken[&tenant(2)]);
        assert!(large.abs_diff(small) <= 2 * QUANTUM, "{large} {small}");
    }

    #[test]
    fn a_text_nobody_wants_is_dropped_and_not_counted() {
        let mut batcher = Batcher::new(Limits {
            inputs: 2,
            tokens: 10,
        });
        batcher.push(input(1, 1, 5));
        batcher.push(input(2, 2, 5));
        assert!(batcher.is_full());
        batcher.retain(|input| input.user == tenant(2));
        assert!(!batcher.is_full());
        assert_eq!(batcher.pack(), [input(2, 2, 5)]);
        assert!(batcher.is_empty());
    }

    proptest! {
        #[test]
        fn everything_is_packed_once_in_order_and_within_the_limits(
            pieces in prop::collection::vec((1_u128..5, 1_u32..9_000), 0..300),
            max_inputs in 1_usize..40,
            max_tokens in 1_000_u32..40_000,
        ) {
            let mut batcher = Batcher::new(Limits { inputs: max_inputs, tokens: max_tokens });
            let mut sent = HashMap::<UserId, Vec<Input>>::new();
            for (at, (user, tokens)) in pieces.iter().enumerate() {
                let piece = input(*user, u8::try_from(at % 256).expect("small"), *tokens);
                sent.entry(piece.user).or_default().push(piece.clone());
                batcher.push(piece);
            }
            let mut packed = HashMap::<UserId, Vec<Input>>::new();
            while !batcher.is_empty() {
                let batch = batcher.pack();
                let tokens: u32 = batch.iter().map(|input| input.tokens).sum();
                prop_assert!(!batch.is_empty());
                prop_assert!(batch.len() <= max_inputs);
                prop_assert!(tokens <= max_tokens || batch.len() == 1);
                for piece in batch {
                    packed.entry(piece.user).or_default().push(piece);
                }
            }
            prop_assert_eq!(packed, sent);
            prop_assert!(batcher.pack().is_empty());
        }
    }
}
