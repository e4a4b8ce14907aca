//! S3 on loopback over a folder, with the manners of Supabase Storage, and told to misbehave by tests.
//!
//! `s3s-fs` keeps the objects; this module puts it under `/storage/v1/s3` as in production, and answers as the real
//! server does where `s3s-fs` is laxer: on keys, missing buckets, regions and credentials.

use std::{
    collections::VecDeque,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    auth::{S3Auth, SecretKey, SimpleAuth},
    dto::{
        DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
        HeadObjectOutput, PutObjectInput, PutObjectOutput, StreamingBlob,
    },
    region::Region,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, task::JoinSet};

use crate::objects;

/// The region that the server answers to, besides `auto`.
pub const REGION: &str = "us-east-1";
/// The access key id that the server knows.
pub const ACCESS_KEY_ID: &str = "embedded";
/// The buckets that it has.
pub const BUCKETS: [&str; 2] = ["documents", "images"];

/// The first part of the path is what `s3s` takes for a bucket; the rest is before every real one.
const PREFIX: (&str, &str) = ("storage", "v1/s3/");

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Storage {
    address: SocketAddr,
    secret: SecretString,
    faults: Faults,
    /// The one that serves; it is aborted with the set.
    _server: JoinSet<()>,
}

impl Storage {
    /// Serves the buckets in this folder, which are made if they are missing.
    ///
    /// # Errors
    ///
    /// A folder that cannot be written, or no port.
    pub async fn start(folder: &Path, secret: SecretString) -> anyhow::Result<Self> {
        for bucket in BUCKETS {
            let path = folder.join(bucket);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let faults = Faults::default();
        let service = service(folder, &secret, faults.clone())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for storage")?;
        let address = listener.local_addr().context("no free port for storage")?;
        let mut server = JoinSet::new();
        server.spawn(serve(listener, service));
        Ok(Self {
            address,
            secret,
            faults,
            _server: server,
        })
    }

    /// How to reach its first bucket.
    #[must_use]
    pub fn settings(&self) -> objects::Settings {
        let (first, rest) = PREFIX;
        objects::Settings::new(
            format!(
                "http://{}/{first}/{}",
                self.address,
                rest.trim_end_matches('/')
            ),
            REGION.into(),
            ACCESS_KEY_ID.into(),
            self.secret.clone(),
            BUCKETS[0].into(),
        )
    }

    /// Makes it misbehave.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

fn service(folder: &Path, secret: &SecretString, faults: Faults) -> anyhow::Result<S3Service> {
    let files = FileSystem::new(folder)
        .map_err(|error| anyhow::anyhow!("cannot serve {}: {error:?}", folder.display()))?;
    let mut builder = S3ServiceBuilder::new(Buckets {
        files,
        folder: folder.to_owned(),
        faults,
    });
    builder.set_auth(OneKey(SimpleAuth::from_single(
        ACCESS_KEY_ID,
        secret.expose_secret(),
    )));
    Ok(builder.build())
}

/// Answers connections until dropped, and they end with it.
async fn serve(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((socket, _)) = listener.accept().await else {
            // The caller hung up before we looked.
            continue;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection to storage answers slowly");
        }
        let service = service.clone();
        connections.spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            if let Err(error) = http.serve_connection(TokioIo::new(socket), service).await {
                tracing::debug!(error, "a connection to storage broke off");
            }
        });
    }
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error instead of an answer.
    Status {
        /// The HTTP status.
        status: u16,
        /// Sent as `retry-after`.
        retry_after: Option<Duration>,
    },
    /// The connection is cut after so many bytes of the object.
    CutAfter(usize),
    /// Nothing comes after so many bytes of the object, and the connection stays open.
    StallAfter(usize),
    /// The object comes without its length.
    HideLength,
}

/// Tells a running server to misbehave; clones tell the same server.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Fault>,
    requests: u64,
}

impl Faults {
    /// The next requests go wrong in this way; those after them as told before or after.
    pub fn next(&self, times: usize, fault: Fault) {
        self.state().pending.extend(vec![fault; times]);
    }

    /// Everything goes right again.
    pub fn clear(&self) {
        self.state().pending.clear();
    }

    /// Requests with good credentials so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that panics runs under the lock, and its data are whole in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and fails it if that is its lot; what else is to go wrong with it is returned.
    fn meet(&self) -> S3Result<Option<Fault>> {
        let mut state = self.state();
        state.requests += 1;
        match state.pending.pop_front() {
            Some(Fault::Status {
                status,
                retry_after,
            }) => Err(failure(status, retry_after)),
            other => Ok(other),
        }
    }
}

/// The error with this status.
fn failure(status: u16, retry_after: Option<Duration>) -> S3Error {
    let mut error = s3_error!(InternalError, "told to fail");
    if let Ok(status) = s3s_status(status) {
        error.set_status_code(status);
    }
    if let Some(after) = retry_after {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(axum::http::header::RETRY_AFTER, after.as_secs().into());
        error.set_headers(headers);
    }
    error
}

fn s3s_status(
    status: u16,
) -> Result<axum::http::StatusCode, axum::http::status::InvalidStatusCode> {
    axum::http::StatusCode::from_u16(status)
}

/// The one pair of keys; an unknown id is refused in the real server's words.
struct OneKey(SimpleAuth);

#[async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.lookup(access_key) {
            Some(secret) => Ok(secret.clone()),
            None => Err(s3_error!(AccessDenied, "Invalid Access Key")),
        }
    }
}

/// The objects, under the prefix.
struct Buckets {
    files: FileSystem,
    folder: PathBuf,
    faults: Faults,
}

