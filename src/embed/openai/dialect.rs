//! What of the API a server understands beyond model and texts. It is learned, not configured: see `embedding/request.rs`.

use std::fmt;

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};

use crate::document::{Model, Text};

/// Which of the optional parameters are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    dimensions: bool,
    base64: bool,
}

impl Dialect {
    /// All that there are, the one that we would rather speak first.
    pub const ALL: [Self; 4] = [
        Self::new(true, true),
        Self::new(false, true),
        Self::new(true, false),
        Self::new(false, false),
    ];

    const fn new(dimensions: bool, base64: bool) -> Self {
        Self { dimensions, base64 }
    }

    /// Asks for the vectors of these texts. Numbers are the default of every server, so they are not asked for: who
    /// refuses the word base64 may refuse its parameter.
    pub(super) fn ask(self, model: &Model, texts: &[Text]) -> CreateEmbeddingRequest {
        CreateEmbeddingRequest {
            model: model.name.clone(),
            input: EmbeddingInput::StringArray(texts.iter().map(|text| text.to_string()).collect()),
            encoding_format: self.base64.then_some(EncodingFormat::Base64),
            user: None,
            dimensions: self.dimensions.then_some(model.dimensions),
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.dimensions, self.base64) {
            (true, true) => "dimensions and base64",
            (false, true) => "base64 but not dimensions",
            (true, false) => "dimensions but not base64",
            (false, false) => "neither dimensions nor base64",
        })
    }
}
