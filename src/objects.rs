//! S3: the only home of the storage client.
//!
//! An object is hashed while it streams in, never larger than the caller allows, and never silently cut short. The
//! SDK retries a request that got no answer, few times; a body that breaks off afterwards is left to the lease.

use std::{error::Error as StdError, fmt, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::failure::{Code, Verdict};

/// Loopback and the next region alike answer within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Storage looks the object up before it answers; its own limit on that is below this.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Silence in the middle of an object; the default of AWS's own protection.
const STALL_AFTER: Duration = Duration::from_secs(20);
/// 50 MB, Supabase's usual limit, at 100 KB/s.
const FETCH_WITHIN: Duration = Duration::from_secs(500);
/// Of one request, the first included: the lease owns every later one.
const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// S3's limit on a key.
const LONGEST_KEY_BYTES: usize = 1024;

/// How to reach a bucket.
#[derive(Clone)]
pub struct Settings {
    /// `https://<ref>.supabase.co/storage/v1/s3` or another S3-compatible one.
    pub endpoint: String,
    /// The server's own, else it refuses the signature.
    pub region: String,
    /// Half of the credentials.
    pub access_key_id: String,
    /// The other half.
    pub secret_access_key: SecretString,
    /// Supabase: a user's or the service's token, where the keys are the project's reference and its public key.
    pub session_token: Option<SecretString>,
    /// Where `files.storage_path` is a key.
    pub bucket: String,
    /// How long a connection may take.
    pub connect_within: Duration,
    /// How long the beginning of an answer may take.
    pub answer_within: Duration,
    /// How long nothing may come in the middle of an object.
    pub stall_after: Duration,
    /// How long a whole object may take.
    pub fetch_within: Duration,
}

impl Settings {
    /// Settings with the usual patience and without a session token.
    #[must_use]
    pub fn new(
        endpoint: String,
        region: String,
        access_key_id: String,
        secret_access_key: SecretString,
        bucket: String,
    ) -> Self {
        Self {
            endpoint,
            region,
            access_key_id,
            secret_access_key,
            session_token: None,
            bucket,
            connect_within: CONNECT_WITHIN,
            answer_within: ANSWER_WITHIN,
            stall_after: STALL_AFTER,
            fetch_within: FETCH_WITHIN,
        }
    }
}

/// Without the credentials: the id of a key is half of them, and on Supabase names the project.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// A whole object.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// What is in it.
    pub bytes: Bytes,
    /// SHA-256 of `bytes`.
    pub sha256: [u8; 32],
    /// Changes when the object does; not a hash that can be relied on.
    pub etag: Option<String>,
}

/// Without the content, which has no place in a log.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("bytes", &self.bytes.len())
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

/// Why storage did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no such object.
    #[error("the object is missing")]
    Missing,
    /// It is larger than the caller allows.
    #[error("the object has {bytes} bytes or more, and {max} are allowed")]
    TooLarge {
        /// What was promised, or what had come when it was too much.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Storage cannot have an object of this name.
    #[error("no object can have this key")]
    InvalidKey,
    /// We may not read this object, though we may read others.
    #[error("storage refuses the object")]
    Denied(#[source] Cause),
    /// The credentials are wrong or there is no such bucket: nothing can be read until a person mends it.
    #[error("storage refuses us")]
    Refused(#[source] Box<CheckError>),
    /// Too many requests.
    #[error("storage asks for fewer requests")]
    Throttled {
        /// When to ask again, if it said so.
        after: Option<Duration>,
    },
    /// The object came in part.
    #[error("the object broke off after {received} bytes")]
    Truncated {
        /// What came of it.
        received: u64,
        /// How long it should have been, where storage said so.
        promised: Option<u64>,
        /// What broke off, where it was not a quiet end.
        #[source]
        cause: Option<Cause>,
    },
    /// Nothing more came of the object, or it took too long.
    #[error("the object stalled")]
    Stalled,
    /// Storage does not answer, or answers with an error of its own.
    #[error("storage is not available")]
    Unavailable {
        /// The HTTP status, where there was an answer.
        status: Option<u16>,
        /// What happened.
        #[source]
        cause: Cause,
    },
}

/// The error below ours; for logs, since it may name the endpoint.
pub type Cause = Box<dyn StdError + Send + Sync>;

impl FetchError {
    /// What becomes of the file.
    ///
    /// A missing object may yet be uploaded; how long to wait for it is the caller's affair. What is wrong with
    /// storage is never charged to a file; an object that alone is refused is.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let wait = |code, after| Verdict::Wait {
            code: Some(code),
            after,
        };
        match self {
            Self::Missing => wait(Code::ObjectMissing, None),
            Self::TooLarge { .. } => Verdict::Reject {
                code: Code::TooLarge,
            },
            Self::InvalidKey => Verdict::Reject {
                code: Code::ObjectMissing,
            },
            Self::Throttled { after } => wait(Code::StorageUnavailable, *after),
            // A whole body of another length than promised is this object's own fault, as is a refusal of it alone or
            // of the request for it: charged, so that it ends.
            Self::Denied(_)
            | Self::Truncated { cause: None, .. }
            | Self::Unavailable {
                status: Some(400..=499),
                ..
            } => Verdict::Retry {
                code: Some(Code::StorageUnavailable),
            },
            Self::Refused(_)
            | Self::Truncated { cause: Some(_), .. }
            | Self::Stalled
            | Self::Unavailable { .. } => wait(Code::StorageUnavailable, None),
        }
    }

    /// What the file's owner may read: nothing about where and how we store.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Missing => "the uploaded file is not in storage".into(),
            Self::TooLarge { max, .. } => {
                format!("the file is larger than the {max} bytes that its type allows")
            }
            Self::InvalidKey => "the storage path is not one that storage can hold".into(),
            Self::Denied(_)
            | Self::Refused(_)
            | Self::Throttled { .. }
            | Self::Truncated { .. }
            | Self::Stalled
            | Self::Unavailable { .. } => {
                "storage could not deliver the file; it will be tried again".into()
            }
        }
    }
}

