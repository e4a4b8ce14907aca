//! The first engine, `unpdf`: its pages as ours, one at a time, so that no more than one is held in its own terms.

use std::{mem, ops::ControlFlow};

use unpdf::{
    ErrorKind, ErrorMode, FieldValue, FormField, PageSelection, PageStreamOptions, ParseEvent,
    PdfParser,
    model::{self, OutlineItem, Paragraph, Table},
};

use crate::document::{BlockKind, Page};

use super::{
    super::{
        Settings,
        blocks::Blocks,
        clean,
        error::{ExtractError, Limit},
    },
    headings::Title,
};

/// A page with so much of it covered by images and next to no text is a picture of a page.
const PICTURE_COVERAGE: f32 = 0.5;

/// So many filled shapes on a page without text are letters drawn as shapes.
const MIN_DRAWN_SHAPES: u32 = 50;

/// Nodes of page trees that are walked for a file, which is some seconds. The engine walks the whole tree for each page:
/// without an end to it, a file would take time as the square of its pages.
pub(super) const MAX_WALKED: u32 = 2_000_000;

/// What an engine makes of a file.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// One a page, in order.
    pub(super) sheets: Vec<Sheet>,
    /// The file's own table of contents, in order.
    pub(super) outline: Vec<Title>,
    /// What was filled into the form; the engine does not say where.
    pub(super) answers: Vec<String>,
    /// The last pages were left out, as there are too many.
    pub(super) is_part: bool,
}

/// A page and what the engine says of its own reading.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) page: Page,
    /// The engine gave up on it.
    pub(super) failed: bool,
    /// It shows only pictures.
    pub(super) is_picture: bool,
    /// Visible characters of its blocks.
    pub(super) chars: usize,
    /// Characters that its operators draw.
    pub(super) drawn: usize,
    /// Runs of text in fonts that do not say which letters they draw.
    pub(super) unreadable_runs: usize,
    /// Characters that stand for no letter.
    pub(super) nonsense: usize,
    /// Characters left out as page numbers.
    pub(super) omitted: usize,
    /// The most columns side by side.
    pub(super) columns: u32,
}

/// Reads a file, or as many of its pages as a walk of so many nodes pays for; the others are there as failed ones.
pub(super) fn read(
    bytes: &[u8],
    settings: &Settings,
    max_walked: u32,
) -> Result<Reading, ExtractError> {
    let refused = |error: unpdf::Error| refused(&error, bytes);
    let parser = PdfParser::from_bytes(bytes).map_err(refused)?;
    let pages = parser.page_count();
    if pages > settings.max_pages {
        return Err(ExtractError::TooLarge {
            limit: Limit::Pages(settings.max_pages),
        });
    }
    let mut reader = Reader {
        blocks: Blocks::new(settings.max_text_bytes),
        reading: Reading::default(),
        sheet: Sheet::default(),
        error: None,
    };
    let affordable = pages.min(max_walked / pages.max(1));
    parser
        .for_each_page(options(first(affordable, pages)), |event| {
            reader.event(event)
        })
        .map_err(refused)?;
    match reader.error {
        Some(error) => Err(error),
        None => Ok(reader.reading.with_the_rest(affordable, pages)),
    }
}

/// The first pages of so many.
fn first(pages: u32, of: u32) -> PageSelection {
    if pages == of {
        // Of no pages no range can be named.
        PageSelection::All
    } else {
        PageSelection::Range(1..=pages)
    }
}

/// Why the engine refused a file.
fn refused(error: &unpdf::Error, bytes: &[u8]) -> ExtractError {
    let locked = matches!(
        error.kind(),
        ErrorKind::Encrypted | ErrorKind::InvalidPassword
    );
    // Some ways of encryption show as damage.
    if locked || bytes.windows(8).any(|window| window == b"/Encrypt") {
        ExtractError::Encrypted
    } else {
        ExtractError::corrupt("its PDF structure cannot be read")
    }
}

impl Reading {
    /// Adds the pages after the first ones that were read. They are pictures if all before them are.
    fn with_the_rest(mut self, read: u32, pages: u32) -> Self {
        let is_picture = self.sheets.iter().all(|sheet| sheet.is_picture);
        self.is_part = read < pages;
        for number in read + 1..=pages {
            let mut sheet = Sheet::failed(number);
            sheet.is_picture = is_picture;
            self.sheets.push(sheet);
        }
        self
    }
}

impl Sheet {
    /// A page that was not read.
    pub(super) fn failed(number: u32) -> Self {
        Self {
            page: Page {
                number: Some(number),
                blocks: Vec::new(),
            },
            failed: true,
            ..Self::default()
        }
    }
}

/// Spelled out, since the engine's defaults start a pool of threads.
fn options(pages: PageSelection) -> PageStreamOptions {
    PageStreamOptions {
        error_mode: ErrorMode::Lenient,
        extract_text: true,
        extract_resources: false,
        min_image_dimension: 0,
        pages,
        password: None,
        parallel: false,
        suppress_low_confidence_ocr: true,
        window_size: 1,
        emit_progress_every: u32::MAX,
    }
}

struct Reader {
    blocks: Blocks,
    reading: Reading,
    /// The page that is being read.
    sheet: Sheet,
    error: Option<ExtractError>,
}

