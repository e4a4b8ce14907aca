//! S3: the only home of the storage client.
//!
//! An object is hashed while it streams in, never larger than the caller allows, and never silently cut short. The
//! SDK retries a request that got no answer, few times; a body that breaks off afterwards is left to the lease.

mod error;
mod settings;

use std::{fmt, time::Duration};

use aws_sdk_s3::{Client, error::ProvideErrorMetadata, primitives::ByteStream};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use self::{error::classify, settings::sdk_config};
pub use self::{
    error::{Cause, CheckError, FetchError},
    settings::Settings,
};

/// S3's limit on a key.
const LONGEST_KEY_BYTES: usize = 1024;

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
