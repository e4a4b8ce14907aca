//! Binary.

use super::{
    super::{error::ExtractError, package::Package},
    Pages,
};

pub(super) fn read(
    _package: &mut Package<'_>,
    _main: &str,
    _pages: &mut Pages,
) -> Result<(), ExtractError> {
    Ok(())
}
