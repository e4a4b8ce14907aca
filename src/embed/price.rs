//! What the provider asks for a million tokens.

/// List prices in US dollars per million tokens, <https://platform.openai.com/docs/pricing>.
const LIST: [(&str, f64); 3] = [
    ("text-embedding-3-small", 0.02),
    ("text-embedding-3-large", 0.13),
    ("text-embedding-ada-002", 0.10),
];

/// The list price of a model, where one is known.
#[must_use]
pub fn list_price_per_mtok(model: &str) -> Option<f64> {
    LIST.into_iter()
        .find(|(name, _)| *name == model)
        .map(|(_, price)| price)
}

/// US dollars for so many tokens.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 tokens cost more than there is"
)]
pub fn cost_usd(tokens: u64, price_per_mtok: f64) -> f64 {
    tokens as f64 * price_per_mtok / 1e6
}
