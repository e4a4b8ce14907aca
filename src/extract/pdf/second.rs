//! The `pdf_oxide` engine, asked where the first one's reading is doubtful: what is written into forms and notes, fonts that
//! the first could not read, pages that it gave up on; and the headings that a tagged file names.

use std::collections::BTreeMap;

use pdf_oxide::{
    converters::ConversionOptions,
    document::PdfDocument,
    object::Object,
    structure::{OrderedContent, traverse_structure_tree_all_pages},
};

use super::headings::Title;

/// Notes and fields whose text belongs to the page; links and pop-ups have none of their own.
const WRITTEN: [&str; 9] = [
    "Widget",
    "FreeText",
    "Text",
    "Stamp",
    "Highlight",
    "Underline",
    "StrikeOut",
    "Squiggly",
    "Caret",
];

/// Notes of a page that are looked at; a page of more is a drawing.
const MAX_NOTES: usize = 10_000;

/// An open file.
pub(super) struct Second {
    document: PdfDocument,
    pages: usize,
}

impl Second {
    /// Opens the file, if this engine can read it.
    pub(super) fn open(bytes: &[u8]) -> Option<Self> {
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
        self.document.extract_text_with_options(page, &options).ok()
    }

    /// Whether somebody may have written something onto a page, counted from 0: fields, notes, stamps.
    pub(super) fn is_written_on(&self, page: usize) -> bool {
        self.notes(page).is_some_and(|notes| {
            let mut kinds = notes.iter().take(MAX_NOTES).filter_map(|note| {
                let note = self.document.resolve_object(note).ok()?;
                let kind = note.as_dict()?.get("Subtype")?.as_name()?.to_owned();
                Some(kind)
            });
            kinds.any(|kind| WRITTEN.contains(&&*kind))
        })
    }

    fn notes(&self, page: usize) -> Option<Vec<Object>> {
        let page = self.document.get_page(page).ok()?;
        let notes = page.as_dict()?.get("Annots")?;
        let notes = self.document.resolve_object(notes).ok()?;
        notes.as_array().cloned()
    }

    /// The headings of a tagged file: what its `H1` to `H6` enclose, in the order of pages.
    pub(super) fn headings(&self) -> Vec<Title> {
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
