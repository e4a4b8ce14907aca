//! The parts of a workbook of Excel 2007 and later, which are the same in XML and in binary.

use super::{
    super::{
        error::ExtractError,
        package::{Package, readable, resolve},
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

    /// Adds the cells of a sheet, and its headers and footers; a damaged one is read as far as it goes.
    fn sheet(
        part: Vec<u8>,
        strings: &Strings,
        formats: &Formats,
        cells: &mut Cells,
        margins: &mut Vec<Note>,
    ) -> Result<(), ExtractError>;

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
    let strings = part("sharedStrings")?;
    let styles = readable(part("styles"))?.unwrap_or_default();
    let strings = match strings {
        Some(strings) => Some(strings),
        None => package.bytes(&usual_strings(main))?,
    };
    // Without these most cells would be empty.
    let strings = W::strings(strings.unwrap_or_default())?;
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
        let (mut cells, mut margins) = (book.cells(), Vec::new());
        let read = W::sheet(part, &strings, &formats, &mut cells, &mut margins);
        let whole = readable(read.map(|()| true))?;
        // What stands before a cut is as its author left it; a sheet that lost texts has holes anywhere.
        let lost = strings.take_lost();
        if lost && strings.is_empty() {
            return Err(ExtractError::corrupt("the texts of its cells are missing"));
        }
        if lost || !whole && cells.is_empty() {
            continue;
        }
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

/// Where every program puts the texts that cells share, for when the list of parts is damaged.
fn usual_strings(main: &str) -> String {
    let (folder, file) = main.rsplit_once('/').unwrap_or(("", main));
    let extension = file.rsplit('.').next().unwrap_or_default();
    resolve(folder, &format!("sharedStrings.{extension}"))
}
