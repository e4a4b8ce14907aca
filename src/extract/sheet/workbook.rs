//! The parts of a workbook of Excel 2007 and later, which are the same in XML and in binary.

use super::{
    super::{
        error::ExtractError,
        package::{Package, readable},
    },
    Book,
    cells::{Cells, Note},
    number::Formats,
    strings::Strings,
};

/// A way of writing the parts.
pub(super) trait Writing {
    /// What the main part says.
    fn workbook(part: Vec<u8>) -> Result<Workbook, ExtractError>;

    /// The texts that cells share.
    fn strings(part: Vec<u8>) -> Result<Strings, ExtractError>;

    /// The number format of each style that cells refer to.
    fn formats(part: Vec<u8>) -> Result<Formats, ExtractError>;

    /// Adds the cells of a sheet, and gives its headers and footers.
    fn sheet(
        part: Vec<u8>,
        strings: &Strings,
        formats: &Formats,
        cells: &mut Cells,
    ) -> Result<Vec<Note>, ExtractError>;

    /// Comments, text boxes and titles of charts; the sheet's tables tell where its headers are.
    fn said_around(
        package: &mut Package<'_>,
        sheet: &str,
        cells: &mut Cells,
    ) -> Result<Vec<Note>, ExtractError>;
}

/// What the main part says.
#[derive(Default)]
pub(super) struct Workbook {
    /// The visible ones.
    pub(super) sheets: Vec<Sheet>,
    pub(super) from_1904: bool,
}

pub(super) struct Sheet {
    pub(super) name: String,
    /// Of its relationship.
    pub(super) id: String,
}

/// Adds the visible sheets, as many as can be read.
pub(super) fn read<W: Writing>(
    package: &mut Package<'_>,
    main: &str,
    book: &mut Book,
) -> Result<(), ExtractError> {
    let part = package
        .bytes(main)?
        .ok_or_else(|| ExtractError::corrupt("its workbook is missing"))?;
    let workbook = W::workbook(part)?;
    let related = package.relationships(main)?;
    let mut part = |kind: &str| match related.iter().find(|related| related.kind == kind) {
        Some(related) => package.bytes(&related.target),
        None => Ok(None),
    };
    // Without these most cells would be empty.
    let strings = W::strings(part("sharedStrings")?.unwrap_or_default())?;
    let styles = readable(part("styles"))?.unwrap_or_default();
    let mut formats = readable(W::formats(styles))?;
    formats.from_1904 = workbook.from_1904;
    let mut any = workbook.sheets.is_empty();
    for sheet in &workbook.sheets {
        let Some(place) = related.iter().find(|related| related.id == sheet.id) else {
            continue;
        };
        let Some(part) = readable(package.bytes(&place.target))? else {
            continue;
        };
        let mut cells = book.cells();
        let margins = W::sheet(part, &strings, &formats, &mut cells);
        let Some(margins) = readable(margins.map(Some))? else {
            continue;
        };
        any = true;
        let mut notes = W::said_around(package, &place.target, &mut cells)?;
        notes.extend(margins);
        book.add(&sheet.name, cells, &notes)?;
    }
    if !any {
        return Err(ExtractError::corrupt("none of its sheets can be read"));
    }
    Ok(())
}
