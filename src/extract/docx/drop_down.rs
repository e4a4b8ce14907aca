//! Drop-down lists of old forms: their choice stands in the field's data, not in a run.

use quick_xml::events::BytesStart;

use super::super::xml;

/// The list of a field.
#[derive(Default)]
pub(super) struct DropDown {
    entries: Vec<String>,
    chosen: Option<usize>,
    default: Option<usize>,
}

impl DropDown {
    /// Takes in an element of the list.
    pub(super) fn set(&mut self, name: &str, start: &BytesStart<'_>) {
        let value = || xml::value(start).unwrap_or_default();
        match name {
            "result" => self.chosen = value().parse().ok(),
            "default" => self.default = value().parse().ok(),
            "listEntry" => self.entries.push(value().into_owned()),
            _ => {}
        }
    }

    /// The entry that is shown.
    pub(super) fn shown(mut self) -> Option<String> {
        let place = self.chosen.or(self.default).unwrap_or(0);
        (place < self.entries.len()).then(|| self.entries.swap_remove(place))
    }
}
