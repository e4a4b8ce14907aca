//! What the paragraphs of every part look up and count.

use std::{collections::HashMap, mem};

use super::{super::numeral::number, chunk::Chunks, numbering::Numbering, styles::Styles};

/// Styles, numbers and notes of a document.
pub(super) struct Context<'a> {
    pub(super) styles: &'a Styles,
    pub(super) numbering: &'a mut Numbering,
    /// Whether headings are read with their numbers.
    pub(super) heading_numbers: bool,
    /// Footnotes by id; each goes out after the paragraph that refers to it.
    pub(super) footnotes: HashMap<String, String>,
    /// Endnotes by id.
    pub(super) endnotes: HashMap<String, String>,
    /// Comments by id, if they are wanted.
    pub(super) comments: HashMap<String, String>,
    /// Documents that the main part shows in place, if they are read.
    pub(super) chunks: Option<Chunks<'a>>,
    /// Endnotes that were referred to, with their labels, in order.
    endnotes_met: Vec<String>,
    footnote_count: i64,
    endnote_count: i64,
}

impl<'a> Context<'a> {
    pub(super) fn new(styles: &'a Styles, numbering: &'a mut Numbering) -> Self {
        Self {
            styles,
            numbering,
            heading_numbers: false,
            footnotes: HashMap::new(),
            endnotes: HashMap::new(),
            comments: HashMap::new(),
            chunks: None,
            endnotes_met: Vec::new(),
            footnote_count: 0,
            endnote_count: 0,
        }
    }

    /// The footnote that is referred to, once, and the label for its reference; one with a mark of the author's own, such
    /// as `*`, has that in both texts already and is not counted.
    pub(super) fn footnote(&mut self, id: &str, own_mark: bool) -> Option<(String, String)> {
        let note = self.footnotes.remove(id)?;
        if own_mark {
            return Some((String::new(), note));
        }
        self.footnote_count += 1;
        let label = format!("[{}]", self.footnote_count);
        let note = format!("{label} {note}");
        Some((label, note))
    }

    /// Keeps the endnote that is referred to for the end, and gives the label for its reference.
    pub(super) fn endnote(&mut self, id: &str, own_mark: bool) -> Option<String> {
        let note = self.endnotes.remove(id)?;
        if own_mark {
            self.endnotes_met.push(note);
            return Some(String::new());
        }
        self.endnote_count += 1;
        let label = format!("[{}]", number(self.endnote_count, "lowerRoman"));
        self.endnotes_met.push(format!("{label} {note}"));
        Some(label)
    }

    /// The endnotes that were referred to.
    pub(super) fn take_endnotes(&mut self) -> Vec<String> {
        mem::take(&mut self.endnotes_met)
    }
}
