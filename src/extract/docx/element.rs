//! What the reader of a part remembers of the elements that are open.

/// An element whose start is remembered until its end.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Element {
    Paragraph,
    ParagraphSettings,
    Run,
    RunSettings,
    Text,
    /// The code of a field.
    FieldCode,
    /// The list of a field.
    DropDown,
    /// A field that shows a page's number.
    PageNumber,
    Table,
    /// A table too deep to count.
    DeepTable,
    Row,
    RowSettings,
    Cell,
    CellSettings,
    /// A text box in its line or beside it.
    TextBox {
        in_line: bool,
        /// How many pieces the paragraph around it had before.
        before: usize,
    },
    Alternatives {
        chosen: bool,
    },
    Formula,
    /// Formulas that stand alone.
    FormulaAlone,
    /// A part of a formula, by what is written after it.
    Term(&'static str),
    Brackets,
    Root,
    Other,
}
