//! A stand-in for the embeddings API of `OpenAI`: lexical vectors, the real limits, and faults on request.
//!
//! It checks keys, models, input counts, token counts and rates as the real one does, answers in its formats, and
//! counts what it bills. Its vectors are **lexical**: they find words and not meanings (see [`lexical`]), and every
//! answer says so in a header. It listens on loopback only.

pub mod faults;
pub mod lexical;
mod meter;
mod refused;
mod request;
pub mod shape;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    faults::{Fault, Faults, Orders},
    meter::Meter,
    refused::Refused,
    request::{MODELS, Request},
    shape::{Key, Shape},
};

/// How strict it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The only key that it accepts.
    pub api_key: SecretString,
    /// 0 means any port that is free.
    pub port: u16,
    /// 0 means no limit.
    pub requests_per_minute: u32,
    /// 0 means no limit.
    pub tokens_per_minute: u32,
}

/// What it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests for embeddings that arrived, whatever became of them.
    pub requests: u64,
    /// Requests that were billed.
    pub billed_requests: u64,
    /// Texts in them.
    pub billed_inputs: u64,
    /// Tokens in them: the bill.
    pub billed_tokens: u64,
    /// Of these, tokens of texts that it had given vectors of before: paid twice.
    pub repeated_tokens: u64,
    /// Requests that were refused for their rate.
    pub throttled: u64,
}

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub struct Provider {
    /// For `OPENAI_BASE_URL`, ends in `/v1`.
    pub base_url: String,
    /// Tells it to misbehave.
    pub faults: Faults,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    api_key: SecretString,
    faults: Faults,
    meter: Mutex<Meter>,
    shape: Mutex<Shape>,
    counts: watch::Sender<Counts>,
    /// Hashes of the texts that it has given vectors of.
    given: Mutex<HashSet<u64>>,
}

/// Ends the connection that a request came over.
#[derive(Clone, Debug)]
struct Line(CancellationToken);

impl Provider {
    /// Listens on loopback.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let shared = Arc::new(Shared {
            api_key: settings.api_key,
            faults: faults.clone(),
            meter: Mutex::new(Meter::new(
                settings.requests_per_minute,
                settings.tokens_per_minute,
            )),
            shape: Mutex::new(Shape::OPENAI),
            counts: watch::Sender::new(Counts::default()),
            given: Mutex::default(),
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "a stand-in of the embedded stack: the handle ends the task with its owner"
        )]
        let server = tokio::spawn(serve(listener, router(Arc::clone(&shared))));
        Ok(Self {
            base_url: format!("http://{address}/v1"),
            faults,
            shared,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until what it has seen is so.
    pub async fn seen(&self, is_so: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        // The sender lives as long as this provider, so the wait cannot fail; what it last saw serves as well.
        match counts.wait_for(is_so).await {
            Ok(counts) => *counts,
            Err(_) => self.counts(),
        }
    }

    /// What somebody else on the same account does: takes a request of so many tokens from the limits, if they hold it.
    pub fn share(&self, tokens: u32) {
        // Whether they are refused is their business.
        let _taken = self.shared.meter().take(Instant::now(), tokens as usize);
    }

    /// Behaves as another server from now on; what `OPENAI_BASE_URL` is for that one.
    #[must_use]
    pub fn imitate(&self, shape: Shape) -> String {
        *self.shared.lock_shape() = shape;
        let address = self.base_url.trim_end_matches("/v1");
        format!("{address}{}", shape.base)
    }

    /// Changes its rate limits while it runs; 0 means none.
    pub fn limit(&self, requests_per_minute: u32, tokens_per_minute: u32) {
        *self.shared.meter() = Meter::new(requests_per_minute, tokens_per_minute);
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || "Stand-in for the OpenAI embeddings API. Its vectors are lexical: they find words, not meanings.\n"))
        .route("/v1/embeddings", post(embeddings))
        .route("/embeddings", post(embeddings))
        .route("/openai/{*path}", post(embeddings))
        .route("/v1/models", get(models))
        .route("/control", get(counts).post(control))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(shared)
}

async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(answer(stream, router.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let line = CancellationToken::new();
    let service = TowerToHyperService::new(router.layer(Extension(Line(line.clone()))));
    // A client that went away is none of our business, hence no look at the results.
    drop(stream.set_nodelay(true));
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(stream), service);
    drop(line.run_until_cancelled(connection).await);
}

async fn embeddings(
    State(shared): State<Arc<Shared>>,
    Extension(line): Extension<Line>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.counts.send_modify(|counts| counts.requests += 1);
    let fault = shared.faults.next();
    shared.faults.wait().await;
    if let Some(refused) = fault.as_ref().and_then(refused::ordered) {
        return refused.into_response();
    }
    if let Some(Fault::Hang) = fault {
        return std::future::pending().await;
    }
    let shape = *shared.lock_shape();
    let answer = shape
        .check_path(&uri)
        .and_then(|()| shared.answer(&shape, &headers, &body, fault.as_ref()));
    match answer {
        Ok(response) => match fault {
            Some(Fault::HangUp) => hang_up(&line).await,
            Some(Fault::CutBody) => cut(response),
            _ => response,
        },
        Err(refused) => refused.worded(shape.wording).into_response(),
    }
}

