//! The books of embedding: what is known and allowed before a request, and what it cost after it.
//!
//! An answer that we hold is booked however long the database takes, since it is paid for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pgvector::Vector;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Backfill, EmbeddingError, Keep, Piece, Settings, Totals,
    pump::{Lookup, Recalled, Wanted},
    request::{MAX_BACKOFF, backoff},
};
use crate::{
    db::{
        Db, DbError,
        ledger::{self, Allowance, Known, Outgoing, Owner, Settlement, Share},
    },
    document::{FileId, Model, UserId},
    embed::{openai::Answer, price::cost_usd},
    failpoint::{self, Line},
};

/// Tries to book an answer that the database refuses; while it is merely unavailable there is no limit.
const MAX_BOOKINGS: usize = 5;

/// How old our view of the day's bill may be.
const SPEND_REREAD_AFTER: Duration = Duration::from_secs(3);

/// The ledger, and the limits that it is held against.
#[derive(Debug)]
pub(super) struct Books {
    db: Db,
    model: Model,
    price_per_mtok: f64,
    daily_limit_usd: Option<f64>,
    backfill: Option<Backfill>,
    retry_after: Duration,
    spend: tokio::sync::Mutex<Option<Spend>>,
    totals: Arc<Mutex<Totals>>,
}

/// The day's bill as of a moment, and what we have sent since.
#[derive(Clone, Copy, Debug)]
struct Spend {
    usd: f64,
    read_at: Instant,
    day_left: Duration,
}

impl Books {
    pub(super) fn new(settings: &Settings, db: Db, totals: Arc<Mutex<Totals>>) -> Self {
        Self {
            db,
            model: settings.provider.model.clone(),
            price_per_mtok: settings.price_per_mtok,
            daily_limit_usd: settings.daily_limit_usd,
            backfill: settings.backfill.clone(),
            retry_after: settings.retry_after,
            spend: tokio::sync::Mutex::new(None),
            totals,
        }
    }

    /// For each file the vectors that its user has already paid for; an error if the user's quota does not allow to buy
    /// the others.
    pub(super) async fn recall(
        &self,
        lookups: &[Lookup],
    ) -> Result<Vec<Result<Recalled, EmbeddingError>>, DbError> {
        let texts = |lookup: &Lookup| {
            let (user, held) = (lookup.user, lookup.keep == Keep::InMemory);
            let texts = lookup.pieces.iter();
            let texts = texts.map(move |piece| (user, piece.sha256, held));
            texts.collect::<Vec<_>>()
        };
        let texts: Vec<_> = lookups.iter().flat_map(texts).collect();
        let mut tx = self.db.begin().await?;
        let mut known = ledger::recall(&mut tx, &self.model, &texts).await?;
        failpoint::reach(Line::Recalled);
        let costs: Vec<u64> = lookups.iter().map(|lookup| lookup.costs(&known)).collect();
        let buyers = lookups.iter().zip(&costs).filter(|(_, cost)| **cost > 0);
        let buyers: BTreeSet<Uuid> = buyers.map(|(lookup, _)| lookup.user.0).collect();
        let allowances = if buyers.is_empty() {
            HashMap::new()
        } else {
            let buyers: Vec<Uuid> = buyers.into_iter().collect();
            ledger::allowances(&mut tx, &buyers).await?
        };
        let recall = |(lookup, cost): (&Lookup, u64)| {
            let left = allowances.get(&lookup.user).copied().unwrap_or_default();
            self.check_allowance(left, cost)?;
            Ok(lookup.take_from(&mut known))
        };
        Ok(lookups.iter().zip(costs).map(recall).collect())
    }

    fn check_allowance(&self, left: Allowance, tokens: u64) -> Result<(), EmbeddingError> {
        if tokens == 0 {
            return Ok(());
        }
        let need = i64::try_from(tokens).unwrap_or(i64::MAX);
        let cost = cost_usd(tokens, self.price_per_mtok);
        if left.tokens.is_none_or(|left| need <= left) && left.usd.is_none_or(|left| cost <= left) {
            Ok(())
        } else {
            Err(EmbeddingError::UserQuota { tokens })
        }
    }