/// What is wrong with the settings, for `doctor`.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The id of the key is unknown.
    #[error("storage does not know this access key id, or it may not read the bucket")]
    AccessKeyId(#[source] Cause),
    /// The signature does not fit.
    #[error("the secret access key is wrong, or the region is not the server's")]
    SecretOrRegion(#[source] Cause),
    /// There is no such bucket.
    #[error("there is no such bucket")]
    NoBucket,
    /// Neither of these.
    #[error("storage could not be checked")]
    Other(#[source] FetchError),
}

impl CheckError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::AccessKeyId(_) => {
                "check STORAGE_S3_ACCESS_KEY_ID (or AWS_ACCESS_KEY_ID, or the project ref in SUPABASE_URL)"
            }
            Self::SecretOrRegion(_) => {
                "check STORAGE_S3_SECRET_ACCESS_KEY, STORAGE_S3_SESSION_TOKEN and STORAGE_S3_REGION"
            }
            Self::NoBucket => {
                "check STORAGE_BUCKET, or make the bucket: `orion-ingest migrate` makes it on Supabase"
            }
            Self::Other(_) => {
                "check STORAGE_S3_ENDPOINT or SUPABASE_URL, and that the server is up"
            }
        }
    }
}

/// A bucket; clones share its connections.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    bucket: String,
    stall_after: Duration,
    fetch_within: Duration,
}

