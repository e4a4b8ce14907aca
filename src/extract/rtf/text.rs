//! From bytes and numbers to characters.

use std::mem;

use super::{Destination, Reader};

/// Enough of a field's code to tell what it is.
const MAX_CODE: usize = 64;

impl Reader {
    pub(super) fn text(&mut self, text: &[u8]) {
        let skipped = self.skip.min(text.len());
        self.skip -= skipped;
        let text = &text[skipped..];
        if text.is_empty() {
            return;
        }
        self.half = None;
        match self.group().destination {
            Destination::Text | Destination::Marker => self.bytes.extend_from_slice(text),
            Destination::Code => {
                let left = MAX_CODE.saturating_sub(self.code.len());
                let text = &text[..text.len().min(left)];
                self.code.extend(text.iter().map(|byte| char::from(*byte)));
            }
            Destination::Styles => self.styles.named(text),
            Destination::Fonts | Destination::Nothing | Destination::Repetition => {}
        }
    }

    /// Writes the bytes that wait.
    pub(super) fn decode(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = mem::take(&mut self.bytes);
            let page = self.group().page;
            self.write(&page.decode(&bytes));
            self.bytes = bytes;
            self.bytes.clear();
        }
    }

    pub(super) fn write(&mut self, text: &str) {
        let group = *self.group();
        if group.hidden || group.deleted {
            return;
        }
        match group.destination {
            Destination::Text => self.flow().text.push_str(text),
            Destination::Marker => self.flow().marker.push_str(text),
            Destination::Code
            | Destination::Fonts
            | Destination::Styles
            | Destination::Nothing
            | Destination::Repetition => {}
        }
    }

    pub(super) fn write_char(&mut self, c: char) {
        self.write(c.encode_utf8(&mut [0; 4]));
    }

    /// A character by its number, or half of one: the numbers are those of UTF-16, often negative.
    pub(super) fn unicode(&mut self, number: i32) {
        self.skip = self.group().stand_ins;
        let unit = match u32::try_from(number) {
            Ok(scalar @ 0x1_0000..) => {
                self.write_char(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
                return;
            }
            Ok(_) | Err(_) => u16::try_from(number & 0xffff).unwrap_or_default(),
        };
        let units = match (self.half.take(), unit) {
            (_, 0xd800..=0xdbff) => {
                self.half = Some(unit);
                return;
            }
            (Some(half), _) => vec![half, unit],
            (None, _) => vec![unit],
        };
        for c in char::decode_utf16(units) {
            self.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
}