/// What a request is about.
enum Target {
    Bucket(String),
    Object { bucket: String, key: String },
}

impl Buckets {
    /// Checks what the real server checks first.
    fn admit<T>(&self, request: &S3Request<T>) -> S3Result<Option<Fault>> {
        let region = request.region.as_ref().map(Region::as_str);
        if region.is_some_and(|region| region != REGION && region != "auto") {
            return Err(s3_error!(SignatureDoesNotMatch));
        }
        self.faults.meet()
    }

    /// The object that a request is about, in a bucket that exists.
    fn object(
        &self,
        first: &str,
        rest: &str,
        no_bucket: S3ErrorCode,
    ) -> S3Result<(String, String)> {
        match target(first, rest)? {
            Target::Object { bucket, key } if self.has(&bucket) => Ok((bucket, key)),
            Target::Object { .. } | Target::Bucket(_) => Err(S3Error::new(no_bucket)),
        }
    }

    fn has(&self, bucket: &str) -> bool {
        self.folder.join(bucket).is_dir()
    }
}

/// Takes the prefix off.
fn target(first: &str, rest: &str) -> S3Result<Target> {
    let rest = match rest.strip_prefix(PREFIX.1) {
        Some(rest) if first == PREFIX.0 => rest,
        _ => return Err(s3_error!(InvalidURI, "storage is under /storage/v1/s3")),
    };
    match rest.split_once('/') {
        None | Some((_, "")) => Ok(Target::Bucket(rest.trim_end_matches('/').to_owned())),
        Some((bucket, key)) if is_valid(key) => Ok(Target::Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }),
        Some(_) => {
            let mut error =
                S3Error::with_message(S3ErrorCode::Custom("InvalidKey".into()), "Invalid key");
            error.set_status_code(axum::http::StatusCode::BAD_REQUEST);
            Err(error)
        }
    }
}

/// The characters that Supabase Storage takes, and no way out of the bucket's folder.
fn is_valid(key: &str) -> bool {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || "_/!-.*'() &$@=;:+,?".contains(c);
    key.chars().all(is_taken) && key.split('/').all(|part| part != "." && part != "..")
}

#[async_trait]
impl S3 for Buckets {
    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let fault = self.admit(&request)?;
        let input = &mut request.input;
        (input.bucket, input.key) =
            self.object(&input.bucket, &input.key, S3ErrorCode::NoSuchKey)?;
        let mut response = self.files.get_object(request).await?;
        let output = &mut response.output;
        match fault {
            Some(Fault::CutAfter(bytes)) => {
                output.body = output.body.take().map(|body| cut(body, bytes));
            }
            Some(Fault::StallAfter(bytes)) => {
                output.body = output.body.take().map(|body| stall(body, bytes));
            }
            Some(Fault::HideLength) => {
                output.content_length = None;
                output.body = output.body.take().map(without_length);
            }
            Some(Fault::Status { .. }) | None => {}
        }
        Ok(response)
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.admit(&request)?;
        let input = &mut request.input;
        // Under the prefix, a HEAD of a bucket looks like one of an object.
        if let Target::Bucket(bucket) = target(&input.bucket, &input.key)? {
            return if self.has(&bucket) {
                Ok(S3Response::new(HeadObjectOutput::default()))
            } else {
                Err(s3_error!(NoSuchBucket))
            };
        }
        (input.bucket, input.key) =
            self.object(&input.bucket, &input.key, S3ErrorCode::NoSuchKey)?;
        self.files.head_object(request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.admit(&request)?;
        let input = &mut request.input;
        (input.bucket, input.key) =
            self.object(&input.bucket, &input.key, S3ErrorCode::NoSuchBucket)?;
        self.files.put_object(request).await
    }

    async fn delete_object(
        &self,
        mut request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.admit(&request)?;
        let input = &mut request.input;
        (input.bucket, input.key) =
            self.object(&input.bucket, &input.key, S3ErrorCode::NoSuchBucket)?;
        self.files.delete_object(request).await
    }
}

/// A body that does not know how long it is.
fn without_length(body: StreamingBlob) -> StreamingBlob {
    StreamingBlob::wrap(body.map(|piece| piece.map_err(io::Error::other)))
}

/// The first bytes of a body, then a broken connection.
fn cut(body: StreamingBlob, bytes: usize) -> StreamingBlob {
    let broken = stream::once(async {
        // A pause, in which what came before is sent: else the whole answer would be lost with it.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    StreamingBlob::wrap(first(body, bytes).chain(broken))
}

/// The first bytes of a body, then silence.
fn stall(body: StreamingBlob, bytes: usize) -> StreamingBlob {
    StreamingBlob::wrap(first(body, bytes).chain(stream::pending()))
}

/// The first bytes of a body.
fn first(
    body: StreamingBlob,
    bytes: usize,
) -> impl stream::Stream<Item = io::Result<bytes::Bytes>> + Send + Sync {
    body.scan(bytes, |left, piece| {
        let piece = piece.map_err(io::Error::other).map(|mut piece| {
            piece.truncate(*left);
            *left -= piece.len();
            piece
        });
        let is_over = piece.as_ref().is_ok_and(bytes::Bytes::is_empty);
        std::future::ready((!is_over).then_some(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_as_the_real_server_takes_them() {
        for key in ["a/b.pdf", "a b+c&d?.txt", "(1)!*'@=;:,$.md", "a/..b"] {
            assert!(is_valid(key), "{key}");
        }
        for key in ["é", "a%20b", "a#b", "~a", "a[1]", "a/../b", "./a", "a\\b"] {
            assert!(!is_valid(key), "{key}");
        }
    }
}
