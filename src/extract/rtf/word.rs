//! What the control words mean.

use super::{
    BODY_TEXT, Destination, Paragraph, Reader,
    codepage::CodePage,
    flow::{Purpose, Row},
};
use crate::extract::{docx::is_page_number, error::ExtractError};

/// Destinations that hold no text of the document, beside all those that follow a `\*` and are not known.
const NO_TEXT: &[&[u8]] = &[
    b"aftncn",
    b"aftnsep",
    b"aftnsepc",
    b"annotation",
    b"atnauthor",
    b"atnid",
    b"colortbl",
    b"datafield",
    b"datastore",
    b"docvar",
    b"falt",
    b"filetbl",
    b"fontemb",
    b"formfield",
    b"ftncn",
    b"ftnsep",
    b"ftnsepc",
    b"info",
    b"keycode",
    b"latentstyles",
    b"listtable",
    b"mrPr",
    b"nonesttables",
    b"nonshppict",
    b"object",
    b"objdata",
    b"panose",
    b"pict",
    b"pn",
    b"private",
    b"rxe",
    b"tc",
    b"template",
    b"themedata",
    b"txe",
    b"xe",
];

/// Destinations that are read although they follow a `\*`.
const OPTIONAL_TEXT: &[&[u8]] = &[
    b"dptxbxtext",
    b"fldinst",
    b"footnote",
    b"listtext",
    b"moMath",
    b"moMathPara",
    b"nesttableprops",
    b"pntext",
    b"shptxt",
    b"ud",
];

/// Destinations that are text again within ones that are none.
const TEXT_WITHIN: &[&[u8]] = &[b"dptxbxtext", b"result", b"shptxt", b"ud"];

impl Reader {
    pub(super) fn word(&mut self, name: &[u8], number: Option<i32>) -> Result<(), ExtractError> {
        let optional = std::mem::take(&mut self.optional);
        match self.group().destination {
            Destination::Repetition => return Ok(()),
            Destination::Nothing if !TEXT_WITHIN.contains(&name) => return Ok(()),
            Destination::Nothing
            | Destination::Text
            | Destination::Marker
            | Destination::Code
            | Destination::Fonts
            | Destination::Styles => {}
        }
        let no_text = NO_TEXT.contains(&name) || name.len() > 3 && name.ends_with(b"Pr");
        if no_text || optional && !OPTIONAL_TEXT.contains(&name) {
            self.group().destination = Destination::Nothing;
            return Ok(());
        }
        match self.group().destination {
            Destination::Fonts => self.font_word(name, number),
            Destination::Styles => self.style_word(name, number),
            Destination::Text
            | Destination::Marker
            | Destination::Code
            | Destination::Nothing
            | Destination::Repetition => {
                if !self.start_destination(name) && !self.set(name, number) {
                    self.write_word(name, number)?;
                }
            }
        }
        Ok(())
    }

    fn font_word(&mut self, name: &[u8], number: Option<i32>) {
        let page = match name {
            b"f" => {
                self.font = number.unwrap_or(0);
                return;
            }
            b"fcharset" => number.and_then(CodePage::of_charset),
            b"cpg" => number.and_then(CodePage::numbered),
            _ => None,
        };
        if let Some(page) = page {
            self.fonts.insert(self.font, page);
        }
    }

    fn style_word(&mut self, name: &[u8], number: Option<i32>) {
        match (name, number) {
            (b"s", Some(number)) => self.styles.numbered(number),
            (b"outlinelevel", number) => self.styles.outlined(level(number)),
            _ => {}
        }
    }

    /// Whether the word says what the text of its group is.
    fn start_destination(&mut self, name: &[u8]) -> bool {
        let destination = match name {
            b"fonttbl" => Destination::Fonts,
            b"stylesheet" => Destination::Styles,
            b"pntext" | b"listtext" => Destination::Marker,
            b"fldinst" => {
                self.code.clear();
                Destination::Code
            }
            b"fldrslt" if is_page_number(&self.code) => Destination::Nothing,
            b"result" => Destination::Text,
            b"shprslt" => Destination::Repetition,
            b"upr" => {
                let group = self.group();
                group.again = Some(group.destination);
                Destination::Nothing
            }
            b"ud" => match self.group().again.take() {
                Some(destination) => destination,
                None => return true,
            },
            b"footnote" => {
                let label = self.next_label();
                self.notes += 1;
                let number = self.flow().text.ends_with(&label).then_some(self.notes);
                self.open_flow(Purpose::Note(number));
                return true;
            }
            b"shptxt" | b"dptxbxtext" => {
                self.open_flow(Purpose::Frame);
                return true;
            }
            b"header" | b"headerl" | b"headerr" | b"headerf" => {
                self.open_flow(Purpose::Header);
                return true;
            }
            b"footer" | b"footerl" | b"footerr" | b"footerf" => {
                self.open_flow(Purpose::Footer);
                return true;
            }
            _ => return false,
        };
        self.group().destination = destination;
        true
    }

