//! What a re-embedding takes: rows, tokens, money, time, room and locks, before anything is changed.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{config, db::Db, document::Model, embed::price::cost_usd, embedding::Backfill};

/// Texts that are counted to estimate those that nobody has counted.
const SAMPLE: i64 = 2_000;

/// What a re-embedding takes. Its keys only grow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The active model.
    pub from: Model,
    /// The new one.
    pub to: Model,
    /// Chunks.
    pub rows: i64,
    /// Their tokens.
    pub tokens: u64,
    /// Chunks whose tokens are estimated from a sample.
    pub estimated_rows: i64,
    /// By how much the tokens may be wrong for that, 95 % of the time.
    pub tokens_error: u64,
    /// US dollars per million tokens; 0 where no price is known.
    pub price_per_mtok: f64,
    /// US dollars.
    pub cost_usd: f64,
    /// Seconds at the provider's limits as they are set; `None` without limits.
    pub seconds: Option<f64>,
    /// Size of the table with its indexes now.
    pub bytes: i64,
    /// What the vectors add to it.
    pub vector_bytes: u64,
    /// What their index adds.
    pub index_bytes: u64,
}

pub(super) async fn estimate(
    db: &Db,
    settings: &config::Search,
    backfill: &Backfill,
    from: Model,
    to: Model,
) -> anyhow::Result<Estimate> {
    let extent = db.extent().await?;
    let texts = if extent.uncounted > 0 {
        db.uncounted(SAMPLE).await?
    } else {
        Vec::new()
    };
    let counts: Vec<u32> = texts
        .iter()
        .map(|text| settings.tokenizer.count(text))
        .collect();
    let (uncounted, tokens_error) = extrapolate(&counts, extent.uncounted.unsigned_abs());
    let tokens = extent.tokens.unsigned_abs() + uncounted;
    let price_per_mtok = settings
        .embedding
        .clone()
        .with_model(to.clone())
        .price_per_mtok;
    let limits = backfill.share_of(settings.embedding.limits);
    let batch = u64::from(settings.embedding.batch.tokens);
    let minutes = |units: u64, limit: u32| (limit > 0).then(|| ratio(units, u64::from(limit)));
    let seconds = [
        minutes(tokens, limits.tokens_per_minute),
        minutes(tokens.div_ceil(batch), limits.requests_per_minute),
    ];
    let rows = extent.rows.unsigned_abs();
    Ok(Estimate {
        rows: extent.rows,
        tokens,
        estimated_rows: extent.uncounted,
        tokens_error,
        price_per_mtok,
        cost_usd: cost_usd(tokens, price_per_mtok),
        seconds: seconds
            .into_iter()
            .flatten()
            .reduce(f64::max)
            .map(|minutes| minutes * 60.0),
        bytes: extent.bytes,
        vector_bytes: rows * vector_bytes(to.dimensions),
        index_bytes: rows * index_bytes(to.dimensions),
        from,
        to,
    })
}

/// The sum of all from a random sample of them, and 1.96 standard errors of it.
fn extrapolate(sample: &[u32], of: u64) -> (u64, u64) {
    if sample.is_empty() {
        return (0, 0);
    }
    let sum: u64 = sample.iter().copied().map(u64::from).sum();
    if sample.len() as u64 >= of {
        return (sum, 0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
    let size = sample.len() as f64;
    let mean = ratio(sum, sample.len() as u64);
    let variance = sample
        .iter()
        .map(|count| (f64::from(*count) - mean).powi(2))
        .sum::<f64>()
        / size;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let scaled = |per_row: f64| (per_row * of as f64).round() as u64;
    (scaled(mean), scaled(1.96 * (variance / size).sqrt()))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of as f64
}

/// A vector beside its row: out of line in pieces of 2 KB, four a page, as Postgres keeps what is large.
fn vector_bytes(dimensions: u32) -> u64 {
    const PIECE: u64 = 1_996;
    const OVERHEAD: u64 = 44;
    let bytes = u64::from(dimensions) * 4 + 8;
    bytes + bytes.div_ceil(PIECE) * OVERHEAD
}

/// A vector in an index, which does not divide it: what is left of a page is lost.
fn index_bytes(dimensions: u32) -> u64 {
    const PAGE: u64 = 8_192;
    const USABLE: u64 = 8_150;
    PAGE / (USABLE / (u64::from(dimensions) * 4 + 24)).max(1)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = |model: &Model| format!("{}, {} dimensions", model.name, model.dimensions);
        writeln!(f, "{:<12}{}", "from", model(&self.from))?;
        writeln!(f, "{:<12}{}", "to", model(&self.to))?;
        writeln!(f, "{:<12}{}", "rows", self.rows)?;
        write!(f, "{:<12}{}", "tokens", self.tokens)?;
        if self.estimated_rows > 0 {
            write!(
                f,
                " (± {}: those of {} rows are estimated)",
                self.tokens_error, self.estimated_rows
            )?;
        }
        writeln!(f)?;
        if self.price_per_mtok > 0.0 {
            writeln!(
                f,
                "{:<12}${:.4} at ${} a million tokens",
                "cost", self.cost_usd, self.price_per_mtok
            )?;
        } else {
            writeln!(f, "{:<12}not known; set EMBEDDING_PRICE_PER_MTOK", "cost")?;
        }
        match self.seconds {
            Some(seconds) => writeln!(
                f,
                "{:<12}{} at the rate limits, if nobody else needs them",
                "time",
                humantime::format_duration(Duration::from_secs_f64(seconds.ceil()))
            )?,
            None => writeln!(f, "{:<12}no rate limits are set", "time")?,
        }
        writeln!(
            f,
            "{:<12}{} now; {} for the vectors and {} for their index, until `finish`",
            "disk",
            bytes(self.bytes.unsigned_abs()),
            bytes(self.vector_bytes),
            bytes(self.index_bytes)
        )?;
        write!(
            f,
            "{:<12}document_chunks for some milliseconds, to add the column, to swap and to drop; waits of 50 ms, in which readers wait too, are tried again",
            "locks"
        )
    }
}

/// `1.5 GB`.
pub(super) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a number for people")]
    let bytes = bytes as f64;
    if bytes < 1e9 {
        format!("{:.1} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_tells_the_sum_and_how_sure_it_is() {
        assert_eq!(extrapolate(&[], 0), (0, 0));
        assert_eq!(extrapolate(&[100, 300], 2), (400, 0), "all were counted");
        // The deviation of one is 100, of the mean of four 50.
        assert_eq!(extrapolate(&[100, 300, 100, 300], 1_000), (200_000, 98_000));
    }

    #[test]
    fn an_index_holds_whole_vectors_in_a_page() {
        assert_eq!([1536, 1024, 512].map(index_bytes), [8192, 8192, 2730]);
    }
}
