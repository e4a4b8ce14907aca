//! E-mails.

use super::{blocks::Blocks, error::ExtractError};

/// Adds what a message says.
pub(super) fn extract(_bytes: &[u8], _blocks: &mut Blocks) -> Result<(), ExtractError> {
    Err(ExtractError::unsupported("message/rfc822"))
}
