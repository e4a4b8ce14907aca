//! Where the servers that speak `OpenAI`'s language differ from it, and from where that is known.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::refused::Refused;

/// A server's own ways with `POST …/embeddings`.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What follows the address of the server in `OPENAI_BASE_URL`.
    pub base: &'static str,
    /// The one model that it serves, and the length of its vectors; `None` for those of `OpenAI`.
    pub model: Option<(&'static str, usize)>,
    /// What becomes of `dimensions`.
    pub dimensions: Parameter,
    /// What becomes of `encoding_format`.
    pub base64: Parameter,
    /// Inputs in one request.
    pub max_inputs: usize,
    /// Tokens in one input.
    pub max_input_tokens: usize,
    /// Status of a request with more inputs or longer ones.
    pub too_large: StatusCode,
    /// Whether an answer says what it costs.
    pub bill: Bill,
    /// How it is told the key.
    pub key: Key,
    /// How it says no.
    pub wording: Wording,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// It is obeyed.
    Heeded,
    /// It is read over.
    Ignored,
    /// The request is refused with this message.
    Refused(&'static str),
}

/// The usage of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bill {
    /// The tokens.
    Told,
    /// Always 0.
    Zero,
    /// None.
    Absent,
}

/// Where a key is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `Authorization: Bearer`.
    Bearer,
    /// The header `api-key`; a bearer would be a token of another kind.
    Header,
    /// Either.
    Either,
    /// Nowhere. Here even a key that nobody asked for is refused, to show that none is made up.
    None,
}

/// The body of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// `{"error": {"message", "type", "param", "code"}}`.
    Nested,
    /// `{"message", "type", "param", "code": <status>}`.
    Flat,
    /// `{"error": "…"}`.
    Sentence,
}

impl Shape {
    /// `OpenAI` itself.
    pub const OPENAI: Self = Self {
        base: "/v1",
        model: None,
        dimensions: Parameter::Heeded,
        base64: Parameter::Heeded,
        max_inputs: 2_048,
        max_input_tokens: 8_192,
        too_large: StatusCode::BAD_REQUEST,
        bill: Bill::Told,
        key: Key::Bearer,
        wording: Wording::Nested,
    };

    /// Ollama before 0.13 or so: its `EmbedRequest` (`openai/openai.go`) had no `encoding_format`, and JSON's unknown
    /// fields are dropped. `dimensions` cuts the vectors of any model and does not lengthen them. It asks for no key.
    pub const OLLAMA: Self = Self {
        model: Some(("nomic-embed-text", 768)),
        base64: Parameter::Ignored,
        max_inputs: usize::MAX,
        key: Key::None,
        ..Self::OPENAI
    };

    /// vLLM with a model that was not trained to be cut (issue 15465, pull request 16331: 400 with the words below; the
    /// flat body up to 0.9, `ErrorResponse` in `protocol.py`). Versions of 2024 refused base64 likewise (issue 6174).
    pub const VLLM: Self = Self {
        model: Some(("BAAI/bge-m3", 1_024)),
        dimensions: Parameter::Refused(
            "Model \"BAAI/bge-m3\" does not support matryoshka representation, changing output dimensions will lead to poor results.",
        ),
        max_inputs: usize::MAX,
        key: Key::None,
        wording: Wording::Flat,
        ..Self::OPENAI
    };

    /// The vLLM of 2024: both parameters are refused, each with its own words.
    pub const OLD_VLLM: Self = Self {
        dimensions: Parameter::Refused("dimensions is currently not supported"),
        base64: Parameter::Refused("base64 encoding is not currently supported"),
        ..Self::VLLM
    };

    /// text-embeddings-inference: `router/src/http/types.rs` has `encoding_format` since 1.3 and no `dimensions` for
    /// long, and drops what it does not know; `--max-client-batch-size` is 32 and `ErrorType::Validation` is 413
    /// (`http/server.rs`, body of `OpenAICompatErrorResponse`), also for an input beyond the model's 512 tokens.
    pub const TEI: Self = Self {
        model: Some(("BAAI/bge-small-en-v1.5", 384)),
        dimensions: Parameter::Ignored,
        max_inputs: 32,
        max_input_tokens: 512,
        too_large: StatusCode::PAYLOAD_TOO_LARGE,
        key: Key::None,
        wording: Wording::Flat,
        ..Self::OPENAI
    };

    /// LM Studio: numbers whatever is asked for (its bug tracker, issue 756) and a usage of 0 (cheshire-cat-ai/core issue
    /// 1014); an unknown path is answered 200 with a sentence (Mintplex-Labs/anything-llm issue 2333).
    pub const LM_STUDIO: Self = Self {
        model: Some(("text-embedding-nomic-embed-text-v1.5", 768)),
        dimensions: Parameter::Ignored,
        base64: Parameter::Ignored,
        max_inputs: usize::MAX,
        bill: Bill::Zero,
        key: Key::None,
        wording: Wording::Sentence,
        ..Self::OPENAI
    };

    /// Azure by deployment: the model is in the path, an `api-version` must follow, a key comes as `api-key`. ada-002
    /// refuses `dimensions` without a `param` (microsoft/kernel-memory issue 805, SciPhi-AI/R2R pull request 768), and
    /// took 16 inputs (langchain-ai/langchain pull request 19532 has the old and the new limit).
    pub const AZURE: Self = Self {
        base: "/openai/deployments/my-ada?api-version=2024-10-21",
        model: Some(("text-embedding-ada-002", 1_536)),
        dimensions: Parameter::Refused("This model does not support specifying dimensions."),
        max_inputs: 16,
        key: Key::Header,
        ..Self::OPENAI
    };

    /// Azure's `/openai/v1/`: `OpenAI`'s ways, and the key in either header.
    pub const AZURE_V1: Self = Self {
        base: "/openai/v1/",
        key: Key::Either,
        ..Self::OPENAI
    };

    /// A server that says nothing of usage.
    pub const WITHOUT_BILL: Self = Self {
        bill: Bill::Absent,
        ..Self::OPENAI
    };

    /// Whether embeddings are made there.
    pub(super) fn check_path(&self, uri: &Uri) -> Result<(), Refused> {
        let (base, query) = match self.base.split_once('?') {
            Some((base, query)) => (base, Some(query)),
            None => (self.base, None),
        };
        let path = uri.path().strip_suffix("/embeddings");
        if path == Some(base.trim_end_matches('/')) && uri.query() == query {
            return Ok(());
        }
        let status = match self.wording {
            Wording::Sentence => StatusCode::OK,
            Wording::Nested | Wording::Flat => StatusCode::NOT_FOUND,
        };
        let message = "Unexpected endpoint or method.";
        Err(Refused::new(
            status,
            "invalid_request_error",
            "404",
            "",
            message,
        ))
    }
}

impl Key {
    /// Whether these headers let a request in.
    pub(super) fn fits(self, headers: &HeaderMap, key: &str) -> bool {
        let told = |name| headers.get(name).map(HeaderValue::as_bytes);
        let (bearer, named) = (told("authorization"), told("api-key"));
        let has_bearer = bearer == Some(format!("Bearer {key}").as_bytes());
        let has_named = named == Some(key.as_bytes());
        match self {
            Self::Bearer => has_bearer,
            Self::Header => has_named && bearer.is_none(),
            Self::Either => has_bearer || has_named,
            Self::None => bearer.is_none() && named.is_none(),
        }
    }
}