impl Objects {
    /// Takes the settings as they are; nothing is sent yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            client: Client::from_conf(sdk_config(&settings)),
            bucket: settings.bucket,
            stall_after: settings.stall_after,
            fetch_within: settings.fetch_within,
        }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Reads a whole object of at most `max_bytes`, which is also the most memory it takes.
    ///
    /// # Errors
    ///
    /// Why it cannot be read; see [`FetchError::verdict`].
    pub async fn fetch(&self, key: &str, max_bytes: u64) -> Result<Object, FetchError> {
        let fetched = timeout(self.fetch_within, self.fetch_unhurried(key, max_bytes))
            .await
            .unwrap_or(Err(FetchError::Stalled));
        match fetched {
            Err(error @ (FetchError::Missing | FetchError::Denied(_))) => {
                Err(self.blame(error).await)
            }
            fetched => fetched,
        }
    }

    /// A bucket that is not there answers like an object that is not, and wrong credentials like a forbidden object:
    /// one bad setting must not fail every file.
    async fn blame(&self, error: FetchError) -> FetchError {
        match self.check().await {
            Ok(()) => error,
            Err(CheckError::Other(other)) => other,
            Err(
                refused @ (CheckError::AccessKeyId(_)
                | CheckError::SecretOrRegion(_)
                | CheckError::NoBucket),
            ) => FetchError::Refused(Box::new(refused)),
        }
    }

    async fn fetch_unhurried(&self, key: &str, max: u64) -> Result<Object, FetchError> {
        check_key(key)?;
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let answer = request.send().await.map_err(classify)?;
        let promised = answer.content_length().and_then(|n| u64::try_from(n).ok());
        // Before the first byte of the body, which is dropped with the answer.
        if let Some(bytes) = promised.filter(|bytes| *bytes > max) {
            return Err(FetchError::TooLarge { bytes, max });
        }
        let etag = answer.e_tag().map(str::to_owned);
        let (bytes, sha256) = self.read(answer.body, promised, max).await?;
        Ok(Object {
            bytes,
            sha256,
            etag,
        })
    }

    /// Reads a body to its end and hashes it on the way.
    async fn read(
        &self,
        mut body: ByteStream,
        promised: Option<u64>,
        max: u64,
    ) -> Result<(Bytes, [u8; 32]), FetchError> {
        let capacity = usize::try_from(promised.unwrap_or(0)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(capacity);
        let mut hash = Sha256::new();
        let broke_off = |received, cause| FetchError::Truncated {
            received,
            promised,
            cause,
        };
        loop {
            let next = timeout(self.stall_after, body.next()).await;
            let piece = match next.map_err(|_| FetchError::Stalled)? {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    return Err(broke_off(bytes.len() as u64, Some(error.into())));
                }
                None => break,
            };
            let so_far = bytes.len() as u64 + piece.len() as u64;
            if so_far > max {
                return Err(FetchError::TooLarge { bytes: so_far, max });
            }
            hash.update(&piece);
            bytes.extend_from_slice(&piece);
        }
        if promised.is_some_and(|promised| promised != bytes.len() as u64) {
            return Err(broke_off(bytes.len() as u64, None));
        }
        Ok((bytes.into(), hash.finalize().into()))
    }

    /// Writes an object, over an older one of the same key.
    ///
    /// # Errors
    ///
    /// Why it cannot be written.
    pub async fn put(&self, key: &str, bytes: Bytes, mime_type: &str) -> Result<(), FetchError> {
        check_key(key)?;
        let request = self.client.put_object().bucket(&self.bucket).key(key);
        let request = request.content_type(mime_type).body(bytes.into());
        request.send().await.map(drop).map_err(classify)
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// Why it cannot be deleted; an object that is gone already is no error.
    pub async fn delete(&self, key: &str) -> Result<(), FetchError> {
        check_key(key)?;
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        request.send().await.map(drop).map_err(classify)
    }

    /// Whether storage answers, knows our credentials, and has the bucket.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub async fn check(&self) -> Result<(), CheckError> {
        // A HEAD's refusal has no code, so an object that is surely missing is asked for first.
        let key = format!("orion-ingest-check-{}", uuid::Uuid::new_v4());
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        match request.send().await {
            Ok(_) => {}
            Err(error) => {
                let code = error.code().unwrap_or_default().to_owned();
                match (classify(error), code.as_str()) {
                    (FetchError::Missing, _) => {}
                    (FetchError::Denied(cause), "SignatureDoesNotMatch") => {
                        return Err(CheckError::SecretOrRegion(cause));
                    }
                    (FetchError::Denied(cause), _) => return Err(CheckError::AccessKeyId(cause)),
                    (other, _) => return Err(CheckError::Other(other)),
                }
            }
        }
        let request = self.client.head_bucket().bucket(&self.bucket);
        match request.send().await.map_err(classify) {
            Ok(_) => Ok(()),
            Err(FetchError::Missing) => Err(CheckError::NoBucket),
            Err(other) => Err(CheckError::Other(other)),
        }
    }
}

fn sdk_config(settings: &Settings) -> aws_sdk_s3::Config {
    let token = settings.session_token.as_ref();
    let credentials = Credentials::new(
        &settings.access_key_id,
        settings.secret_access_key.expose_secret(),
        token.map(|token| token.expose_secret().to_owned()),
        None,
        "settings",
    );
    let patience = TimeoutConfig::builder()
        .connect_timeout(settings.connect_within)
        .read_timeout(settings.answer_within)
        .operation_timeout(settings.answer_within * ATTEMPTS)
        .build();
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new(settings.region.clone()))
        // Without the slash the SDK asks for …/s3documents/… (awslabs/aws-sdk-rust#1387).
        .endpoint_url(format!("{}/", settings.endpoint.trim_end_matches('/')))
        .force_path_style(true)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(LONGEST_BACKOFF),
        )
        .timeout_config(patience)
        // Ours is per piece and the same for every server; theirs counts our own pauses too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Not every S3 server knows the newer checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build()
}

/// Refuses what no server should be asked for: it might take `a/../b` for `b`, which is somebody else's.
fn check_key(key: &str) -> Result<(), FetchError> {
    let is_path = |part: &str| part == "." || part == "..";
    let is_bad = key.is_empty()
        || key.len() > LONGEST_KEY_BYTES
        || key.starts_with('/')
        || key.split('/').any(is_path);
    if is_bad {
        return Err(FetchError::InvalidKey);
    }
    Ok(())
}

/// Tells failures apart by their HTTP status first: servers agree on it more than on codes.
fn classify<E>(error: SdkError<E>) -> FetchError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let answer = error.raw_response();
    let status = answer.map(|answer| answer.status().as_u16());
    let after = answer
        .and_then(|answer| answer.headers().get("retry-after"))
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let code = error.code().unwrap_or_default();
    match status {
        Some(404) => FetchError::Missing,
        Some(401 | 403) => FetchError::Denied(error.into()),
        Some(400) if ["InvalidKey", "KeyTooLongError"].contains(&code) => FetchError::InvalidKey,
        Some(429) => FetchError::Throttled { after },
        Some(503) if after.is_some() || code == "SlowDown" => FetchError::Throttled { after },
        status => FetchError::Unavailable {
            status,
            cause: error.into(),
        },
    }
}
