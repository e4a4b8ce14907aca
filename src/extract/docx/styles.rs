//! The styles of a document: which make headings, lists, captions and code, and which hide their text.

use std::{borrow::Cow, collections::HashMap};

use super::super::{
    error::ExtractError,
    xml::{self, Node},
};

/// How far `basedOn` is followed: longer chains are loops.
const MAX_CHAIN: usize = 32;

/// What a style says of its paragraphs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Style {
    /// In lower case; the names of built-in styles are English in every language.
    pub(super) name: String,
    /// 0 to 8, or 9 for body text.
    pub(super) outline: Option<u8>,
    /// List and level.
    pub(super) list: Option<String>,
    /// Level in the list.
    pub(super) list_level: Option<usize>,
    /// Whether its text is hidden.
    pub(super) hidden: Option<bool>,
    based_on: Option<String>,
}

/// All styles by id, with what they inherit.
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Style>);

impl Styles {
    /// Reads `styles.xml`.
    pub(super) fn read(text: &str) -> Result<Self, ExtractError> {
        let mut styles = HashMap::new();
        let mut open: Option<(String, Style)> = None;
        let mut in_change = false;
        xml::walk(text, |node| {
            match node {
                Node::Start("style", start) => {
                    let id = xml::attribute(start, "styleId").unwrap_or_default();
                    open = Some((id.into_owned(), Style::default()));
                }
                Node::Start("pPrChange" | "rPrChange", _) => in_change = true,
                Node::End("pPrChange" | "rPrChange") => in_change = false,
                Node::Start(name, start) if !in_change => {
                    if let Some((_, style)) = &mut open {
                        style.set(name, start);
                    }
                }
                Node::End("style") => styles.extend(open.take()),
                Node::Start(..) | Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        let resolved = styles
            .iter()
            .map(|(id, style)| (id.clone(), inherit(style, &styles)));
        Ok(Self(resolved.collect()))
    }

    /// A style with what it inherits; one that is not described is known by its id alone.
    pub(super) fn get(&self, id: &str) -> Cow<'_, Style> {
        self.0.get(id).map_or_else(
            || {
                Cow::Owned(Style {
                    name: spaced(id),
                    ..Style::default()
                })
            },
            Cow::Borrowed,
        )
    }
}

/// A style with what the styles below it say.
fn inherit(own: &Style, styles: &HashMap<String, Style>) -> Style {
    let mut style = own.clone();
    for _ in 0..MAX_CHAIN {
        let Some(base) = style.based_on.take().and_then(|base| styles.get(&base)) else {
            break;
        };
        style.outline = style
            .outline
            .or(base.outline)
            .or_else(|| heading_of(&base.name));
        style.list = style.list.or_else(|| base.list.clone());
        style.list_level = style.list_level.or(base.list_level);
        style.hidden = style.hidden.or(base.hidden);
        style.based_on.clone_from(&base.based_on);
    }
    style
}

impl Style {
    fn set(&mut self, name: &str, start: &quick_xml::events::BytesStart<'_>) {
        let value = || xml::value(start).unwrap_or_default();
        match name {
            "name" => self.name = value().to_lowercase(),
            "basedOn" => self.based_on = Some(value().into_owned()),
            "outlineLvl" => self.outline = value().parse().ok(),
            "numId" => self.list = Some(value().into_owned()),
            "ilvl" => self.list_level = value().parse().ok(),
            "vanish" => self.hidden = Some(xml::is_on(start)),
            _ => {}
        }
    }

    /// The level of heading that it makes, from 1, by its outline or its name.
    pub(super) fn heading(&self) -> Option<u8> {
        let outline = self.outline.or_else(|| heading_of(&self.name));
        outline
            .filter(|level| *level < 9)
            .map(|level| level.min(5) + 1)
    }

    /// Whether it sets captions.
    pub(super) fn is_caption(&self) -> bool {
        matches!(&*self.name, "caption" | "table caption" | "image caption")
    }

    /// Whether it sets program text.
    pub(super) fn is_code(&self) -> bool {
        matches!(
            &*self.name,
            "code" | "source code" | "html preformatted" | "preformatted text"
        )
    }
}

/// The outline level that a built-in name means.
fn heading_of(name: &str) -> Option<u8> {
    if name == "title" {
        return Some(0);
    }
    let level: u8 = name.strip_prefix("heading")?.trim().parse().ok()?;
    (1..=9).contains(&level).then(|| level - 1)
}

/// `Heading1` as the name that it abbreviates, `heading 1`.
fn spaced(id: &str) -> String {
    let letters = id.trim_end_matches(|c: char| c.is_ascii_digit());
    format!("{letters} {}", &id[letters.len()..])
        .trim()
        .to_lowercase()
}
