//! What holds within a group of braces.

use super::codepage::CodePage;

/// An outline level of 9 is body text.
pub(super) const BODY_TEXT: u8 = 9;

/// What the text of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Text of the innermost flow.
    Text,
    /// The number or bullet of the paragraph.
    Marker,
    /// The code of a field.
    Code,
    Fonts,
    Styles,
    /// No text, but there may be some within.
    Nothing,
    /// What was said before, for older readers.
    Repetition,
}

/// What holds until the end of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) destination: Destination,
    /// What `\upr` said twice goes here the second time.
    pub(super) again: Option<Destination>,
    pub(super) page: CodePage,
    /// How many characters stand in for one of `\u`.
    pub(super) stand_ins: usize,
    pub(super) hidden: bool,
    pub(super) deleted: bool,
    pub(super) paragraph: Paragraph,
}

/// Settings of a paragraph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paragraph {
    pub(super) outline: u8,
    pub(super) style: i32,
    pub(super) in_table: bool,
    pub(super) level: usize,
}

impl Paragraph {
    pub(super) const PLAIN: Self = Self {
        outline: BODY_TEXT,
        style: 0,
        in_table: false,
        level: 0,
    };

    /// How many tables it lies in.
    pub(super) const fn table(self) -> usize {
        if self.in_table && self.level == 0 {
            1
        } else {
            self.level
        }
    }
}

impl Group {
    /// What holds before anything is said.
    pub(super) const OUTERMOST: Self = Self {
        destination: Destination::Text,
        again: None,
        page: CodePage::DEFAULT,
        stand_ins: 1,
        hidden: false,
        deleted: false,
        paragraph: Paragraph::PLAIN,
    };
}
