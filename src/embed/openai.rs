//! One HTTP request to an OpenAI-compatible embeddings endpoint, and the check of its answer.
//!
//! async-openai builds the request and knows the wire format; the tower service below is the transport. It retries
//! nothing, reads the rate-limit headers, and turns refusals into [`EmbedError`] before anything can log their text.

mod answer;
mod refusal;

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{
    config::Config,
    error::OpenAIError,
    middleware::HttpRequestFactory,
    types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat},
};
use futures_util::future::BoxFuture;
use reqwest::{
    Response,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use tracing::{Dispatch, instrument::WithSubscriber};

pub use self::answer::Answer;
use self::{
    answer::check,
    refusal::{Cause, judge, refusal},
};
use super::{EmbedError, Flaw};
use crate::document::Model;

/// Where `OpenAI` itself answers.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Whom to ask for which vectors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Up to and including `/v1`.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: SecretString,
    /// Which vectors to ask for.
    pub model: Model,
    /// From the first byte of a request to the last of its answer.
    pub answer_within: Duration,
}

/// A provider of vectors; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    api: async_openai::Client<Endpoint>,
    model: Model,
}

/// What came of one request.
#[derive(Debug)]
pub struct Reply {
    /// The vectors, or why there are none.
    pub outcome: Result<Answer, EmbedError>,
    /// What the headers said about the account's limits.
    pub announced: Announced,
}

/// The account's limits by the `x-ratelimit-limit-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Requests per minute.
    pub requests: Option<u32>,
    /// Tokens per minute.
    pub tokens: Option<u32>,
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If the TLS set-up fails.
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(settings.answer_within)
            .tcp_nodelay(true)
            // Retries have one owner, and it is not this.
            .retry(reqwest::retry::never())
            // A redirect would carry the key and the text to somebody else.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&settings.base_url) {
            http = http.no_proxy();
        }
        let http = http.build()?;
        let endpoint = Endpoint {
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            api_key: settings.api_key.clone(),
        };
        Ok(Self {
            api: async_openai::Client::build(http.clone(), endpoint),
            http,
            model: settings.model.clone(),
        })
    }

    /// The model whose vectors it asks for.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Sends one request and checks its answer; never retries.
    pub async fn embed(&self, texts: &[Arc<str>]) -> Reply {
        let announced = Arc::default();
        let transport = Transport {
            http: self.http.clone(),
            announced: Arc::clone(&announced),
        };
        let request = CreateEmbeddingRequest {
            model: self.model.name.clone(),
            input: EmbeddingInput::StringArray(texts.iter().map(ToString::to_string).collect()),
            encoding_format: Some(EncodingFormat::Base64),
            user: None,
            dimensions: Some(self.model.dimensions),
        };
        let api = self.api.clone().with_http_service(transport);
        // async-openai logs bodies that it cannot read, and an echo of the input may be among them.
        let answer = api
            .embeddings()
            .create_base64(request)
            .with_subscriber(Dispatch::none())
            .await;
        Reply {
            outcome: answer
                .map_err(classify)
                .and_then(|answer| check(answer, texts.len(), self.model.dimensions as usize)),
            announced: announced.get().copied().unwrap_or_default(),
        }
    }
}

fn is_loopback(base_url: &str) -> bool {
    let url = url::Url::parse(base_url);
    match url.as_ref().map(url::Url::host) {
        Ok(Some(url::Host::Domain(name))) => name == "localhost",
        Ok(Some(url::Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(url::Host::Ipv6(address))) => address.is_loopback(),
        Ok(None) | Err(_) => false,
    }
}

/// async-openai's own configuration reads the environment; this one holds what it is given.
#[derive(Clone, Debug)]
struct Endpoint {
    base_url: String,
    api_key: SecretString,
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", self.api_key.expose_secret());
        if let Ok(mut bearer) = HeaderValue::try_from(bearer) {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        headers
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.api_key
    }
}

/// Carries one request: no retries, headers noted, refusals told apart.
#[derive(Clone)]
struct Transport {
    http: reqwest::Client,
    announced: Arc<OnceLock<Announced>>,
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let Self { http, announced } = self.clone();
        Box::pin(async move {
            let request = request.build().await?;
            let response = http.execute(request).await?;
            announced.get_or_init(|| announced_in(response.headers()));
            if response.status().is_success() {
                return Ok(response);
            }
            Err(OpenAIError::Boxed(Box::new(refusal(response).await)))
        })
    }
}

fn announced_in(headers: &HeaderMap) -> Announced {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Announced {
        requests: number("x-ratelimit-limit-requests"),
        tokens: number("x-ratelimit-limit-tokens"),
    }
}

fn classify(error: OpenAIError) -> EmbedError {
    let shapeless = EmbedError::Malformed {
        flaw: Flaw::Shape,
        billed: None,
    };
    match error {
        OpenAIError::Reqwest(source) => EmbedError::Unreachable {
            sent: !(source.is_connect() || source.is_builder()),
            source: Arc::new(source.without_url()),
        },
        OpenAIError::Boxed(source) => match source.downcast::<EmbedError>() {
            Ok(refusal) => *refusal,
            Err(_) => shapeless,
        },
        OpenAIError::ApiError(refusal) => judge(refusal.status_code, &Cause::default(), None),
        OpenAIError::JSONDeserialize(..)
        | OpenAIError::StreamError(_)
        | OpenAIError::InvalidArgument(_)
        | OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_) => shapeless,
    }
}
