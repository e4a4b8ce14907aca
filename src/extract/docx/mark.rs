//! What the elements of a run and the settings of paragraphs, rows and cells say.

use quick_xml::events::BytesStart;

use super::{
    super::xml, body::Body, element::Element, field::PAGE_NUMBER, table::look_names_first_row,
};

impl Body<'_, '_> {
    /// Takes in an element that only says something: a setting, a tab, a reference.
    pub(super) fn mark(&mut self, name: &str, start: &BytesStart<'_>) {
        match self.path.last() {
            Some(Element::Run) => self.mark_in_run(name, start),
            Some(Element::DropDown) => self.fields.set_drop_down(name, start),
            Some(Element::RunSettings) => self.mark_run_setting(name, start),
            Some(Element::RowSettings) => {
                if let Some(table) = self.tables.last_mut() {
                    table.set_row(name, start);
                }
            }
            Some(Element::CellSettings) => {
                if let Some(table) = self.tables.last_mut() {
                    table.set_cell(name, start);
                }
            }
            _ => {}
        }
        match name {
            "tblLook" => {
                if let Some(table) = self.tables.last_mut() {
                    table.first_row_names = look_names_first_row(start);
                }
            }
            "begChr" | "endChr" => self.formulas.set_brackets(name, start),
            _ => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.set(name, start);
                }
            }
        }
    }

    fn mark_in_run(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "tab" | "ptab" => self.write("\t"),
            "br" | "cr" => self.write("\n"),
            "noBreakHyphen" => self.write("-"),
            "pgNum" if self.is_margin => self.write_page_number(),
            "fldChar" => self.mark_field(&xml::attribute(start, "fldCharType").unwrap_or_default()),
            "sym" => {
                let code = xml::attribute(start, "char")
                    .and_then(|code| u32::from_str_radix(&code, 16).ok());
                let font = xml::attribute(start, "font").unwrap_or_default();
                if let Some(c) = code.and_then(|code| symbol(&font, code)) {
                    self.write(c.encode_utf8(&mut [0; 4]));
                }
            }
            "footnoteReference" | "endnoteReference" | "commentReference" if !self.is_hidden() => {
                self.mark_note(name, start);
            }
            _ => {}
        }
    }

    fn mark_field(&mut self, kind: &str) {
        match kind {
            "begin" => self.fields.begin(self.written()),
            "separate" if self.fields.separate() && self.is_margin => {
                self.write_page_number();
                self.page_numbers += 1;
            }
            "end" => {
                // One that has shown nothing yet stands for a page's number too.
                self.mark_field("separate");
                if let Some(chosen) = self.fields.chosen(self.written()) {
                    self.write(&chosen);
                }
                if self.fields.end() && self.is_margin {
                    self.page_numbers = self.page_numbers.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    fn mark_note(&mut self, name: &str, start: &BytesStart<'_>) {
        let id = xml::attribute(start, "id").unwrap_or_default();
        let own_mark = xml::attribute(start, "customMarkFollows")
            .is_some_and(|value| matches!(&*value, "1" | "true" | "on"));
        match name {
            "footnoteReference" => {
                if let Some((label, note)) = self.context.footnote(&id, own_mark) {
                    self.write(&label);
                    self.notes.push(note);
                }
            }
            "endnoteReference" => {
                if let Some(label) = self.context.endnote(&id, own_mark) {
                    self.write(&label);
                }
            }
            _ => self.notes.extend(self.context.comments.remove(&*id)),
        }
    }

    fn mark_run_setting(&mut self, name: &str, start: &BytesStart<'_>) {
        // Settings of the paragraph's own mark stand within its settings, not in a run.
        let of_run = self.path.len() > 1 && self.path[self.path.len() - 2] == Element::Run;
        if of_run {
            match name {
                "vanish" => self.hide(xml::is_on(start)),
                "rStyle" => {
                    let id = xml::value(start).unwrap_or_default();
                    if let Some(hidden) = self.context.styles.hides_run(&id) {
                        self.hide(hidden);
                    }
                }
                _ => {}
            }
        } else if let Some(paragraph) = self.paragraphs.last_mut() {
            match name {
                "vanish" => paragraph.end_hidden = xml::is_on(start),
                "del" | "moveFrom" => paragraph.runs_on = true,
                _ => {}
            }
        }
    }

    pub(super) fn in_table(&self) -> bool {
        self.path.last() != Some(&Element::DeepTable) && !self.tables.is_empty()
    }

    fn hide(&mut self, hidden: bool) {
        if let Some(run) = self.runs.last_mut() {
            *run = hidden;
        }
    }

    fn is_hidden(&self) -> bool {
        self.runs.last() == Some(&true)
    }

    /// Adds text to the paragraph, unless the run is hidden or shows a page's number.
    pub(super) fn write(&mut self, text: &str) {
        if self.is_hidden() || self.page_numbers > 0 {
            return;
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            self.formulas.write(&mut paragraph.text, text);
        }
    }

    /// How much the paragraph holds.
    fn written(&self) -> usize {
        let paragraph = self.paragraphs.last();
        paragraph.map_or(0, |paragraph| paragraph.text.len())
    }

    /// Adds to the paragraph what stands around the parts of a formula.
    pub(super) fn append(&mut self, sign: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(sign);
        }
    }

    pub(super) fn write_page_number(&mut self) {
        self.write(PAGE_NUMBER.encode_utf8(&mut [0; 4]));
    }
}

/// The character of a symbol font that is known by its look; most of such fonts are ornaments.
fn symbol(font: &str, code: u32) -> Option<char> {
    match code {
        0..=0xff | 0xf000..=0xf0ff if font.eq_ignore_ascii_case("Symbol") => {
            symbol_of_adobe(code & 0xff)
        }
        0xf000..=0xf0ff => ornament(code & 0xff),
        // Other private characters mean something in their font only.
        0xe000..=0xf8ff => None,
        _ => char::from_u32(code),
    }
}

const fn ornament(code: u32) -> Option<char> {
    match code {
        0xa7 | 0xb7 => Some('•'),
        0xe0 => Some('→'),
        0xfc => Some('✓'),
        0xfe => Some('☑'),
        0xa8 => Some('☐'),
        _ => None,
    }
}

/// Letters and signs of the font Symbol, in the encoding that Adobe gave it.
fn symbol_of_adobe(code: u32) -> Option<char> {
    const CAPITALS: &str = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ";
    const LETTERS: &str = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ";
    const SIGNS: &[(u32, char)] = &[
        (0x22, '∀'),
        (0x24, '∃'),
        (0x2d, '−'),
        (0xa3, '≤'),
        (0xa5, '∞'),
        (0xab, '↔'),
        (0xac, '←'),
        (0xad, '↑'),
        (0xae, '→'),
        (0xaf, '↓'),
        (0xb0, '°'),
        (0xb1, '±'),
        (0xb3, '≥'),
        (0xb4, '×'),
        (0xb6, '∂'),
        (0xb7, '•'),
        (0xb8, '÷'),
        (0xb9, '≠'),
        (0xba, '≡'),
        (0xbb, '≈'),
        (0xbc, '…'),
        (0xce, '∈'),
        (0xd5, '∏'),
        (0xd6, '√'),
        (0xd7, '⋅'),
        (0xe5, '∑'),
        (0xf2, '∫'),
    ];
    let letter = |letters: &str, first: u32| {
        let place = usize::try_from(code - first).ok()?;
        letters.chars().nth(place)
    };
    match code {
        0x41..=0x5a => letter(CAPITALS, 0x41),
        0x61..=0x7a => letter(LETTERS, 0x61),
        _ => SIGNS
            .iter()
            .find(|(sign, _)| *sign == code)
            .map(|(_, character)| *character)
            .or_else(|| {
                char::from_u32(code).filter(|c| (' '..='?').contains(c) || "[]_{|}".contains(*c))
            }),
    }
}
