//! Fields: which show the number of a page, and what is left of a header or footer without it.

use std::mem;

use quick_xml::events::BytesStart;

use super::drop_down::DropDown;

/// Stands in a paragraph where a page's number was; private, so that cleaning would drop it anyway.
pub(super) const PAGE_NUMBER: char = '\u{e000}';

/// Words that say no more than "page 3 of 7" does.
pub(in crate::extract) const PAGE_WORDS: &[&str] = &[
    "page",
    "pages",
    "p",
    "pg",
    "of",
    "seite",
    "s",
    "von",
    "página",
    "pagina",
    "pág",
    "pag",
    "de",
    "di",
    "du",
    "sur",
    "страница",
    "стр",
    "из",
    "сторінка",
    "strona",
    "str",
    "z",
    "strana",
    "sida",
    "side",
    "av",
    "sivu",
    "oldal",
    "sayfa",
    "trang",
    "halaman",
    "dari",
    "第",
    "页",
    "共",
    "頁",
    "ページ",
];

/// Longer codes are of other fields.
const MAX_CODE_BYTES: usize = 64;

/// The open fields of a part.
#[derive(Default)]
pub(super) struct Fields(Vec<Field>);

#[derive(Default)]
struct Field {
    code: String,
    /// Its code is over; what follows is what it shows.
    shows: bool,
    is_page_number: bool,
    drop_down: DropDown,
    /// How much the paragraph held before it.
    before: usize,
}

impl Fields {
    /// Opens a field in a paragraph that holds so much.
    pub(super) fn begin(&mut self, written: usize) {
        self.0.push(Field {
            before: written,
            ..Field::default()
        });
    }

    /// Takes in an element of the innermost field's list.
    pub(super) fn set_drop_down(&mut self, name: &str, start: &BytesStart<'_>) {
        if let Some(field) = self.0.last_mut() {
            field.drop_down.set(name, start);
        }
    }

    /// The entry that the innermost field's list shows, unless the field has shown it in a paragraph that now holds so much.
    pub(super) fn chosen(&mut self, written: usize) -> Option<String> {
        let field = self.0.last_mut().filter(|field| field.before == written)?;
        mem::take(&mut field.drop_down).shown()
    }

    /// Takes in a piece of the innermost field's code.
    pub(super) fn code(&mut self, text: &str) {
        if let Some(field) = self.0.last_mut()
            && field.code.len() + text.len() <= MAX_CODE_BYTES
        {
            field.code.push_str(text);
        }
    }

    /// Ends the innermost field's code; says whether a page's number follows.
    pub(super) fn separate(&mut self) -> bool {
        let Some(field) = self.0.last_mut().filter(|field| !field.shows) else {
            return false;
        };
        field.shows = true;
        field.is_page_number = is_page_number(&field.code);
        field.is_page_number
    }

    /// Ends the innermost field; says whether it was a page's number.
    pub(super) fn end(&mut self) -> bool {
        self.0.pop().is_some_and(|field| field.is_page_number)
    }
}

/// Whether a field of this code shows a page's number or how many there are.
pub(in crate::extract) fn is_page_number(code: &str) -> bool {
    let name = code.split_ascii_whitespace().next().unwrap_or_default();
    ["PAGE", "NUMPAGES", "SECTIONPAGES"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// A header's or footer's paragraph without page numbers and the words that only name them.
pub(super) fn without_page_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    // Left, middle and right of a footer are set apart by tabs.
    for part in text.split_inclusive(['\t', '\n']) {
        if !part.contains(PAGE_NUMBER) {
            kept.push_str(part);
            continue;
        }
        let rest = part.replace(PAGE_NUMBER, " ").to_lowercase();
        let mut words = rest
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        if words.all(|word| PAGE_WORDS.contains(&word)) {
            kept.extend(part.chars().last().filter(|c| matches!(c, '\t' | '\n')));
        } else {
            kept.extend(part.chars().filter(|c| *c != PAGE_NUMBER));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_number_goes_with_the_words_that_name_it_and_no_others() {
        let cases = [
            ("Page # of #", ""),
            ("– # –", ""),
            ("第 # 页", ""),
            ("Handbook #", "Handbook "),
            ("Heron W7\tSeite # von #\tMay", "Heron W7\t\tMay"),
            ("Page 3", "Page 3"),
        ];
        for (text, kept) in cases {
            let text = text.replace('#', "\u{e000}");
            assert_eq!(without_page_numbers(&text), kept);
        }
    }
}
