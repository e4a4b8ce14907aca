//! The `pdf_oxide` engine, asked where the first one's reading is doubtful: what is written into forms and notes, fonts that
//! the first could not read, pages that it gave up on; and the headings that a tagged file names.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use pdf_oxide::{
    converters::ConversionOptions,
    document::PdfDocument,
    fonts::{cmap::clear_cmap_cache, global_cache::clear_global_font_cache},
    object::Object,
    structure::{OrderedContent, traverse_structure_tree_all_pages},
};

use super::headings::Title;

/// Fields and notes whose text shows on the page; this engine puts it there.
const SHOWN: [&str; 3] = ["Widget", "FreeText", "Stamp"];

/// Notes whose text shows when somebody points at them; links and pop-ups have none of their own.
const ATTACHED: [&str; 6] = [
    "Text",
    "Highlight",
    "Underline",
    "StrikeOut",
    "Squiggly",
    "Caret",
];

/// The flags of notes that never show: hidden, and not viewed.
const NEVER_SHOWN: i64 = 0x2 | 0x20;

/// Notes of a page that are looked at; a page of more is a drawing.
const MAX_NOTES: usize = 10_000;

/// What was written onto a page after it was made.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Fields and notes that show on it.
    pub(super) on_page: bool,
    /// The texts of notes that are attached to it.
    pub(super) notes: Vec<String>,
}

/// An open file.
pub(super) struct Second {
    document: PdfDocument,
    pages: usize,
}

impl Second {
    /// Opens the file, if this engine can read it.
    pub(super) fn open(bytes: &[u8]) -> Option<Self> {
        unharmed(|| Self::open_or_panic(bytes)).flatten()
    }

    fn open_or_panic(bytes: &[u8]) -> Option<Self> {
        // Global tables, whose keys tell fonts of different files apart only roughly: what another file left there
        // would change the letters of this one.
        clear_global_font_cache();
        clear_cmap_cache();
        let document = PdfDocument::from_bytes(bytes.to_vec()).ok()?;
        if !document.is_authenticated() {
            return None;
        }
        let pages = document.page_count().ok()?;
        Some(Self { document, pages })
    }

    /// How many pages it has.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// The text of a page, counted from 0, with what is written into its fields and notes.
    pub(super) fn text(&self, page: usize) -> Option<String> {
        if page >= self.pages {
            return None;
        }
        let options = ConversionOptions {
            // Its tables are padded with spaces, and what it takes for artifacts is often the matter.
            extract_tables: false,
            include_artifacts: true,
            ..ConversionOptions::default()
        };
        unharmed(|| self.document.extract_text_with_options(page, &options).ok()).flatten()
    }

    /// What somebody wrote onto a page, counted from 0.
    pub(super) fn written(&self, page: usize) -> Written {
        unharmed(|| self.written_or_panic(page)).unwrap_or_default()
    }

    fn written_or_panic(&self, page: usize) -> Written {
        let mut written = Written::default();
        for note in self.notes(page).unwrap_or_default().iter().take(MAX_NOTES) {
            let Ok(note) = self.document.resolve_object(note) else {
                continue;
            };
            let get = |name: &str| note.as_dict().and_then(|entries| entries.get(name));
            let kind = get("Subtype").and_then(Object::as_name).unwrap_or_default();
            let hidden =
                matches!(get("F"), Some(Object::Integer(flags)) if flags & NEVER_SHOWN != 0);
            if SHOWN.contains(&kind) {
                written.on_page = true;
            } else if ATTACHED.contains(&kind) && !hidden {
                let contents = get("Contents").map(|text| self.document.resolve_object(text));
                if let Some(Ok(Object::String(text))) = contents {
                    written.notes.push(text_string(&text));
                }
            }
        }
        written
    }

    fn notes(&self, page: usize) -> Option<Vec<Object>> {
        let page = self.document.get_page(page).ok()?;
        let notes = page.as_dict()?.get("Annots")?;
        let notes = self.document.resolve_object(notes).ok()?;
        notes.as_array().cloned()
    }

    /// The headings of a tagged file: what its `H1` to `H6` enclose, in the order of pages.
    pub(super) fn headings(&self) -> Vec<Title> {
        unharmed(|| self.headings_or_panic()).unwrap_or_default()
    }

    fn headings_or_panic(&self) -> Vec<Title> {
        let Ok(Some(tree)) = self.document.structure_tree() else {
            return Vec::new();
        };
        let content = traverse_structure_tree_all_pages(&tree);
        let pages: BTreeMap<u32, Vec<OrderedContent>> = content.into_iter().collect();
        pages
            .into_iter()
            .flat_map(|(page, items)| self.headings_on(page, &items))
            .collect()
    }

    fn headings_on(&self, page: u32, items: &[OrderedContent]) -> Vec<Title> {
        let marked = items
            .iter()
            .filter_map(|item| Some((item.mcid?, item.block_id, item.heading_level?)));
        let marks: BTreeMap<u32, (u32, u8)> = marked
            .map(|(mark, block, level)| (mark, (block, level)))
            .collect();
        if marks.is_empty() {
            return Vec::new();
        }
        let spans = self
            .document
            .extract_spans(page as usize)
            .unwrap_or_default();
        let mut titles: BTreeMap<u32, (u8, String)> = BTreeMap::new();
        for span in &spans {
            let Some((block, level)) = span.mcid.and_then(|mark| marks.get(&mark)) else {
                continue;
            };
            let title = titles.entry(*block).or_insert((*level, String::new()));
            title.1.push_str(&span.text);
        }
        titles
            .into_values()
            .map(|(level, text)| Title {
                text,
                page: page + 1,
                level: level.clamp(1, 6),
            })
            .collect()
    }
}

/// What this engine says, or nothing where it panics: it is a second opinion, and the first one's text must not be lost by it.
fn unharmed<T>(ask: impl FnOnce() -> T) -> Option<T> {
    let answer = panic::catch_unwind(AssertUnwindSafe(ask));
    // Dropping a panic's payload can panic again.
    answer.map_err(std::mem::forget).ok()
}

/// A text string of PDF: UTF-16 or UTF-8 by its mark, else `PDFDocEncoding`, which has the letters of windows-1252.
fn text_string(bytes: &[u8]) -> String {
    let (text, _, _) = encoding_rs::WINDOWS_1252.decode(bytes);
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    #[test]
    fn a_panic_is_no_answer_even_if_it_would_panic_again() {
        assert_eq!(unharmed(|| "an answer"), Some("an answer"));
        assert_eq!(unharmed(|| panic!("once")), None::<&str>);
        assert_eq!(unharmed(|| panic::panic_any(Bomb)), None::<&str>);
    }
}
