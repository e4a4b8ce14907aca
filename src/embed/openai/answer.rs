//! The vectors of an answer, checked: as base64 or as numbers, with or without indexes and a bill.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{
    super::{EmbedError, Flaw},
    refusal::disguised,
};

/// A checked answer.
#[derive(Debug)]
pub struct Answer {
    /// One for each input, in the order of the inputs.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that the provider bills for it.
    pub billed: u32,
}

/// What comes with status 200.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    data: Option<Vec<Embedding>>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Numbers,
}

#[derive(Debug, Deserialize)]
struct Usage {
    total_tokens: Option<u32>,
}

/// A vector in whichever form, since not every server heeds what it is asked for; `None` is base64 that is none.
#[derive(Debug)]
struct Numbers(Option<Vec<f32>>);

/// What the answer is to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) inputs: usize,
    pub(super) dimensions: usize,
    /// The bill by our own count.
    pub(super) tokens: u32,
}

/// Trusts nothing: as many vectors as inputs, each index once, each of the right length, finite, with a direction.
pub(super) fn check(body: Body, wanted: Wanted) -> Result<Answer, EmbedError> {
    let Some(data) = body.data else {
        return Err(body.error.as_ref().map_or(SHAPELESS, disguised));
    };
    // Servers that bill nothing say 0 or nothing; quotas are in tokens all the same.
    let told = body.usage.and_then(|usage| usage.total_tokens);
    let billed = told.filter(|told| *told > 0).unwrap_or(wanted.tokens);
    let flawed = |flaw| EmbedError::Malformed {
        flaw,
        billed: Some(billed),
    };
    if data.len() != wanted.inputs {
        return Err(flawed(Flaw::Count));
    }
    let mut vectors = vec![Vec::new(); wanted.inputs];
    for (position, embedding) in data.into_iter().enumerate() {
        let slot = vectors
            .get_mut(embedding.index.unwrap_or(position))
            .filter(|slot| slot.is_empty())
            .ok_or_else(|| flawed(Flaw::Index))?;
        let vector = embedding.embedding.0.ok_or_else(|| flawed(Flaw::Shape))?;
        if vector.len() != wanted.dimensions {
            return Err(EmbedError::WrongLength {
                found: vector.len(),
                wanted: wanted.dimensions,
                billed,
            });
        }
        check_numbers(&vector).map_err(flawed)?;
        *slot = vector;
    }
    Ok(Answer { vectors, billed })
}

/// No embeddings answer at all.
pub(super) const SHAPELESS: EmbedError = EmbedError::Malformed {
    flaw: Flaw::Shape,
    billed: None,
};

fn check_numbers(vector: &[f32]) -> Result<(), Flaw> {
    if !vector.iter().all(|number| number.is_finite()) {
        return Err(Flaw::NotFinite);
    }
    if vector.iter().all(|number| *number == 0.0) {
        return Err(Flaw::Zero);
    }
    Ok(())
}

fn decode(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks();
    let numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
    rest.is_empty().then(|| numbers.collect())
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

/// By hand, since an untagged enum would hold all numbers twice.
struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 or numbers")
    }

    fn visit_str<E>(self, text: &str) -> Result<Numbers, E> {
        Ok(Numbers(decode(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Numbers, A::Error> {
        let mut numbers = Vec::with_capacity(sequence.size_hint().unwrap_or_default());
        // JSON has no NaN: servers write null for it.
        while let Some(number) = sequence.next_element::<Option<f32>>()? {
            numbers.push(number.unwrap_or(f32::NAN));
        }
        Ok(Numbers(Some(numbers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<Answer, EmbedError> {
        let wanted = Wanted {
            inputs: 2,
            dimensions: 2,
            tokens: 7,
        };
        check(serde_json::from_str(body).expect("JSON"), wanted)
    }

    #[test]
    fn vectors_are_taken_in_either_form_with_or_without_index_and_bill() {
        for body in [
            r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1.0,2.0]}]}"#,
            r#"{"data":[{"embedding":"AACAPwAAAEA="},{"embedding":[3.0,4.0]}],"usage":{"total_tokens":0}}"#,
            r#"{"data":[{"embedding":[1,2]},{"embedding":[3,4]}],"error":null,"usage":{"total_tokens":7}}"#,
        ] {
            let answer = checked(body).expect(body);
            assert_eq!(answer.vectors, [[1.0, 2.0], [3.0, 4.0]]);
            assert_eq!(answer.billed, 7);
        }
    }

    #[test]
    fn what_is_no_vector_is_told_apart() {
        let error = |body: &str| checked(body).expect_err(body).to_string();
        let with = |vector: &str| {
            error(&format!(
                r#"{{"data":[{{"embedding":[1,2]}},{{"embedding":{vector}}}]}}"#
            ))
        };
        assert!(with("[1,2,3]").contains("3 numbers and not 2"));
        assert!(with("[1,null]").contains("not finite"));
        assert!(with("[0,0]").contains("direction"));
        assert!(with(r#""AACAPw""#).contains("not an embeddings answer"));
        assert!(error(r#"{"data":[{"embedding":[1,2]}]}"#).contains("number"));
        assert!(
            error(r#"{"data":[{"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#)
                .contains("indexes")
        );
        assert!(error("{}").contains("not an embeddings answer"));
        assert!(error(r#"{"error":"Unexpected endpoint"}"#).contains("endpoint (status 200)"));
        assert!(error(r#"{"error":{"code":429}}"#).contains("slow down"));
    }
}