impl Reader {
    fn event(&mut self, event: ParseEvent) -> ControlFlow<()> {
        match event {
            ParseEvent::DocumentStart {
                outline,
                form_fields,
                ..
            } => {
                self.reading.outline = outline
                    .map(|outline| flatten(&outline.items))
                    .unwrap_or_default();
                self.reading.answers = form_fields.iter().filter_map(answer).collect();
            }
            ParseEvent::PageParsed(page) => {
                if let Err(error) = self.page(&page) {
                    self.error = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ParseEvent::PageFailed { page, .. } => self.reading.sheets.push(Sheet::failed(page)),
            ParseEvent::Progress { .. } | ParseEvent::DocumentEnd { .. } => {}
        }
        ControlFlow::Continue(())
    }

    fn page(&mut self, page: &model::Page) -> Result<(), ExtractError> {
        for block in &page.elements {
            match block {
                model::Block::Paragraph(paragraph) => self.paragraph(paragraph)?,
                model::Block::Table(table) => self.table(table)?,
                model::Block::Code { content } => {
                    self.weigh(content);
                    self.blocks.layout(BlockKind::Code, content)?;
                }
                model::Block::Raw { content } => {
                    self.weigh(content);
                    self.blocks.prose(BlockKind::Paragraph, content)?;
                }
                model::Block::Image { .. }
                | model::Block::HorizontalRule
                | model::Block::PageBreak
                | model::Block::SectionBreak => {}
            }
        }
        let count = |chars: u32| chars as usize;
        self.reading.sheets.push(Sheet {
            page: Page {
                number: Some(page.number),
                blocks: self.blocks.take(),
            },
            is_picture: is_picture(page),
            drawn: count(page.painted_text_chars) + count(page.invisible_text_chars),
            unreadable_runs: page.suppressed_text_runs,
            omitted: count(page.omitted_page_number_chars),
            columns: page.column_count,
            ..mem::take(&mut self.sheet)
        });
        Ok(())
    }

    fn paragraph(&mut self, paragraph: &Paragraph) -> Result<(), ExtractError> {
        let text = paragraph.plain_text();
        self.weigh(&text);
        match paragraph.heading_level() {
            Some(level) => self.blocks.line(
                BlockKind::Heading {
                    level: level.clamp(1, 6),
                },
                &text,
            ),
            None if paragraph.is_list_item() => self.blocks.prose(BlockKind::ListItem, &text),
            None => self.blocks.prose(BlockKind::Paragraph, &text),
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), ExtractError> {
        if let Some(caption) = &table.caption {
            self.blocks.prose(BlockKind::Caption, caption)?;
        }
        for (place, row) in table.rows.iter().enumerate() {
            let cells: Vec<String> = row.cells.iter().map(model::TableCell::plain_text).collect();
            for cell in &cells {
                self.weigh(cell);
            }
            let header = row.is_header || place < usize::from(table.header_rows);
            self.blocks.row(&cells, header)?;
        }
        Ok(())
    }

    /// Counts what shows, and what of it stands for no letter.
    fn weigh(&mut self, text: &str) {
        self.sheet.chars += visible(text);
        self.sheet.nonsense += nonsense(text);
    }
}

/// Characters that show.
pub(super) fn visible(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Characters that stand for no letter.
pub(super) fn nonsense(text: &str) -> usize {
    if text.is_ascii() {
        return 0;
    }
    let nonsense =
        |c: &char| matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{80}'..='\u{9f}');
    text.chars().filter(nonsense).count()
}

/// Whether a page shows only pictures: images, letters drawn as shapes, a scan whose hidden text is unreadable.
fn is_picture(page: &model::Page) -> bool {
    let text = page.text_op_count > 0;
    page.ocr_text_suppressed
        || page.image_coverage >= PICTURE_COVERAGE
        || !text && (page.image_op_count > 0 || page.fill_op_count >= MIN_DRAWN_SHAPES)
}

/// What was filled into a field, behind the field's name if that is made of words.
fn answer(field: &FormField) -> Option<String> {
    let value = match field.value.as_ref()? {
        FieldValue::Text(text) | FieldValue::Choice(text) => text.clone(),
        FieldValue::Choices(choices) => choices.join(", "),
        FieldValue::Boolean(_) => return None,
    };
    let name = clean::line(field.name.rsplit('.').next().unwrap_or_default());
    let worded = name.len() > 2
        && name
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | '_' | '-'));
    Some(if worded {
        format!("{name}: {value}")
    } else {
        value
    })
}

/// The titles of an outline in order, without following its nesting on the stack.
fn flatten(items: &[OutlineItem]) -> Vec<Title> {
    let mut titles = Vec::new();
    let mut ahead: Vec<(&OutlineItem, u8)> = items.iter().rev().map(|item| (item, 1)).collect();
    while let Some((item, level)) = ahead.pop() {
        if let Some(page) = item.page {
            titles.push(Title {
                text: item.title.clone(),
                page,
                level,
            });
        }
        let below = level.saturating_add(1).min(6);
        ahead.extend(item.children.iter().rev().map(|child| (child, below)));
    }
    titles
}
