//! PDF: pages of headings, paragraphs, lists, tables and code, as two engines find them, then judged and mended.
//!
//! [`engine`] and [`second`] are the only places that know an engine. The first reads every page and knows the layout
//! best; [`doubt`] says where the second is worth its time.

mod doubt;
mod engine;
mod headings;
mod hyphens;
mod lines;
mod running;
mod second;

use std::collections::HashMap;

use serde_json::Value;

use crate::document::{BlockKind, Page};

use self::{
    doubt::Doubt,
    engine::{Reading, Sheet, nonsense, visible},
    second::Second,
};
use super::{
    Settings,
    blocks::Blocks,
    detect::contains,
    error::{ExtractError, Limit},
};

/// Fewer characters on a picture of a page are its number or a stamp, not its text.
const MIN_PAGE_CHARS: usize = 20;

/// Reads the pages of a file. `options` may say `{"comments": true}`: then the notes that show when somebody points at
/// them are read too, after their page.
pub(super) fn extract(
    bytes: &[u8],
    settings: &Settings,
    options: &Value,
) -> Result<Vec<Page>, ExtractError> {
    let comments = options.get("comments").and_then(Value::as_bool);
    let comments = comments.unwrap_or(false);
    let mut reading = read(bytes, comments, settings, engine::MAX_WALKED)?;
    reading.sheets.iter_mut().for_each(doubt::clear);
    check(&reading)?;
    let outline = std::mem::take(&mut reading.outline);
    let mut pages: Vec<Page> = reading.sheets.into_iter().map(|sheet| sheet.page).collect();
    running::remove(&mut pages);
    headings::settle(&mut pages, &outline);
    hyphens::join(&mut pages);
    Ok(pages)
}

/// What the first engine reads, with the second one's pages in place of doubtful ones.
fn read(
    bytes: &[u8],
    comments: bool,
    settings: &Settings,
    max_walked: u32,
) -> Result<Reading, ExtractError> {
    let mut reading = match engine::read(bytes, settings, max_walked) {
        Err(error @ ExtractError::Corrupt { .. }) => return read_alone(bytes, settings, error),
        reading => reading?,
    };
    let pages = reading.sheets.len();
    let doubted = reading
        .sheets
        .iter()
        .any(|sheet| doubt::of(sheet, pages).is_some());
    let second = (doubted || may_say_more(bytes)).then(|| Second::open(bytes));
    let Some(second) = second.flatten().filter(|second| second.pages() == pages) else {
        if reading.is_part {
            // However long it takes: no page may be lost.
            reading = engine::read(bytes, settings, u32::MAX)?;
        }
        add_answers(&mut reading, settings)?;
        return Ok(reading);
    };
    let mut blocks = Blocks::new(settings.max_text_bytes);
    for (at, sheet) in reading.sheets.iter_mut().enumerate() {
        let written = second.written(at);
        let doubt = doubt::of(sheet, pages).or(written.on_page.then_some(Doubt::Written));
        if let Some(doubt) = doubt {
            read_again(sheet, doubt, second.text(at), &mut blocks)?;
        }
        for note in written.notes.iter().filter(|_| comments) {
            sheet.chars += visible(note);
            blocks.prose(BlockKind::Paragraph, note)?;
        }
        sheet.page.blocks.extend(blocks.take());
    }
    if reading.outline.is_empty() {
        reading.outline = second.headings();
    }
    Ok(reading)
}

/// A file that only the second engine can open, if it can.
fn read_alone(
    bytes: &[u8],
    settings: &Settings,
    error: ExtractError,
) -> Result<Reading, ExtractError> {
    let Some(second) = Second::open(bytes) else {
        return Err(error);
    };
    if second.pages() > settings.max_pages as usize {
        return Err(ExtractError::TooLarge {
            limit: Limit::Pages(settings.max_pages),
        });
    }
    let mut blocks = Blocks::new(settings.max_text_bytes);
    let mut reading = Reading {
        outline: second.headings(),
        ..Reading::default()
    };
    for (number, at) in (1..).zip(0..second.pages()) {
        let mut sheet = Sheet::failed(number);
        read_again(&mut sheet, Doubt::Failed, second.text(at), &mut blocks)?;
        reading.sheets.push(sheet);
    }
    if reading.sheets.iter().all(|sheet| sheet.failed) {
        return Err(error);
    }
    Ok(reading)
}

/// Takes the second engine's text for a page, if there is one and it is better; headings that the first one saw stay.
fn read_again(
    sheet: &mut Sheet,
    doubt: Doubt,
    text: Option<String>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let Some(text) = text.filter(|text| doubt::is_better(text, sheet, doubt)) else {
        return Ok(());
    };
    if doubt == Doubt::Written && sheet.columns > 1 {
        // The first engine knows the order of columns, so only what it lacks is taken.
        lines::add_missing(&text, &sheet.page.blocks, blocks)?;
        sheet.page.blocks.extend(blocks.take());
        sheet.chars = visible(&text);
        return Ok(());
    }
    let mut headings = HashMap::new();
    for block in &sheet.page.blocks {
        if let BlockKind::Heading { level } = block.kind {
            headings.insert(headings::key(&block.text), level);
        }
    }
    lines::add(&text, &headings, blocks)?;
    sheet.page.blocks = blocks.take();
    sheet.failed = false;
    // A run that this engine could read has one letter at least.
    let found = visible(&text).saturating_sub(sheet.chars);
    sheet.unreadable_runs = sheet.unreadable_runs.saturating_sub(found);
    sheet.chars = visible(&text);
    sheet.nonsense = nonsense(&text);
    Ok(())
}

