//! A request as the real API takes it, and its answer.

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    faults::Fault,
    refused::Refused,
    shape::{Bill, Parameter, Shape},
};

/// Tokens in one request.
const MAX_REQUEST_TOKENS: usize = 300_000;

/// Models that it knows, and the longest vectors of each.
pub(super) const MODELS: [(&str, usize); 3] = [
    ("text-embedding-3-small", 1_536),
    ("text-embedding-3-large", 3_072),
    (ADA, 1_536),
];
const ADA: &str = "text-embedding-ada-002";

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) model: String,
    input: Input,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

impl Input {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl Request {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(body).map_err(|error| {
            let message = format!("we could not parse the JSON body of your request: {error}");
            Refused::input(&message)
        })
    }

    pub(super) fn texts(&self) -> &[String] {
        self.input.texts()
    }

    /// How long its vectors are to be.
    pub(super) fn dimensions(&self, shape: &Shape) -> Result<usize, Refused> {
        if let Some(format) = &self.encoding_format
            && !["float", "base64"].contains(&format.as_str())
        {
            return Err(bad("encoding_format", "must be float or base64"));
        }
        if let (Parameter::Refused(message), Some(_)) = (shape.base64, &self.encoding_format) {
            return Err(bad("", message));
        }
        let Some(longest) = self.longest(shape) else {
            return Err(Refused::new(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "model_not_found",
                "model",
                "The model does not exist or you do not have access to it.",
            ));
        };
        match (self.dimensions, shape.dimensions) {
            (None, _) | (_, Parameter::Ignored) => Ok(longest),
            (Some(_), Parameter::Refused(message)) => Err(bad("", message)),
            (Some(_), _) if self.model == ADA => Err(bad(
                "",
                "This model does not support specifying dimensions.",
            )),
            // Ollama's vectors stay as they are.
            (Some(wanted), _) if wanted > longest && shape.model.is_some() => Ok(longest),
            (Some(wanted), _) if wanted == 0 || wanted > longest => {
                Err(bad("dimensions", "Invalid value for 'dimensions'."))
            }
            (Some(wanted), Parameter::Heeded) => Ok(wanted),
        }
    }

    /// The length of the model's own vectors, if it is served here.
    fn longest(&self, shape: &Shape) -> Option<usize> {
        let served = shape
            .model
            .as_ref()
            .map_or(&MODELS[..], std::slice::from_ref);
        let model = served.iter().find(|(name, _)| *name == self.model)?;
        Some(model.1)
    }

    /// The tokens of a request that is within the API's limits.
    pub(super) fn count(&self, shape: &Shape) -> Result<usize, Refused> {
        let texts = self.texts();
        if texts.is_empty() || texts.iter().any(String::is_empty) {
            return Err(Refused::input("'$.input' is invalid: empty input."));
        }
        let too_large = |message: &str| Refused {
            status: shape.too_large,
            ..Refused::input(message)
        };
        if texts.len() > shape.max_inputs {
            let (size, max) = (texts.len(), shape.max_inputs);
            return Err(too_large(&format!(
                "batch size {size} > maximum allowed batch size {max}"
            )));
        }
        let mut total = 0;
        for text in texts {
            let tokens = tokens(text);
            if tokens > shape.max_input_tokens {
                return Err(too_large(&format!(
                    "This model's maximum context length is {} tokens, however you requested {tokens} tokens.",
                    shape.max_input_tokens
                )));
            }
            total += tokens;
        }
        if total > MAX_REQUEST_TOKENS {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "max_tokens_per_request",
                "max_tokens_per_request",
                "",
                &format!("Requested {total} tokens, max 300000 tokens per request"),
            ));
        }
        Ok(total)
    }
}

/// As the real API counts them.
pub(super) fn tokens(text: &str) -> usize {
    bpe_openai::cl100k_base().count(text)
}

/// The JSON of an answer, spoiled as ordered.
pub(super) fn answer(
    request: &Request,
    mut vectors: Vec<Vec<f32>>,
    tokens: usize,
    shape: &Shape,
    fault: Option<&Fault>,
) -> Value {
    let mut order = (0..vectors.len()).collect::<Vec<_>>();
    match fault {
        Some(Fault::NotFinite) => vectors.iter_mut().for_each(|vector| vector[0] = f32::NAN),
        Some(Fault::ShortVectors) => vectors.iter_mut().for_each(|vector| vector.truncate(3)),
        Some(Fault::ShuffledIndexes) => order.reverse(),
        Some(Fault::RepeatedIndex) => order.fill(0),
        Some(Fault::WrongCount) => drop(order.pop()),
        _ => {}
    }
    let base64 =
        request.encoding_format.as_deref() == Some("base64") && shape.base64 == Parameter::Heeded;
    let data = order
        .into_iter()
        .map(|index| {
            let embedding = if base64 {
                base64_of(&vectors[index])
            } else {
                json!(vectors[index])
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect::<Vec<_>>();
    let mut body = json!({ "object": "list", "data": data, "model": request.model });
    let told = match (shape.bill, fault) {
        (Bill::Absent, _) | (_, Some(Fault::NoUsage)) => None,
        (Bill::Told, _) => Some(tokens),
        (Bill::Zero, _) => Some(0),
    };
    if let Some(tokens) = told {
        body["usage"] = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    }
    if let Some(Fault::NoData) = fault {
        body["data"] = Value::Null;
    }
    body
}

fn bad(param: &str, message: &str) -> Refused {
    Refused::new(
        StatusCode::BAD_REQUEST,
        "invalid_request_error",
        "",
        param,
        message,
    )
}

fn base64_of(vector: &[f32]) -> Value {
    let bytes = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect::<Vec<_>>();
    STANDARD.encode(bytes).into()
}
