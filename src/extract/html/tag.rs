//! What the names and attributes of HTML elements say.

use html5ever::{Attribute, tokenizer::Tag};

/// The value of an attribute.
pub(super) fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let found = attributes
        .iter()
        .find(|attribute| *attribute.name.local == *name)?;
    Some(&found.value)
}

/// The number that an attribute holds.
pub(super) fn number(tag: &Tag, name: &str) -> Option<i64> {
    attribute(&tag.attrs, name)?.trim().parse().ok()
}

/// Whether a reader does not see it, or sees nothing of the page's own text in it.
pub(super) fn is_hidden(tag: &Tag) -> bool {
    let attribute = |name| attribute(&tag.attrs, name);
    let style = || attribute("style").map(|style| style.replace(' ', "").to_ascii_lowercase());
    matches!(
        &*tag.name,
        "script"
            | "style"
            | "template"
            | "nav"
            | "svg"
            | "iframe"
            | "object"
            | "canvas"
            | "audio"
            | "video"
            | "noscript"
            | "noembed"
            | "noframes"
            | "select"
            | "datalist"
    ) || attribute("hidden").is_some_and(|value| value != "until-found")
        || attribute("aria-hidden") == Some("true")
        || attribute("role") == Some("navigation")
        || style().is_some_and(|style| {
            style.contains("display:none") || style.contains("visibility:hidden")
        })
}

/// Whether it is a table's cell.
pub(super) fn is_cell(name: &str) -> bool {
    matches!(name, "td" | "th")
}

/// Whether it never has an end tag.
pub(super) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

/// Whether it starts a new line.
pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "center"
            | "details"
            | "dialog"
            | "dd"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "head"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "main"
            | "menu"
            | "ol"
            | "option"
            | "p"
            | "pre"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "title"
            | "ul"
    )
}