/// Whether there may be fields, notes or tags: named in the open, or perhaps inside a packed object.
fn may_say_more(bytes: &[u8]) -> bool {
    [&b"/Annots"[..], b"/StructTreeRoot", b"/ObjStm"]
        .iter()
        .any(|name| contains(bytes, name))
}

/// Adds what was filled into the form, for want of the second engine, which knows where.
fn add_answers(reading: &mut Reading, settings: &Settings) -> Result<(), ExtractError> {
    let mut blocks = Blocks::new(settings.max_text_bytes);
    for answer in std::mem::take(&mut reading.answers) {
        blocks.prose(BlockKind::Paragraph, &answer)?;
    }
    if let Some(sheet) = reading.sheets.last_mut() {
        let answers = blocks.take();
        sheet.chars += answers
            .iter()
            .map(|block| visible(&block.text))
            .sum::<usize>();
        sheet.page.blocks.extend(answers);
    }
    Ok(())
}

/// Whether what was read is the text of the document rather than remains of it.
fn check(reading: &Reading) -> Result<(), ExtractError> {
    let sheets = &reading.sheets;
    let chars: usize = sheets.iter().map(|sheet| sheet.chars).sum();
    let pictures = sheets.iter().filter(|sheet| sheet.is_picture).count();
    let scanned = || ExtractError::Scanned {
        pages: u32::try_from(pictures).unwrap_or(u32::MAX),
    };
    if chars == 0 && pictures > 0 {
        return Err(scanned());
    }
    if chars == 0 && sheets.iter().any(|sheet| sheet.failed) {
        return Err(ExtractError::corrupt("its pages cannot be read"));
    }
    if chars == 0 || is_garbled(sheets, chars) {
        return Err(ExtractError::NoText);
    }
    if pictures * 10 >= sheets.len() * 9 && chars < sheets.len() * MIN_PAGE_CHARS {
        return Err(scanned());
    }
    Ok(())
}

/// Whether fonts that do not say which letters they draw left little of the text, or nonsense in its place.
fn is_garbled(sheets: &[Sheet], chars: usize) -> bool {
    let lost: usize = sheets.iter().map(|sheet| sheet.unreadable_runs).sum();
    let nonsense: usize = sheets.iter().map(|sheet| sheet.nonsense).sum();
    // A run that could not be read has one letter at least.
    lost > chars.saturating_mul(4) || nonsense.saturating_mul(10) > chars.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(texts: &[&str], pictures: usize) -> Reading {
        let sheet = |(place, text): (usize, &&str)| Sheet {
            is_picture: place < pictures,
            chars: visible(text),
            nonsense: nonsense(text),
            ..Sheet::default()
        };
        Reading {
            sheets: texts.iter().enumerate().map(sheet).collect(),
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
        unreadable.sheets[0].unreadable_runs = 1000;
        assert_eq!(check(&unreadable), Err(ExtractError::NoText));
        let mut nonsense = reading(&[TEXT], 0);
        nonsense.sheets[0].nonsense = 20;
        assert_eq!(check(&nonsense), Err(ExtractError::NoText));
    }

    #[test]
    fn letters_that_neither_engine_can_read_stay_hidden() {
        let mut sheet = Sheet {
            unreadable_runs: 100,
            chars: 4,
            ..Sheet::default()
        };
        let text = Some(TEXT.to_owned());
        read_again(&mut sheet, Doubt::Lost, text, &mut Blocks::new(1000)).expect("little");
        assert_eq!(sheet.chars, 31);
        assert_eq!(sheet.unreadable_runs, 100 - 27);
    }

    #[test]
    fn pages_that_all_fail_make_a_file_corrupt() {
        let mut failed = reading(&[""], 0);
        failed.sheets[0].failed = true;
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
            types: crate::file_type::FileTypes::default(),
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
        let pages = extract(&file, &settings(), &Value::Null).expect("readable");
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
    fn pages_beyond_what_the_first_engine_may_walk_are_read_by_the_second() {
        let lines: Vec<String> = (1..=20)
            .map(|page| {
                format!("BT /F 12 Tf 50 700 Td (Sheet {page} speaks of tea and bread.) Tj ET")
            })
            .collect();
        let contents: Vec<&str> = lines.iter().map(String::as_str).collect();
        let long = Settings {
            max_pages: 20,
            ..settings()
        };
        let first = engine::read(&pdf(&contents, ""), &long, 100).expect("readable");
        let unread = first.sheets.iter().filter(|sheet| sheet.failed);
        assert_eq!(unread.count(), 15, "a walk of 100 nodes is five times 20");
        // The engines count this one differently, so that the second cannot help.
        let miscounted = String::from_utf8(pdf(&contents, "")).expect("text");
        let miscounted = miscounted.replace("/Count 20", "/Count 19").into_bytes();
        for file in [pdf(&contents, ""), miscounted] {
            let reading = read(&file, false, &long, 100).expect("readable");
            for (number, sheet) in (1..).zip(&reading.sheets) {
                let text = format!("Sheet {number} speaks of tea and bread.");
                assert_eq!(sheet.page.number, Some(number));
                assert_eq!(sheet.page.blocks[0].text, text);
            }
            assert_eq!(reading.sheets.len(), 20);
        }
        let pictures = read(&pdf(&[IMAGE; 20], ""), false, &long, 100).expect("readable");
        assert_eq!(check(&pictures), Err(ExtractError::Scanned { pages: 20 }));
    }

    #[test]
    fn a_file_says_why_it_has_no_text() {
        let read = |file: &[u8]| extract(file, &settings(), &Value::Null).expect_err("no text");
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
