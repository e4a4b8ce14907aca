//! How to reach a bucket, and the patience with it, as the SDK takes them.

use std::{fmt, time::Duration};

use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use secrecy::{ExposeSecret as _, SecretString};

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

pub(super) fn sdk_config(settings: &Settings) -> aws_sdk_s3::Config {
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