impl Shared {
    fn answer(
        &self,
        shape: &Shape,
        headers: &HeaderMap,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> Result<Response, Refused> {
        self.authorize(shape.key, headers)?;
        let request = Request::parse(body)?;
        let dimensions = request.dimensions(shape)?;
        let tokens = request.count(shape)?;
        let texts = request.texts();
        if texts.iter().any(|text| self.faults.refuses(text)) {
            return Err(Refused::input("'$.input' is invalid."));
        }
        if texts.iter().any(|text| self.faults.fails(text)) {
            return Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "",
                "",
                "The server had an error.",
            ));
        }
        let mut response_headers = self.meter_out(tokens)?;
        let repeated = self.repeated_tokens(texts, fault);
        self.counts.send_modify(|counts| {
            counts.billed_requests += 1;
            counts.billed_inputs += texts.len() as u64;
            counts.billed_tokens += tokens as u64;
            counts.repeated_tokens += repeated;
        });
        let vectors = texts
            .iter()
            .map(|text| lexical::vector(text, &request.model, dimensions))
            .collect();
        let body = request::answer(&request, vectors, tokens, shape, fault);
        response_headers.insert(
            "x-stand-in",
            HeaderValue::from_static("lexical vectors: they find words, not meanings"),
        );
        Ok((response_headers, Json(body)).into_response())
    }

    /// Tokens of texts that it has given vectors of before; unless the answer is spoiled, it gives them now.
    fn repeated_tokens(&self, texts: &[String], fault: Option<&Fault>) -> u64 {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut repeated = 0;
        for text in texts {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(text);
            if given.contains(&hash) {
                repeated += request::tokens(text) as u64;
            } else if fault.is_none_or(Fault::gives_vectors) {
                given.insert(hash);
            }
        }
        repeated
    }

    fn authorize(&self, key: Key, headers: &HeaderMap) -> Result<(), Refused> {
        if key.fits(headers, self.api_key.expose_secret()) {
            return Ok(());
        }
        Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            "invalid_api_key",
            "",
            "Incorrect API key provided.",
        ))
    }

    /// Takes a request from the rate limits; the headers that tell what is left.
    fn meter_out(&self, tokens: usize) -> Result<HeaderMap, Refused> {
        let mut meter = self.meter();
        let taken = meter.take(Instant::now(), tokens);
        let mut headers = meter.headers();
        drop(meter);
        let Err(throttled) = taken else {
            return Ok(headers);
        };
        self.counts.send_modify(|counts| counts.throttled += 1);
        let millis = throttled.after.as_millis().max(1);
        headers.insert(
            "retry-after-ms",
            HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)),
        );
        headers.insert(
            "retry-after",
            HeaderValue::from(throttled.after.as_secs() + 1),
        );
        let message = format!(
            "Rate limit reached on {} per min. Please try again in {millis}ms.",
            throttled.quantity
        );
        Err(Refused {
            headers: Box::new(headers),
            ..Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                throttled.quantity,
                "rate_limit_exceeded",
                "",
                &message,
            )
        })
    }

    fn lock_shape(&self) -> MutexGuard<'_, Shape> {
        self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the connection without an answer.
async fn hang_up(line: &Line) -> Response {
    line.0.cancel();
    std::future::pending().await
}

/// Promises the whole body and sends its first bytes.
fn cut(response: Response) -> Response {
    let (parts, _) = response.into_parts();
    let first = Ok(Bytes::from_static(br#"{"object": "list", "data": ["#));
    let pieces = [
        first,
        Err(io::Error::other("the stand-in was told to cut its answer")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    Response::from_parts(parts, body)
}

async fn models(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    shared.authorize(shared.lock_shape().key, &headers)?;
    let data = MODELS.map(|(id, _)| json!({ "id": id, "object": "model", "owned_by": "stand-in" }));
    Ok(Json(json!({ "object": "list", "data": data })))
}

async fn counts(State(shared): State<Arc<Shared>>) -> Json<Counts> {
    Json(*shared.counts.borrow())
}

/// The same orders as [`Faults`] takes, for other processes.
async fn control(State(shared): State<Arc<Shared>>, Json(orders): Json<Orders>) -> Json<Counts> {
    if let Some(limits) = orders.limits {
        *shared.meter() = Meter::new(limits.requests_per_minute, limits.tokens_per_minute);
    }
    shared.faults.obey(orders);
    counts(State(shared)).await
}