    /// What refers to the note that comes next.
    fn next_label(&self) -> String {
        format!("[{}]", self.notes + 1)
    }

    /// Whether the word is a setting.
    fn set(&mut self, name: &[u8], number: Option<i32>) -> bool {
        let on = number != Some(0);
        match name {
            b"pard" => self.group().paragraph = Paragraph::PLAIN,
            b"plain" => {
                let page = self.page_of(self.default_font);
                let group = self.group();
                (group.hidden, group.deleted, group.page) = (false, false, page);
            }
            b"f" => self.group().page = self.page_of(number.unwrap_or(0)),
            b"deff" => self.default_font = number.unwrap_or(0),
            b"ansi" => self.set_page(Some(CodePage::DEFAULT)),
            b"mac" => self.set_page(CodePage::numbered(10000)),
            b"pc" => self.set_page(CodePage::numbered(437)),
            b"pca" => self.set_page(CodePage::numbered(850)),
            b"ansicpg" => self.set_page(number.and_then(CodePage::numbered)),
            b"uc" => {
                let count = number.and_then(|count| usize::try_from(count).ok());
                self.group().stand_ins = count.unwrap_or(1);
            }
            b"v" => self.group().hidden = on,
            b"deleted" => self.group().deleted = on,
            b"s" => self.group().paragraph.style = number.unwrap_or(0),
            b"outlinelevel" => self.group().paragraph.outline = level(number),
            b"intbl" => self.group().paragraph.in_table = true,
            b"itap" => {
                let level = number.and_then(|level| usize::try_from(level).ok());
                self.group().paragraph.level = level.unwrap_or(0);
            }
            b"trowd" => self.flow().row = Row::default(),
            b"trhdr" => self.flow().row.repeated = true,
            b"tbllkhdrrows" => self.flow().row.first_names = true,
            _ => return false,
        }
        true
    }

    fn set_page(&mut self, page: Option<CodePage>) {
        if let Some(page) = page {
            self.page = page;
            self.group().page = page;
        }
    }

    fn page_of(&self, font: i32) -> CodePage {
        self.fonts.get(&font).copied().unwrap_or(self.page)
    }

    /// Words that stand for text, or end some.
    fn write_word(&mut self, name: &[u8], number: Option<i32>) -> Result<(), ExtractError> {
        let nested = self.group().paragraph.level.max(2);
        match name {
            b"u" => self.unicode(number.unwrap_or(0)),
            b"par" | b"sect" => self.end_paragraph()?,
            b"cell" => self.end_cell(1)?,
            b"nestcell" => self.end_cell(nested)?,
            b"row" => self.end_row(1)?,
            b"nestrow" => self.end_row(nested)?,
            b"chftn" => {
                let label = match self.flow().purpose {
                    Purpose::Note(_) => format!("[{}]", self.notes),
                    Purpose::Body | Purpose::Frame | Purpose::Header | Purpose::Footer => {
                        self.next_label()
                    }
                };
                self.write(&label);
            }
            name => {
                if let Some(c) = character(name) {
                    self.write_char(c);
                }
            }
        }
        Ok(())
    }

    fn end_cell(&mut self, table: usize) -> Result<(), ExtractError> {
        let paragraph = self.group().paragraph;
        let kind = self.kind(paragraph);
        self.flow().end_cell(kind, table);
        self.send()
    }

    fn end_row(&mut self, table: usize) -> Result<(), ExtractError> {
        self.flow().end_row(table);
        self.send()
    }
}

fn level(number: Option<i32>) -> u8 {
    number
        .and_then(|level| u8::try_from(level).ok())
        .unwrap_or(BODY_TEXT)
}

/// The character that a word stands for.
fn character(name: &[u8]) -> Option<char> {
    Some(match name {
        b"tab" => '\t',
        b"line" | b"lbr" | b"page" | b"column" => '\n',
        b"emdash" => '—',
        b"endash" => '–',
        b"lquote" => '‘',
        b"rquote" => '’',
        b"ldblquote" => '“',
        b"rdblquote" => '”',
        b"bullet" => '•',
        b"emspace" | b"enspace" | b"qmspace" => ' ',
        b"zwj" => '\u{200d}',
        b"zwnj" => '\u{200c}',
        _ => return None,
    })
}
