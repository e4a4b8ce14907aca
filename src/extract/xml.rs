//! XML as starts, ends and text, with names free of prefixes.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

use super::error::ExtractError;

/// A piece of XML.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// The start of an element: its local name and attributes.
    Start(&'a str, &'a BytesStart<'a>),
    /// Its end, also of an empty one.
    End(&'a str),
    /// Text, or a piece of it.
    Text(&'a str),
}

/// Gives the nodes of `xml` in order; malformed or cut XML is an error.
pub(super) fn walk(
    xml: &str,
    mut give: impl FnMut(Node<'_>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut depth = 0_usize;
    loop {
        let event = reader
            .read_event()
            .map_err(|_| ExtractError::corrupt("a part of it is malformed XML"))?;
        match event {
            Event::Start(start) => {
                depth += 1;
                give(Node::Start(start.local_name().as_ref(), &start))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                give(Node::End(end.local_name().as_ref()))?;
            }
            Event::Text(text) => give(Node::Text(&text))?,
            Event::CData(text) => give(Node::Text(&text))?,
            Event::GeneralRef(reference) => give(Node::Text(&resolved(&reference)))?,
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(ExtractError::corrupt("a part of it is cut off")),
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
}

/// What `&amp;` or `&#x41;` stands for; entities of the file's own stand for nothing.
fn resolved(reference: &BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => c.to_string(),
        Ok(None) => resolve_predefined_entity(reference)
            .unwrap_or_default()
            .to_owned(),
        Err(_) => String::new(),
    }
}

/// The value of an attribute by its local name.
pub(super) fn attribute<'a>(start: &'a BytesStart<'_>, name: &str) -> Option<Cow<'a, str>> {
    let attribute = start
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    Some(value.unwrap_or(attribute.value))
}

/// The value of an attribute by its local name, if the name has a prefix: `r:id` beside an `id` that is no reference.
pub(super) fn prefixed<'a>(start: &'a BytesStart<'_>, name: &str) -> Option<Cow<'a, str>> {
    let attribute = start
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| {
            attribute.key.prefix().is_some() && attribute.key.local_name().as_ref() == name
        })?;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    Some(value.unwrap_or(attribute.value))
}

/// The `val` attribute.
pub(super) fn value<'a>(start: &'a BytesStart<'_>) -> Option<Cow<'a, str>> {
    attribute(start, "val")
}

/// Whether a property like `<w:vanish/>` is on.
pub(super) fn is_on(start: &BytesStart<'_>) -> bool {
    !value(start).is_some_and(|value| matches!(&*value, "0" | "false" | "off" | "none"))
}