    /// Counts the request's cost against the day's limit before it is sent.
    pub(super) async fn check_spend(&self, tokens: u32) -> Result<(), EmbeddingError> {
        let Some(limit) = self.daily_limit_usd else {
            return Ok(());
        };
        let mut known = self.spend.lock().await;
        let mut spend = match *known {
            Some(spend) if spend.read_at.elapsed() < SPEND_REREAD_AFTER => spend,
            Some(_) | None => self.read_spend().await?,
        };
        let cost = cost_usd(tokens.into(), self.price_per_mtok);
        let allowed = spend.usd + cost <= limit;
        if allowed {
            spend.usd += cost;
        }
        *known = Some(spend);
        if allowed {
            return Ok(());
        }
        let after = spend.day_left.saturating_sub(spend.read_at.elapsed());
        Err(EmbeddingError::SpendLimit { after })
    }

    async fn read_spend(&self) -> Result<Spend, DbError> {
        let mut tx = self.db.begin().await?;
        let spent = ledger::spent_today(&mut tx, self.price_per_mtok).await?;
        Ok(Spend {
            usd: spent.usd,
            read_at: Instant::now(),
            day_left: spent.day_left,
        })
    }

    /// Writes down that a request is about to be sent, unless the re-embedding may not cost that much.
    pub(super) async fn record(&self, inputs: usize, tokens: u32) -> Result<Uuid, EmbeddingError> {
        let outgoing = Outgoing {
            model: &self.model,
            inputs,
            tokens,
            is_reembedding: self.backfill.is_some(),
        };
        let mut tx = self.db.begin().await?;
        if let Some(limit) = self
            .backfill
            .as_ref()
            .and_then(|backfill| backfill.max_cost_usd)
        {
            let spent = ledger::reembedding_tokens(&mut tx, &self.model).await?;
            if cost_usd(spent + u64::from(tokens), self.price_per_mtok) > limit {
                return Err(EmbeddingError::CostLimit);
            }
        }
        let request = ledger::record(&mut tx, &outgoing).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(request)
    }

    /// Books an answer and gives its vectors back.
    pub(super) async fn settle(
        &self,
        request: Uuid,
        batch: &[Wanted],
        answer: Answer,
    ) -> Result<Vec<Vec<f32>>, DbError> {
        let vectors = answer.vectors.into_iter().map(Vector::from).collect();
        let mut settlement = self.settlement(request, batch, answer.billed, vectors);
        if self.backfill.is_none() {
            settlement.owners = batch.iter().map(owner).collect();
        } else {
            settlement.rows = batch.iter().filter_map(|wanted| wanted.row).collect();
        }
        self.persist(&settlement).await?;
        let mut totals = self.totals();
        totals.requests += 1;
        totals.inputs += batch.len() as u64;
        drop(totals);
        Ok(settlement.vectors.into_iter().map(Vec::from).collect())
    }

    /// Books an answer that was billed and is of no use.
    pub(super) async fn settle_waste(
        &self,
        request: Uuid,
        batch: &[Wanted],
        billed: u32,
    ) -> Result<(), DbError> {
        let settlement = self.settlement(request, batch, billed, Vec::new());
        self.persist(&settlement).await
    }

    fn settlement(
        &self,
        request: Uuid,
        batch: &[Wanted],
        billed: u32,
        vectors: Vec<Vector>,
    ) -> Settlement {
        Settlement {
            request,
            model: self.model.clone(),
            billed,
            price_per_mtok: self.price_per_mtok,
            shares: shares(batch, billed),
            owners: Vec::new(),
            rows: Vec::new(),
            vectors,
        }
    }

