//! An open paragraph, and what it is once it ends.

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{table::Piece, xml},
    context::Context,
};

/// An open paragraph.
#[derive(Default)]
pub(super) struct Paragraph {
    pub(super) text: String,
    pub(super) style: Option<String>,
    outline: Option<u8>,
    list: Option<String>,
    list_level: Option<usize>,
    /// Its end was deleted: it runs on into the next.
    pub(super) runs_on: bool,
    /// Its end is hidden: it has no number of its own.
    pub(super) end_hidden: bool,
    /// What the text boxes that hang on it hold.
    pub(super) boxes: Vec<Piece>,
}

impl Paragraph {
    /// The paragraph into which it runs on: with its text, and with settings of its own.
    pub(super) fn continued(self) -> Self {
        Self {
            text: self.text,
            boxes: self.boxes,
            ..Self::default()
        }
    }

    /// Takes in one of its settings.
    pub(super) fn set(&mut self, name: &str, start: &BytesStart<'_>) {
        let value = || xml::value(start).unwrap_or_default();
        match name {
            "pStyle" => self.style = Some(value().into_owned()),
            "outlineLvl" => self.outline = value().parse().ok(),
            "numId" => self.list = Some(value().into_owned()),
            "ilvl" => self.list_level = value().parse().ok(),
            _ => {}
        }
    }

    /// What it is and the number before it, which is counted even if no text follows.
    pub(super) fn look_up(&self, context: &mut Context<'_>) -> (BlockKind, String) {
        let style = context.styles.get(self.style.as_deref());
        let list = self
            .list
            .as_ref()
            .or(style.list.as_ref())
            .filter(|list| *list != "0");
        let marker = list.and_then(|list| {
            let of_style = || {
                let id = self.style.as_deref().or(context.styles.default_id())?;
                context.numbering.level_of_style(list, id)
            };
            let level = self.list_level.or(style.list_level).or_else(of_style);
            if self.end_hidden && self.text.trim().is_empty() {
                return None;
            }
            context.numbering.next(list, level.unwrap_or(0))
        });
        let kind = if let Some(level) = style.heading(self.outline) {
            BlockKind::Heading { level }
        } else if style.is_caption() {
            BlockKind::Caption
        } else if style.is_code() {
            BlockKind::Code
        } else if list.is_some() {
            BlockKind::ListItem
        } else {
            BlockKind::Paragraph
        };
        let is_heading = matches!(kind, BlockKind::Heading { .. });
        let marker = marker.filter(|_| !is_heading || context.heading_numbers);
        (kind, marker.unwrap_or_default())
    }
}
