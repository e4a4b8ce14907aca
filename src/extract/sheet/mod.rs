//! Workbooks: a page for each visible sheet, its name as a heading and its rows as they are shown.
//!
//! Values come with their decimals, percents and currencies, dates in ISO 8601, formulas as their last results. Empty rows
//! and columns and the covered cells of merged ones are left out; comments, text boxes, titles of charts, headers and
//! footers follow the rows. Hidden sheets are left out; hidden rows are read, for a filter is often what hides them.

mod around;
mod biff;
mod cells;
mod margin;
mod number;
mod ods;
mod reference;
mod strings;
mod workbook;
mod xls;
mod xlsb;
mod xlsx;

use crate::document::Page;

use super::{
    Settings,
    blocks::Blocks,
    error::{ExtractError, Limit},
    package::Package,
};

/// Reads a workbook of Excel 2007 and later, in XML or binary.
pub(super) fn xlsx(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = Package::open(bytes)?;
    let main = package.main_part("xl/workbook.xml")?;
    let mut book = Book::new(settings);
    if main.to_lowercase().ends_with(".bin") {
        workbook::read::<xlsb::Binary>(&mut package, &main, &mut book)?;
    } else {
        workbook::read::<xlsx::Xml>(&mut package, &main, &mut book)?;
    }
    Ok(book.pages)
}

/// Reads a workbook of Excel 5 to 2003.
pub(super) fn xls(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut book = Book::new(settings);
    xls::read(bytes, &mut book)?;
    Ok(book.pages)
}

/// Reads sheets of LibreOffice and others.
pub(super) fn ods(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut book = Book::new(settings);
    ods::read(bytes, &mut book)?;
    Ok(book.pages)
}

/// The pages of a workbook; sheets have no numbers that a reader would know.
struct Book {
    pages: Vec<Page>,
    blocks: Blocks,
    max_text_bytes: u64,
    max_pages: u32,
}

impl Book {
    const fn new(settings: &Settings) -> Self {
        Self {
            pages: Vec::new(),
            blocks: Blocks::new(settings.max_text_bytes),
            max_text_bytes: settings.max_text_bytes,
            max_pages: settings.max_pages,
        }
    }

    /// A new sheet's cells.
    fn cells(&self) -> cells::Cells {
        cells::Cells::new(self.max_text_bytes)
    }

    /// Adds a sheet; one that holds nothing makes no page.
    fn add(
        &mut self,
        name: &str,
        cells: cells::Cells,
        notes: &[cells::Note],
    ) -> Result<(), ExtractError> {
        cells::write_sheet(name, cells, notes, &mut self.blocks)?;
        let blocks = self.blocks.take();
        if blocks.is_empty() {
            return Ok(());
        }
        if self.pages.len() as u64 >= u64::from(self.max_pages) {
            return Err(ExtractError::TooLarge {
                limit: Limit::Pages(self.max_pages),
            });
        }
        self.pages.push(Page {
            number: None,
            blocks,
        });
        Ok(())
    }
}
