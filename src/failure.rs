//! What becomes of a file after a failure, and the codes by which programs know it.

use std::{fmt, time::Duration};

/// A `files.processing_error_code`; the names are fixed by what other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// No extractor for this type of file.
    UnsupportedType,
    /// `file_type_configs.enabled` is false for this type.
    TypeDisabled,
    /// Larger than `file_type_configs.max_file_size`, or expands beyond the extractor's limits.
    TooLarge,
    /// The bucket has no such object.
    ObjectMissing,
    /// The object does not belong to the row's user.
    PathNotOwned,
    /// Needs a password.
    Encrypted,
    /// The bytes are not a whole file of their type.
    Corrupt,
    /// The pages are pictures.
    Scanned,
    /// Nothing readable in it.
    NoText,
    /// Extraction ran longer than `EXTRACT_TIMEOUT`.
    ExtractTimeout,
    /// Extraction needed more than `EXTRACT_MEMORY_BYTES`.
    ExtractMemory,
    /// The extractor died.
    ExtractCrash,
    /// The provider refuses this text.
    EmbeddingRejected,
    /// The user's own quota or the day's spend limit is used up.
    QuotaExceeded,
    /// Too many failures or lost leases.
    AttemptsExhausted,
    /// Storage does not answer.
    StorageUnavailable,
    /// The embedding provider does not answer.
    ProviderUnavailable,
}

impl Code {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 17] = [
        Self::UnsupportedType,
        Self::TypeDisabled,
        Self::TooLarge,
        Self::ObjectMissing,
        Self::PathNotOwned,
        Self::Encrypted,
        Self::Corrupt,
        Self::Scanned,
        Self::NoText,
        Self::ExtractTimeout,
        Self::ExtractMemory,
        Self::ExtractCrash,
        Self::EmbeddingRejected,
        Self::QuotaExceeded,
        Self::AttemptsExhausted,
        Self::StorageUnavailable,
        Self::ProviderUnavailable,
    ];

    /// The name in the database, in logs and in `--json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedType => "unsupported_type",
            Self::TypeDisabled => "type_disabled",
            Self::TooLarge => "too_large",
            Self::ObjectMissing => "object_missing",
            Self::PathNotOwned => "path_not_owned",
            Self::Encrypted => "encrypted",
            Self::Corrupt => "corrupt",
            Self::Scanned => "scanned",
            Self::NoText => "no_text",
            Self::ExtractTimeout => "extract_timeout",
            Self::ExtractMemory => "extract_memory",
            Self::ExtractCrash => "extract_crash",
            Self::EmbeddingRejected => "embedding_rejected",
            Self::QuotaExceeded => "quota_exceeded",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::StorageUnavailable => "storage_unavailable",
            Self::ProviderUnavailable => "provider_unavailable",
        }
    }

    /// The code with this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a file after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file may be at fault: try again later and charge it one attempt.
    Retry {
        /// Shown while it waits, and final when the attempts are used up; without one that is `attempts_exhausted`.
        code: Option<Code>,
    },
    /// Something else is at fault (an outage, a limit, a shutdown): try again later, charge nothing.
    Wait {
        /// Shown while it waits; `None` leaves the last one.
        code: Option<Code>,
        /// The far side's own wish, if it named one.
        after: Option<Duration>,
    },
    /// The file or its settings are at fault; a person must look.
    Reject {
        /// What is wrong with it.
        code: Code,
    },
    /// The lease is someone else's now: write nothing.
    Abandon,
}
