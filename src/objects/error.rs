//! Why storage did not do as asked, and what becomes of the file.

use std::{error::Error as StdError, time::Duration};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::failure::{Code, Verdict};

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

/// Tells failures apart by their HTTP status first: servers agree on it more than on codes.
pub(super) fn classify<E>(error: SdkError<E>) -> FetchError
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
