//! PowerPoint presentations.

use crate::document::Page;

use super::{Settings, error::ExtractError};

/// Reads a file.
pub(super) fn extract(_bytes: &[u8], _settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    Err(ExtractError::unsupported(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ))
}
