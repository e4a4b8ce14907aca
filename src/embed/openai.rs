//! One HTTP request to an OpenAI-compatible embeddings endpoint, and the check of its answer.
//!
//! async-openai builds the request and knows the wire format; the tower service below is the transport. It retries
//! nothing, reads the rate-limit headers, and turns refusals into [`EmbedError`] before anything can log their text.

mod answer;
mod dialect;
mod endpoint;
mod refusal;

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use futures_util::future::BoxFuture;
use reqwest::{Response, header::HeaderMap};
use secrecy::SecretString;
use tracing::{Dispatch, instrument::WithSubscriber};

pub use self::{answer::Answer, dialect::Dialect, endpoint::needs_key};
use self::{
    answer::{Body, SHAPELESS, Wanted, check},
    endpoint::{Endpoint, authority, is_loopback},
    refusal::{Cause, judge, refusal},
};
use super::{
    EmbedError,
    limiter::{Announced, Announcement},
};
use crate::document::{Model, Text};

/// Where `OpenAI` itself answers.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Whom to ask for which vectors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All that comes before `/embeddings`; a query stays behind it.
    pub base_url: String,
    /// A server of one's own may want none.
    pub api_key: Option<SecretString>,
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
    pub announced: Announcement,
}

impl Settings {
    /// Host and port: whose limits these are.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.base_url)
    }
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
        let endpoint = Endpoint::new(&settings.base_url, settings.api_key.clone());
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

    /// Sends one request and checks its answer; never retries. `tokens` is the bill if the answer does not tell it.
    pub async fn embed(&self, texts: &[Text], tokens: u32, dialect: Dialect) -> Reply {
        let announced = Arc::default();
        let transport = Transport {
            http: self.http.clone(),
            announced: Arc::clone(&announced),
        };
        let request = dialect.ask(&self.model, texts);
        let wanted = Wanted {
            inputs: texts.len(),
            dimensions: self.model.dimensions as usize,
            tokens,
        };
        let api = self.api.clone().with_http_service(transport);
        // The crate's own types know one form of vectors each, and the one that comes need not be the one asked for.
        // It logs bodies that it cannot read, and an echo of the input may be among them.
        let body: Result<Body, _> = api
            .embeddings()
            .create_byot(request)
            .with_subscriber(Dispatch::none())
            .await;
        Reply {
            outcome: body.map_err(classify).and_then(|body| check(body, wanted)),
            announced: announced.get().copied().unwrap_or_default(),
        }
    }
}

/// Carries one request: no retries, headers noted, refusals told apart.
#[derive(Clone)]
struct Transport {
    http: reqwest::Client,
    announced: Arc<OnceLock<Announcement>>,
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

/// `x-ratelimit-limit-*`, `-remaining-*` and `-reset-*`, of requests and of tokens.
fn announced_in(headers: &HeaderMap) -> Announcement {
    let text = |what: &str, of: &str| {
        let value = headers.get(format!("x-ratelimit-{what}-{of}"))?;
        Some(value.to_str().ok()?.trim())
    };
    let announced = |of: &str| {
        let limit = text("limit", of)?.parse().ok().filter(|limit| *limit > 0)?;
        let remaining = text("remaining", of).and_then(|left| left.parse().ok());
        // "6m0s", "1.5s", "120ms"; a bare number is seconds.
        let reset = text("reset", of).and_then(|reset| {
            let seconds = reset
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            seconds.or_else(|| spelled(reset))
        });
        Some(Announced {
            limit,
            left: remaining.zip(reset),
        })
    };
    Announcement {
        requests: announced("requests"),
        tokens: announced("tokens"),
    }
}

/// A duration as Go spells it: numbers with fractions and their units, one after the other.
fn spelled(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        if after.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        rest = after;
    }
}

fn classify(error: OpenAIError) -> EmbedError {
    match error {
        OpenAIError::Reqwest(source) => EmbedError::Unreachable {
            sent: !(source.is_connect() || source.is_builder()),
            source: Arc::new(source.without_url()),
        },
        OpenAIError::Boxed(source) => match source.downcast::<EmbedError>() {
            Ok(refusal) => *refusal,
            Err(_) => SHAPELESS,
        },
        OpenAIError::ApiError(refusal) => judge(refusal.status_code, &Cause::default(), None),
        OpenAIError::JSONDeserialize(..)
        | OpenAIError::StreamError(_)
        | OpenAIError::InvalidArgument(_)
        | OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_) => SHAPELESS,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn limits_are_read_in_each_of_their_forms() {
        let announced = |limit, remaining, reset| {
            let told = [("limit", limit), ("remaining", remaining), ("reset", reset)];
            let header = |(what, value)| {
                let name = format!("x-ratelimit-{what}-tokens");
                let name = HeaderName::try_from(name).expect("a name");
                (name, HeaderValue::from_static(value))
            };
            announced_in(&told.map(header).into_iter().collect()).tokens
        };
        let left = |reset| announced("1000", "250", reset).and_then(|announced| announced.left);
        for (reset, millis) in [
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("120ms", 120),
            ("17", 17_000),
            ("0.5", 500),
        ] {
            assert_eq!(left(reset), Some((250, Duration::from_millis(millis))));
        }
        for reset in ["", "soon", "5 parsecs", "s", "-1s"] {
            assert_eq!(left(reset), None, "{reset}");
        }
        for limit in ["0", "-1", "none"] {
            assert_eq!(announced(limit, "0", "1s"), None, "{limit}");
        }
        assert_eq!(announced_in(&HeaderMap::new()), Announcement::default());
    }

    #[test]
    fn whose_limits_these_are_is_told_without_secrets() {
        let of = |base_url: &str| {
            let settings = Settings {
                base_url: base_url.into(),
                api_key: Some("sk-1".into()),
                model: Model {
                    name: "any".into(),
                    dimensions: 3,
                },
                answer_within: Duration::ZERO,
            };
            settings.authority()
        };
        assert_eq!(of(OPENAI_BASE_URL), "api.openai.com");
        assert_eq!(of("http://me:secret@localhost:11434/v1"), "localhost:11434");
    }
}