    /// Notes that a request is not billed.
    pub(super) async fn refuse(&self, request: Uuid) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        ledger::refuse(&mut tx, request).await?;
        Ok(tx.commit().await?)
    }

    /// Books an answer, however long the database takes: it is paid for and we hold it.
    async fn persist(&self, settlement: &Settlement) -> Result<(), DbError> {
        let mut backoff = backoff(self.retry_after);
        let mut refusals = 0;
        while let Err(error) = self.persist_once(settlement).await {
            if let DbError::Refused(_) = error {
                refusals += 1;
                if refusals == MAX_BOOKINGS {
                    tracing::error!(request = %settlement.request, billed_tokens = settlement.billed,
                        "an answer of the provider could not be booked");
                    return Err(error);
                }
            }
            tracing::warn!(request = %settlement.request, error = %error, "booking an answer will be tried again");
            sleep(backoff.next().unwrap_or(MAX_BACKOFF)).await;
        }
        let mut totals = self.totals();
        totals.tokens += u64::from(settlement.billed);
        totals.cost_usd += cost_usd(settlement.billed.into(), self.price_per_mtok);
        Ok(())
    }

    async fn persist_once(&self, settlement: &Settlement) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        ledger::settle(&mut tx, settlement).await?;
        failpoint::reach(Line::Booking);
        Ok(tx.commit().await?)
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    /// The tokens of what is not known.
    fn costs(&self, known: &Known) -> u64 {
        let is_new = |piece: &&Piece| !known.contains_key(&(self.user, piece.sha256));
        let new = self.pieces.iter().filter(is_new);
        new.map(|piece| u64::from(piece.tokens)).sum()
    }

    /// What is known of its texts, which no other asks for.
    fn take_from(&self, known: &mut Known) -> Recalled {
        let take = |piece: &Piece| Some((piece.sha256, known.remove(&(self.user, piece.sha256))?));
        self.pieces.iter().filter_map(take).collect()
    }
}

fn owner(wanted: &Wanted) -> Owner {
    Owner {
        user: wanted.input.user,
        file: wanted.file,
        sha256: wanted.input.sha256,
    }
}

/// Divides a bill among the files of a request by their tokens, to the last token.
///
/// Each share ends where its files' part of the running total ends, rounded down, so that the shares add up.
fn shares(batch: &[Wanted], billed: u32) -> Vec<Share> {
    let mut by_file = BTreeMap::<(UserId, Option<FileId>), u64>::new();
    for wanted in batch {
        *by_file.entry((wanted.input.user, wanted.file)).or_default() +=
            u64::from(wanted.input.tokens);
    }
    let total = by_file.values().sum::<u64>().max(1);
    let (mut counted, mut given) = (0, 0);
    let share = |((user, file), tokens): ((UserId, Option<FileId>), u64)| {
        counted += tokens;
        let until = u64::from(billed) * counted / total;
        let tokens = u32::try_from(until - given).unwrap_or(u32::MAX);
        given = until;
        Share { user, file, tokens }
    };
    by_file.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{embed::batcher::Input, embedding::interest::Interest};

    fn wanted(user: u128, file: u128, tokens: u32) -> Wanted {
        Wanted {
            input: Input {
                user: UserId(Uuid::from_u128(user)),
                sha256: [0; 32],
                text: "".into(),
                tokens,
            },
            file: Some(FileId(Uuid::from_u128(file))),
            interest: Interest::default(),
            row: None,
        }
    }

    proptest! {
        #[test]
        fn a_bill_is_divided_to_the_last_token_and_in_proportion(
            texts in prop::collection::vec((0_u128..5, 1_u32..8_192), 1..100),
            billed in 1_u32..300_000,
        ) {
            let batch: Vec<_> = texts.iter().map(|(file, tokens)| wanted(1, *file, *tokens)).collect();
            let shares = shares(&batch, billed);
            prop_assert_eq!(shares.iter().map(|share| share.tokens).sum::<u32>(), billed);
            let total: u32 = texts.iter().map(|(_, tokens)| tokens).sum();
            for share in shares {
                let own: u32 = batch.iter().filter(|w| w.file == share.file).map(|w| w.input.tokens).sum();
                let exact = f64::from(billed) * f64::from(own) / f64::from(total);
                prop_assert!((f64::from(share.tokens) - exact).abs() <= 1.0);
            }
        }
    }
}
