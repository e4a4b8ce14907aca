//! Whether embedding works.

/// Whether embedding works, for readiness and for `--drain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As far as we know.
    Ready,
    /// The provider fails or does not answer; it is asked again.
    Unavailable,
    /// The provider wants money.
    QuotaSpent,
    /// The provider refuses the key.
    CredentialsRefused,
    /// The provider has no such model or endpoint.
    Misconfigured,
    /// The model's vectors have another length than the one that is set.
    WrongLength {
        /// Theirs.
        found: usize,
    },
    /// `DAILY_SPEND_LIMIT_USD` is reached.
    SpendLimit,
}

impl State {
    /// As reports and readiness name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unavailable => "provider_unavailable",
            Self::QuotaSpent => "provider_quota_spent",
            Self::CredentialsRefused => "provider_credentials_refused",
            Self::Misconfigured | Self::WrongLength { .. } => "provider_misconfigured",
            Self::SpendLimit => "daily_spend_limit_reached",
        }
    }

    /// Whether only a person, or tomorrow, can mend it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Ready | Self::Unavailable => false,
            Self::QuotaSpent
            | Self::CredentialsRefused
            | Self::Misconfigured
            | Self::WrongLength { .. }
            | Self::SpendLimit => true,
        }
    }
}
