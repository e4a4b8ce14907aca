//! Paragraphs and headings, with their numbers.

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::xml,
    body::Body,
    element::Element,
    style::{Family, Role},
};

/// An open paragraph.
#[derive(Default)]
pub(super) struct Paragraph {
    pub(super) text: String,
    pub(super) role: Option<Role>,
    pub(super) marker: Option<String>,
    pub(super) hidden: bool,
}

impl Body<'_> {
    pub(super) fn start_paragraph(&mut self, name: &str, start: &BytesStart<'_>) -> Element {
        let style = xml::attribute(start, "style-name").unwrap_or_default();
        let mut role = self.styles.role(&style);
        let marker = self
            .lists
            .marker(&self.styles.lists, self.styles.list_of(&style));
        let mut heading_number = None;
        if name == "h" {
            let level = xml::attribute(start, "outline-level").and_then(|level| level.parse().ok());
            let level = level.unwrap_or(1_u8).max(1);
            role = Role::Heading(level.min(6));
            heading_number = self.number_heading(usize::from(level - 1), start);
        }
        self.paragraphs.push(Paragraph {
            text: String::new(),
            role: Some(role),
            marker: marker.or(heading_number),
            hidden: self.styles.hides(Family::Paragraph, &style),
        });
        Element::Paragraph
    }

    /// The number of a heading that is in no list, if headings have numbers.
    fn number_heading(&mut self, level: usize, start: &BytesStart<'_>) -> Option<String> {
        let outline = &self.styles.outline;
        let header = xml::attribute(start, "is-list-header").as_deref() == Some("true");
        if header || !outline.counts_at(level) {
            return None;
        }
        Some(outline.next(&mut self.headings, level, None))
    }

    pub(super) fn end_paragraph(&mut self) {
        let Some(paragraph) = self.paragraphs.pop() else {
            return;
        };
        let role = paragraph.role.unwrap_or(Role::Plain);
        if paragraph.text.trim().is_empty() {
            return self.send_notes();
        }
        if role != Role::ColumnName
            && let Some(table) = self.tables.last_mut()
        {
            table.names = false;
        }
        let kind = match role {
            Role::Heading(level) => BlockKind::Heading { level },
            Role::Caption => BlockKind::Caption,
            Role::Code => BlockKind::Code,
            Role::Plain | Role::ColumnName if paragraph.marker.is_some() => BlockKind::ListItem,
            Role::Plain | Role::ColumnName => BlockKind::Paragraph,
        };
        let text = match paragraph.marker.filter(|marker| !marker.is_empty()) {
            Some(marker) => format!("{marker} {}", paragraph.text),
            None => paragraph.text,
        };
        self.send(kind, text);
        self.send_notes();
    }
}
