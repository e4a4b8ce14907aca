//! The vectors of an answer, checked.

use async_openai::types::embeddings::CreateBase64EmbeddingResponse;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::{EmbedError, Flaw};

/// A checked answer.
#[derive(Debug)]
pub struct Answer {
    /// One for each input, in the order of the inputs.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that the provider bills for it.
    pub billed: u32,
}

/// Trusts nothing: as many vectors as inputs, each index once, each of the right length, finite, with a direction.
pub(super) fn check(
    answer: CreateBase64EmbeddingResponse,
    inputs: usize,
    dimensions: usize,
) -> Result<Answer, EmbedError> {
    let billed = answer.usage.total_tokens;
    let flawed = |flaw| EmbedError::Malformed {
        flaw,
        billed: Some(billed),
    };
    if answer.data.len() != inputs {
        return Err(flawed(Flaw::Count));
    }
    let mut vectors = vec![Vec::new(); inputs];
    for embedding in answer.data {
        let slot = vectors
            .get_mut(embedding.index as usize)
            .filter(|slot| slot.is_empty())
            .ok_or_else(|| flawed(Flaw::Index))?;
        *slot = decode(&embedding.embedding.0, dimensions).map_err(flawed)?;
    }
    Ok(Answer { vectors, billed })
}

fn decode(text: &str, dimensions: usize) -> Result<Vec<f32>, Flaw> {
    let bytes = STANDARD.decode(text).map_err(|_| Flaw::Length)?;
    if bytes.len() != dimensions * size_of::<f32>() {
        return Err(Flaw::Length);
    }
    let vector: Vec<f32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|number| f32::from_le_bytes(*number))
        .collect();
    if !vector.iter().all(|number| number.is_finite()) {
        return Err(Flaw::NotFinite);
    }
    if vector.iter().all(|number| *number == 0.0) {
        return Err(Flaw::Zero);
    }
    Ok(vector)
}
