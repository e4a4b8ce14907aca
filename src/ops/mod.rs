//! What operators do: run, drain, add files, look, search, check.

#[cfg(feature = "embedded")]
pub mod demo;
pub mod doctor;
pub mod http;
pub mod local;
pub mod progress;
pub mod report;
pub mod run;
pub mod search;
pub mod status;
pub mod upload;

use std::borrow::Cow;

use crate::{db::Db, document::UserId, embedding::State, objects::CheckError, telemetry::Chain};

/// What was asked for makes no sense: the command line is at fault, and trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// What to do about an embedding provider that does not do as asked.
pub(crate) fn provider_advice(state: State) -> Cow<'static, str> {
    let advice = match state {
        State::WrongLength { found } => {
            return format!(
                "the embedding provider's vectors have {found} numbers, not as many as the database's; check EMBEDDING_MODEL and EMBEDDING_DIMENSIONS"
            )
            .into();
        }
        State::CredentialsRefused => "the embedding provider refuses OPENAI_API_KEY; check it",
        State::QuotaSpent => {
            "the quota at the embedding provider is spent; raise it there, then run this again"
        }
        State::Misconfigured => {
            "the embedding provider has no such model or endpoint; check OPENAI_BASE_URL and EMBEDDING_MODEL"
        }
        State::SpendLimit => {
            "DAILY_SPEND_LIMIT_USD is reached; raise it, or run this again tomorrow (UTC)"
        }
        State::Ready | State::Unavailable => {
            "the embedding provider does not do as asked; run this again"
        }
    };
    advice.into()
}

/// What is wrong with storage, and what to do about it.
pub(crate) fn storage_problem(error: &CheckError) -> String {
    match error {
        CheckError::Other(_) => format!("{}; {}", Chain(error), error.advice()),
        // The causes only repeat it, in the SDK's own words.
        CheckError::AccessKeyId(_) | CheckError::SecretOrRegion(_) | CheckError::NoBucket => {
            format!("{error}; {}", error.advice())
        }
    }
}

/// Makes sure that there is such a user, before anything is done in its name.
///
/// # Errors
///
/// [`WrongUsage`] if there is none; a database that does not answer.
pub(crate) async fn ensure_user(db: &Db, user: UserId) -> anyhow::Result<()> {
    if db.has_user(user).await? {
        return Ok(());
    }
    Err(WrongUsage(format!(
        "--user {user}: there is no such row in user_profiles; sign the user up first, or check the id"
    ))
    .into())
}

/// `1 file`, `2 files`.
pub(crate) fn files(count: impl Into<i128>) -> String {
    let count = count.into();
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}
