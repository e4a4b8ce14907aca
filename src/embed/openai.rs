//! One HTTP request to an OpenAI-compatible embeddings endpoint, and the check of its answer.
//!
//! async-openai builds the request and knows the wire format; the tower service below is the transport. It retries
//! nothing, reads the rate-limit headers, and turns refusals into [`EmbedError`] before anything can log their text.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{
    config::Config,
    error::OpenAIError,
    middleware::HttpRequestFactory,
    types::embeddings::{
        CreateBase64EmbeddingResponse, CreateEmbeddingRequest, EmbeddingInput, EncodingFormat,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use reqwest::{
    Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tracing::{Dispatch, instrument::WithSubscriber};

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

/// A checked answer.
#[derive(Debug)]
pub struct Answer {
    /// One for each input, in the order of the inputs.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that the provider bills for it.
    pub billed: u32,
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

/// The two fields of an error body that say what to do; its message may quote the input and is not read.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: Cause,
}

#[derive(Debug, Default, Deserialize)]
struct Cause {
    code: Option<serde_json::Value>,
    r#type: Option<String>,
    param: Option<String>,
}

impl Cause {
    /// Whether code or type is one of these.
    fn is(&self, names: &[&str]) -> bool {
        let code = self.code.as_ref().and_then(serde_json::Value::as_str);
        [code, self.r#type.as_deref()]
            .into_iter()
            .flatten()
            .any(|name| names.contains(&name))
    }

    /// Whether it concerns how we ask and not what.
    fn is_about_settings(&self) -> bool {
        self.is(&["model_not_found", "unsupported_parameter"])
            || matches!(
                self.param.as_deref(),
                Some("model" | "dimensions" | "encoding_format")
            )
    }
}

/// Codes that mean money and not speed.
const SPENT: [&str; 3] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
];

async fn refusal(response: Response) -> EmbedError {
    let status = response.status();
    let after = retry_after(response.headers());
    // A body that is cut or is no JSON leaves only the status to go by.
    let body = response.bytes().await.unwrap_or_default();
    let cause = serde_json::from_slice::<Refusal>(&body)
        .unwrap_or_default()
        .error;
    judge(status, &cause, after)
}

fn judge(status: StatusCode, cause: &Cause, after: Option<Duration>) -> EmbedError {
    let code = status.as_u16();
    match code {
        _ if cause.is(&SPENT) => EmbedError::QuotaSpent,
        402 => EmbedError::QuotaSpent,
        429 => EmbedError::Throttled { after },
        401 | 403 => EmbedError::CredentialsRefused { status: code },
        400 | 422 if cause.is_about_settings() => EmbedError::Misconfigured { status: code },
        400 | 413 | 422 => EmbedError::Rejected { status: code },
        408 | 409 | 425 | 499..=599 => EmbedError::Failing {
            status: code,
            after,
        },
        _ => EmbedError::Misconfigured { status: code },
    }
}

/// `retry-after-ms`, or `retry-after` as seconds or as a date measured by the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1e3).ok();
    }
    let wish = text("retry-after")?;
    if let Ok(seconds) = wish.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date =
        |text| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822);
    let wait = date(wish).ok()? - date(text("date")?).ok()?;
    // A date that has passed asks for nothing.
    Some(Duration::try_from(wait).unwrap_or_default())
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

/// Trusts nothing: as many vectors as inputs, each index once, each of the right length, finite, with a direction.
fn check(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn a_wish_to_wait_is_read_in_each_of_its_forms() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (pairs, seconds) in [
            (&[("retry-after", "2")][..], Some(2.0)),
            (&[("retry-after", "0.25")], Some(0.25)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "2")],
                Some(1.5),
            ),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", date),
                ],
                Some(30.0),
            ),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"),
                    ("date", date),
                ],
                Some(0.0),
            ),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[], None),
        ] {
            assert_eq!(
                retry_after(&headers(pairs)),
                seconds.map(Duration::from_secs_f64),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn money_speed_settings_and_text_are_told_apart() {
        let judged = |status: u16, body: &str| {
            let cause = serde_json::from_str::<Refusal>(body)
                .unwrap_or_default()
                .error;
            let status = StatusCode::from_u16(status).expect("a status");
            judge(status, &cause, None).to_string()
        };
        let spent = EmbedError::QuotaSpent.to_string();
        assert_eq!(
            judged(429, r#"{"error":{"code":"insufficient_quota"}}"#),
            spent
        );
        assert_eq!(
            judged(
                429,
                r#"{"error":{"type":"insufficient_quota","code":null}}"#
            ),
            spent
        );
        assert!(judged(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#).contains("slow down"));
        assert!(judged(429, "<html>").contains("slow down"));
        assert!(judged(401, "{}").contains("credentials"));
        assert!(judged(404, r#"{"error":{"code":"model_not_found"}}"#).contains("model"));
        assert!(judged(400, r#"{"error":{"param":"dimensions","code":null}}"#).contains("model"));
        assert!(judged(400, r#"{"error":{"param":"input","code":400}}"#).contains("input"));
        assert!(judged(503, "").contains("fails"));
    }
}
