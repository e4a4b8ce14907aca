//! A batch and its refusals: how we ask, how much at once, or a text at fault.
//!
//! What is refused is halved until the text at fault is alone, or until it shows how much the provider takes. Before the
//! provider has accepted anything, a refusal may be for how we ask: then one word finds out what it accepts.

use std::{iter, sync::atomic::Ordering};

use sha2::{Digest, Sha256};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Desk, Reply, halving::Halving, within_rate};
use crate::{
    embed::{
        EmbedError,
        batcher::{Input, Limits},
        openai::Dialect,
    },
    embedding::{EmbeddingError, interest::Interest, pump::Wanted},
};

/// A text that every provider accepts: tells a refused text from a refused request.
pub(crate) const PROBE: &str = "probe";

/// What a refusal is about, by what the provider says to a word that can't be at fault.
enum Sounded {
    /// What was sent: how we ask is accepted.
    Well,
    /// How we asked, which has changed since.
    AskAgain,
}

impl Desk {
    /// One result for each text. `turn` is given back when the first request may leave.
    pub(in crate::embedding) async fn embed(
        &self,
        batch: &[Wanted],
        turn: OwnedSemaphorePermit,
    ) -> Vec<Result<Vec<f32>, EmbeddingError>> {
        let mut turn = Some(turn);
        if let Err(error) = self.try_length(&batch[0]).await {
            return vec![Err(error); batch.len()];
        }
        let mut results = Vec::with_capacity(batch.len());
        let mut halving = Halving::default();
        // The next part to send is on top, so that results come in order.
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let (gone, part) = part.split_at(count(part, |wanted| !wanted.interest.is_left()));
            results.extend(gone.iter().map(|_| Err(EmbeddingError::Stopped)));
            if part.is_empty() {
                continue;
            }
            let wanted = count(part, |wanted| wanted.interest.is_left()).max(1);
            // Others may have learned meanwhile how much is too much.
            let (part, rest) = part.split_at(fitting(&part[..wanted], self.size()));
            if !rest.is_empty() {
                parts.push(rest);
            }
            let (dialect, began) = (*self.lock_dialect(), Instant::now());
            let error = match self.persist(part, dialect, &mut turn).await {
                Ok(Reply::Unwanted) => {
                    parts.push(part);
                    continue;
                }
                Ok(Reply::Vectors(vectors)) => {
                    results.extend(vectors.into_iter().map(Ok));
                    if let Some(texts) = halving.passed(part.len()) {
                        self.learn_size(texts);
                    }
                    continue;
                }
                Err(error) => error,
            };
            let sounded = if is_for_the_text(&error) {
                // What passed before this was sent does not show that a text alone is at fault now.
                let since = (part.len() == 1).then_some(began);
                self.sound_out(&part[0], dialect, since).await
            } else {
                Err(error.clone())
            };
            match (sounded, part) {
                (Ok(Sounded::AskAgain), _) => parts.push(part),
                (Ok(Sounded::Well), [_]) => {
                    halving.blamed();
                    results.push(Err(error));
                }
                (Ok(Sounded::Well), _) => {
                    halving.refused();
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                // Not the texts' fault: the rest would fare no better now.
                (Err(error), _) => {
                    results.resize_with(batch.len(), || Err(error.clone()));
                    break;
                }
            }
        }
        results
    }

    /// How large requests may be, as far as is known.
    pub(in crate::embedding) fn size(&self) -> Limits {
        within_rate(*self.lock_size(), self.budget.tokens_per_minute())
    }

    /// Remembers for the life of the process that the provider takes no more texts than these at once. Whether their
    /// number or their tokens were too much cannot be told: where it was the tokens, shorter texts go in smaller requests
    /// than they need to.
    fn learn_size(&self, inputs: usize) {
        let mut size = self.lock_size();
        if inputs < size.inputs {
            size.inputs = inputs;
            tracing::warn!(
                inputs,
                "the embedding provider takes no larger requests; set EMBEDDING_BATCH_INPUTS or EMBEDDING_BATCH_TOKENS to what it takes"
            );
        }
    }

    /// Sends a word first where the last vectors had another length: whole requests of such vectors cost money.
    async fn try_length(&self, wanted: &Wanted) -> Result<(), EmbeddingError> {
        if self.gives_other_lengths.load(Ordering::Relaxed) {
            // How it is asked may not be known either: the length that it gave came before that was found out.
            let asked = *self.lock_dialect();
            self.find_dialect(wanted, asked).await?;
        }
        Ok(())
    }

    /// Finds out, by a word that can't be at fault, how the provider can be asked, unless it has accepted something so
    /// far, or since the given moment.
    async fn sound_out(
        &self,
        wanted: &Wanted,
        asked: Dialect,
        since: Option<Instant>,
    ) -> Result<Sounded, EmbeddingError> {
        let _only_one = self.sounding.lock().await;
        if let Some(error) = self.closed() {
            return Err(error);
        }
        if *self.lock_dialect() != asked {
            return Ok(Sounded::AskAgain);
        }
        let answered_at = *self.lock_answered_at();
        if answered_at.is_some_and(|at| since.is_none_or(|since| at >= since)) {
            return Ok(Sounded::Well);
        }
        let found = self.find_dialect(wanted, asked).await?;
        Ok(if found == asked {
            Sounded::Well
        } else {
            Sounded::AskAgain
        })
    }

    /// Finds a dialect that gets a vector, and remembers it.
    async fn find_dialect(
        &self,
        wanted: &Wanted,
        asked: Dialect,
    ) -> Result<Dialect, EmbeddingError> {
        let found = self
            .try_dialects(wanted, asked)
            .await
            .inspect_err(|error| self.note(error))?;
        if found != asked {
            *self.lock_dialect() = found;
            tracing::info!("the embedding provider accepts {found}");
        }
        Ok(found)
    }

    /// The first dialect that gets a vector.
    async fn try_dialects(
        &self,
        wanted: &Wanted,
        asked: Dialect,
    ) -> Result<Dialect, EmbeddingError> {
        let others = Dialect::ALL.into_iter().filter(|other| *other != asked);
        let mut refused = 0;
        for dialect in iter::once(asked).chain(others) {
            match self.persist(&[probe(wanted)], dialect, &mut None).await {
                Ok(_) => return Ok(dialect),
                Err(EmbeddingError::Provider(EmbedError::Rejected { status })) => refused = status,
                Err(error) => return Err(error),
            }
        }
        Err(EmbedError::Misconfigured { status: refused }.into())
    }
}

/// The word, at the cost of who wanted this.
fn probe(wanted: &Wanted) -> Wanted {
    Wanted {
        input: Input {
            user: wanted.input.user,
            sha256: Sha256::digest(PROBE).into(),
            text: PROBE.into(),
            tokens: 1,
        },
        file: wanted.file,
        interest: Interest::default(),
        row: None,
    }
}

/// How many of the first are so.
fn count(part: &[Wanted], is_so: impl Fn(&Wanted) -> bool) -> usize {
    part.iter().take_while(|wanted| is_so(wanted)).count()
}

/// How many of these texts fit into a request; at least the first.
pub(in crate::embedding) fn fitting(part: &[Wanted], size: Limits) -> usize {
    let mut tokens = 0_u32;
    let fits = |wanted: &&Wanted| {
        tokens = tokens.saturating_add(wanted.input.tokens);
        tokens <= size.tokens
    };
    let count = part.iter().take(size.inputs).take_while(fits).count();
    count.max(1).min(part.len())
}

fn is_for_the_text(error: &EmbeddingError) -> bool {
    matches!(error, EmbeddingError::Provider(EmbedError::Rejected { .. }))
}
