//! OpenDocument sheets.

use super::{super::error::ExtractError, Pages};

pub(super) fn read(_bytes: &[u8], _pages: &mut Pages) -> Result<(), ExtractError> {
    Ok(())
}
