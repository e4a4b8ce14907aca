//! PDF: pages of headings, paragraphs, lists, tables and code, as an engine finds them, then judged and mended.
//!
//! [`engine`] is the only place that knows the engine; what follows works on its [`Reading`], whoever made it.

mod engine;
mod headings;
mod hyphens;

use crate::document::{Block, Page};

use self::engine::Reading;
use super::{Settings, error::ExtractError};

/// Fewer characters on a picture of a page are its number or a stamp, not its text.
const MIN_PAGE_CHARS: usize = 20;

/// Reads the pages of a file.
pub(super) fn extract(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let reading = engine::read(bytes, settings)?;
    check(&reading)?;
    let Reading {
        mut pages, outline, ..
    } = reading;
    headings::settle(&mut pages, &outline);
    hyphens::join(&mut pages);
    Ok(pages)
}

/// Whether what was read is the text of the document rather than remains of it.
fn check(reading: &Reading) -> Result<(), ExtractError> {
    let pages = reading.pages.len();
    let chars: usize = reading.pages.iter().map(page_chars).sum();
    let pictures = reading.pictures.iter().filter(|picture| **picture).count();
    let scanned = || ExtractError::Scanned {
        pages: u32::try_from(pictures).unwrap_or(u32::MAX),
    };
    if chars == 0 && pictures > 0 {
        return Err(scanned());
    }
    if chars == 0 && reading.failed_pages > 0 {
        return Err(ExtractError::corrupt("its pages cannot be read"));
    }
    if chars == 0 || is_garbled(reading, chars) {
        return Err(ExtractError::NoText);
    }
    if pictures * 10 >= pages * 9 && chars < pages * MIN_PAGE_CHARS {
        return Err(scanned());
    }
    Ok(())
}

fn page_chars(page: &Page) -> usize {
    page.blocks.iter().map(visible).sum()
}

fn visible(block: &Block) -> usize {
    block.text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Whether fonts that do not say which letters they draw left little of the text, or nonsense in its place.
fn is_garbled(reading: &Reading, chars: usize) -> bool {
    // A run that could not be read has one letter at least.
    let lost = reading.unreadable_runs > chars.saturating_mul(4);
    lost || reading.nonsense.saturating_mul(10) > chars.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use crate::document::BlockKind;

    use super::*;

    fn reading(texts: &[&str], pictures: usize) -> Reading {
        let page = |text: &&str| Page {
            number: Some(1),
            blocks: vec![Block {
                kind: BlockKind::Paragraph,
                text: (*text).to_owned(),
            }],
        };
        Reading {
            pages: texts.iter().map(page).collect(),
            pictures: (0..texts.len()).map(|place| place < pictures).collect(),
            ..Reading::default()
        }
    }

    const TEXT: &str = "A page of text that somebody can read.";

    #[test]
    fn pictures_of_pages_are_scanned_even_with_page_numbers_on_them() {
        assert_eq!(
            check(&reading(&["", ""], 1)),
            Err(ExtractError::Scanned { pages: 1 })
        );
        assert_eq!(
            check(&reading(&["1", "2"], 2)),
            Err(ExtractError::Scanned { pages: 2 })
        );
        assert_eq!(check(&reading(&[TEXT, TEXT], 2)), Ok(()));
        assert_eq!(check(&reading(&["1", TEXT], 1)), Ok(()));
    }

    #[test]
    fn empty_and_unreadable_pages_have_no_text() {
        assert_eq!(check(&reading(&[""], 0)), Err(ExtractError::NoText));
        let mut unreadable = reading(&[TEXT], 0);
        assert_eq!(check(&unreadable), Ok(()));
        unreadable.unreadable_runs = 1000;
        assert_eq!(check(&unreadable), Err(ExtractError::NoText));
        let mut nonsense = reading(&[TEXT], 0);
        nonsense.nonsense = 20;
        assert_eq!(check(&nonsense), Err(ExtractError::NoText));
    }

    #[test]
    fn pages_that_all_fail_make_a_file_corrupt() {
        let mut failed = reading(&[""], 0);
        failed.failed_pages = 1;
        assert!(matches!(check(&failed), Err(ExtractError::Corrupt { .. })));
    }

    /// A file of pages with these content streams.
    fn pdf(contents: &[&str], trailer: &str) -> Vec<u8> {
        let kids: Vec<String> = (0..contents.len())
            .map(|page| format!("{} 0 R", 4 + page * 2))
            .collect();
        let mut objects = vec![
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            format!(
                "<< /Type /Pages /Kids [{}] /Count {} >>",
                kids.join(" "),
                kids.len()
            ),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
                .to_owned(),
        ];
        for (page, content) in contents.iter().enumerate() {
            objects.push(format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> /Contents {} 0 R >>",
                5 + page * 2
            ));
            objects.push(format!(
                "<< /Length {} >>\nstream\n{content}\nendstream",
                content.len()
            ));
        }
        let mut file = "%PDF-1.4\n".to_owned();
        let mut xref = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
        for (place, object) in objects.iter().enumerate() {
            xref = format!("{xref}{:010} 00000 n \n", file.len());
            file = format!("{file}{} 0 obj\n{object}\nendobj\n", place + 1);
        }
        let start = file.len();
        let size = objects.len() + 1;
        file = format!(
            "{file}{xref}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
        );
        file.into_bytes()
    }

    fn settings() -> Settings {
        Settings {
            types: Vec::new(),
            max_text_bytes: 1 << 20,
            max_pages: 2,
        }
    }

    const IMAGE: &str = "q 600 0 0 800 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q";

    #[test]
    fn pages_keep_their_numbers_and_their_text() {
        let file = pdf(
            &[
                "BT /F 12 Tf 50 700 Td (The first page speaks of tea.) Tj ET",
                "BT /F 12 Tf 50 700 Td (The second page speaks of bread.) Tj ET",
            ],
            "",
        );
        let pages = extract(&file, &settings()).expect("readable");
        let texts: Vec<(Option<u32>, &str)> = pages
            .iter()
            .flat_map(|page| {
                page.blocks
                    .iter()
                    .map(|block| (page.number, block.text.as_str()))
            })
            .collect();
        assert_eq!(
            texts,
            [
                (Some(1), "The first page speaks of tea."),
                (Some(2), "The second page speaks of bread.")
            ]
        );
    }

    #[test]
    fn a_file_says_why_it_has_no_text() {
        let read = |file: &[u8]| extract(file, &settings()).expect_err("no text");
        assert_eq!(
            read(&pdf(&[IMAGE, IMAGE], "")),
            ExtractError::Scanned { pages: 2 }
        );
        assert_eq!(read(&pdf(&[""], "")), ExtractError::NoText);
        assert_eq!(
            read(&pdf(&["", "", ""], "")),
            ExtractError::TooLarge {
                limit: super::super::Limit::Pages(2)
            }
        );
        let locked = "/Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P -4 >> /ID [(a) (a)]";
        assert_eq!(read(&pdf(&["BT ET"], locked)), ExtractError::Encrypted);
        let cut = &pdf(&[IMAGE], "")[..40];
        assert!(matches!(read(cut), ExtractError::Corrupt { .. }));
    }
}
