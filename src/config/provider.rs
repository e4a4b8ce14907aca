//! Whom to ask for vectors, how fast, and at what price.

use super::{Reader, is_http};
use crate::{
    document::Model,
    embed::{batcher, limiter, openai, price::list_price_per_mtok},
    embedding,
};

pub(super) fn embedding(reader: &mut Reader<'_>) -> embedding::Settings {
    let name = reader.text("EMBEDDING_MODEL").unwrap_or_default();
    let dimensions = reader.parsed("EMBEDDING_DIMENSIONS", "a number of dimensions", 0);
    if !(1..=16_000).contains(&dimensions) {
        reader.problem("EMBEDDING_DIMENSIONS", "pgvector takes 1 to 16000");
    }
    let base_url = reader.text("OPENAI_BASE_URL").unwrap_or_default();
    if !is_http(&base_url) {
        reader.problem(
            "OPENAI_BASE_URL",
            format_args!("\"{base_url}\" is not an http(s) URL"),
        );
    }
    let max_concurrency = reader.parsed("EMBEDDING_MAX_CONCURRENCY", "a number of requests", 1);
    if max_concurrency == 0 {
        reader.problem(
            "EMBEDDING_MAX_CONCURRENCY",
            "0 requests in flight would do nothing; set at least 1",
        );
    }
    let price_per_mtok = reader
        .optional(
            "EMBEDDING_PRICE_PER_MTOK",
            "an amount of US dollars",
            dollars,
        )
        .or_else(|| list_price_per_mtok(&name));
    let daily_limit_usd =
        reader.optional("DAILY_SPEND_LIMIT_USD", "an amount of US dollars", dollars);
    if daily_limit_usd.is_some() && price_per_mtok.is_none() {
        reader.problem(
            "EMBEDDING_PRICE_PER_MTOK",
            format_args!(
                "not set, and {name} has no known list price; DAILY_SPEND_LIMIT_USD needs it"
            ),
        );
    }
    embedding::Settings {
        provider: openai::Settings {
            api_key: if openai::needs_key(&base_url) {
                Some(reader.secret("OPENAI_API_KEY"))
            } else {
                reader.optional_secret("OPENAI_API_KEY")
            },
            base_url,
            model: Model { name, dimensions },
            answer_within: reader.duration("EMBEDDING_TIMEOUT"),
        },
        limits: limiter::Limits {
            requests_per_minute: reader.parsed("EMBEDDING_RPM", "a number of requests", 0),
            tokens_per_minute: reader.parsed("EMBEDDING_TPM", "a number of tokens", 0),
        },
        backfill: None,
        batch: batch(reader),
        max_concurrency,
        price_per_mtok: price_per_mtok.unwrap_or(0.0),
        daily_limit_usd,
        linger: embedding::LINGER,
        retry_after: embedding::RETRY_AFTER,
    }
}

fn batch(reader: &mut Reader<'_>) -> batcher::Limits {
    let limits = batcher::Limits {
        inputs: reader.parsed("EMBEDDING_BATCH_INPUTS", "a number of texts", 1),
        tokens: reader.parsed("EMBEDDING_BATCH_TOKENS", "a number of tokens", 1),
    };
    for (name, is_zero) in [
        ("EMBEDDING_BATCH_INPUTS", limits.inputs == 0),
        ("EMBEDDING_BATCH_TOKENS", limits.tokens == 0),
    ] {
        if is_zero {
            reader.problem(name, "an empty request would do nothing; set at least 1");
        }
    }
    limits
}

fn dollars(value: &str) -> Option<f64> {
    value
        .parse()
        .ok()
        .filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)
}
