//! The styles of a document: which make headings, lists, captions and code, and which hide their text.

use std::{borrow::Cow, collections::HashMap};

use quick_xml::events::BytesStart;

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
pub(super) struct Styles {
    by_id: HashMap<String, Style>,
    /// Of paragraphs that name none.
    default: Option<String>,
    /// Whether the document's text is hidden unless a style or run shows it.
    hidden: bool,
}

impl Styles {
    /// Reads `styles.xml`.
    pub(super) fn read(text: &str) -> Result<Self, ExtractError> {
        let mut styles = Self::default();
        let mut by_id = HashMap::new();
        let mut open: Option<(String, Style)> = None;
        let mut left_out = 0_usize;
        xml::walk(text, |node| {
            match node {
                // Former settings, and those of parts of tables, which say nothing of a paragraph.
                Node::Start("pPrChange" | "rPrChange" | "tblStylePr", _) => left_out += 1,
                Node::End("pPrChange" | "rPrChange" | "tblStylePr") => {
                    left_out = left_out.saturating_sub(1);
                }
                Node::Start("style", start) => {
                    let id = xml::attribute(start, "styleId").unwrap_or_default();
                    if is_default(start) {
                        styles.default = Some(id.to_string());
                    }
                    open = Some((id.into_owned(), Style::default()));
                }
                Node::Start(name, start) if left_out == 0 => match &mut open {
                    Some((_, style)) => style.set(name, start),
                    // Outside of styles, only the defaults of all text speak of runs.
                    None if name == "vanish" => styles.hidden = xml::is_on(start),
                    None => {}
                },
                Node::End("style") => by_id.extend(open.take()),
                Node::Start(..) | Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        let resolved = by_id
            .iter()
            .map(|(id, style)| (id.clone(), inherit(style, &by_id)));
        styles.by_id = resolved.collect();
        Ok(styles)
    }

    /// A paragraph's style, or that of paragraphs which name none; one that is not described is known by its id alone.
    pub(super) fn get(&self, id: Option<&str>) -> Cow<'_, Style> {
        let Some(id) = id.or(self.default_id()) else {
            return Cow::Owned(Style::default());
        };
        self.by_id.get(id).map_or_else(
            || {
                Cow::Owned(Style {
                    name: spaced(id),
                    ..Style::default()
                })
            },
            Cow::Borrowed,
        )
    }

    /// The style of paragraphs that name none.
    pub(super) fn default_id(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// Whether a paragraph's style, or what holds for all text, hides its runs.
    pub(super) fn hides(&self, id: Option<&str>) -> bool {
        self.get(id).hidden.unwrap_or(self.hidden)
    }

    /// What a run's own style says of hiding it.
    pub(super) fn hides_run(&self, id: &str) -> Option<bool> {
        self.by_id.get(id)?.hidden
    }
}

/// Whether a style is that of paragraphs which name none.
fn is_default(start: &BytesStart<'_>) -> bool {
    let is = |name, wanted: &[&str]| {
        xml::attribute(start, name).is_some_and(|value| wanted.contains(&&*value))
    };
    is("default", &["1", "true", "on"]) && is("type", &["paragraph"])
}

/// A style with what the styles below it say.
fn inherit(own: &Style, styles: &HashMap<String, Style>) -> Style {
    let mut style = own.clone();
    style.outline = style.outline.or_else(|| heading_of(&own.name));
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
    fn set(&mut self, name: &str, start: &BytesStart<'_>) {
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

    /// The level of heading that it makes, from 1, by the paragraph's own outline, the style's, or the style's name.
    pub(super) fn heading(&self, own: Option<u8>) -> Option<u8> {
        let outline = own.or(self.outline).or_else(|| heading_of(&self.name));
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
