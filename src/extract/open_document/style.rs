//! The styles of a document: which make headings, captions and code, which hide, and how lists are numbered.

use std::collections::{HashMap, HashSet};

use quick_xml::events::BytesStart;

use super::{
    super::{
        error::ExtractError,
        package::readable,
        xml::{self, Node},
    },
    list::Numbering,
};

/// How far parents are followed: longer chains are loops.
const MAX_CHAIN: usize = 32;

/// What a style says itself.
#[derive(Debug, Default)]
struct Style {
    parent: Option<String>,
    hides: Option<bool>,
    list: Option<String>,
}

/// What a paragraph is by its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Heading(u8),
    Caption,
    Code,
    /// A cell that names its column.
    ColumnName,
}

/// All styles of a document by name.
#[derive(Debug, Default)]
pub(in crate::extract) struct Styles {
    paragraphs: HashMap<String, Style>,
    texts: HashMap<String, Style>,
    /// Of slides and tables that are not shown.
    hidden: HashSet<String>,
    pub(in crate::extract::open_document) lists: HashMap<String, Numbering>,
    /// Of headings.
    pub(in crate::extract::open_document) outline: Numbering,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Paragraph,
    Text,
}

/// Where the reader is.
#[derive(Default)]
struct Place {
    style: Option<(Family, String)>,
    /// Name of the open style, whatever its family.
    name: String,
    list: Option<String>,
    outline: bool,
}

impl Styles {
    /// Reads the styles of these parts, the later ones over the earlier, as far as they can be read.
    pub(in crate::extract) fn read(parts: &[&str]) -> Result<Self, ExtractError> {
        let mut styles = Self::default();
        for part in parts {
            let mut place = Place::default();
            let walked = xml::walk(part, |node| {
                match node {
                    Node::Start(name, start) => styles.start(&mut place, name, start),
                    Node::End("style") => place.style = None,
                    Node::End("list-style") => place.list = None,
                    Node::End("outline-style") => place.outline = false,
                    Node::End(_) | Node::Text(_) => {}
                }
                Ok(())
            });
            readable(walked)?;
        }
        Ok(styles)
    }

    fn start(&mut self, place: &mut Place, name: &str, start: &BytesStart<'_>) {
        let value = |name| xml::attribute(start, name).map(std::borrow::Cow::into_owned);
        match name {
            "style" => {
                place.name = value("name").unwrap_or_default();
                let family = match value("family").as_deref() {
                    Some("paragraph") => Family::Paragraph,
                    Some("text") => Family::Text,
                    _ => return,
                };
                let name = place.name.clone();
                place.style = Some((family, name.clone()));
                let style = Style {
                    parent: value("parent-style-name"),
                    hides: None,
                    list: value("list-style-name"),
                };
                self.family(family).insert(name, style);
            }
            "text-properties" => {
                let hides = xml::attribute(start, "display").map(|display| display == "none");
                let open = place.style.as_ref();
                let style = open.and_then(|(family, name)| self.family(*family).get_mut(name));
                if let Some(style) = style {
                    style.hides = hides;
                }
            }
            "drawing-page-properties" if value("visibility").as_deref() == Some("hidden") => {
                self.hidden.insert(place.name.clone());
            }
            "table-properties" if value("display").as_deref() == Some("false") => {
                self.hidden.insert(place.name.clone());
            }
            "list-style" => {
                let name = value("name").unwrap_or_default();
                self.lists.insert(name.clone(), Numbering::default());
                place.list = Some(name);
            }
            "outline-style" => place.outline = true,
            _ if place.outline => self.outline.set(name, start),
            _ => {
                if let Some(list) = place
                    .list
                    .as_ref()
                    .and_then(|list| self.lists.get_mut(list))
                {
                    list.set(name, start);
                }
            }
        }
    }

    const fn family(&mut self, family: Family) -> &mut HashMap<String, Style> {
        match family {
            Family::Paragraph => &mut self.paragraphs,
            Family::Text => &mut self.texts,
        }
    }

    /// Whether a style hides its text.
    pub(super) fn hides(&self, family: Family, name: &str) -> bool {
        let styles = match family {
            Family::Paragraph => &self.paragraphs,
            Family::Text => &self.texts,
        };
        let hides = chain(styles, name).find_map(|name| styles.get(name)?.hides);
        hides.unwrap_or(false)
    }

    /// The list that a paragraph's style puts it in.
    pub(super) fn list_of(&self, name: &str) -> Option<&str> {
        let styles = &self.paragraphs;
        let list = chain(styles, name).find_map(|name| styles.get(name)?.list.as_deref());
        list.filter(|list| !list.is_empty())
    }

    /// Whether a slide or table of this style is not shown.
    pub(in crate::extract) fn is_hidden(&self, name: &str) -> bool {
        self.hidden.contains(name)
    }

    /// What a style's paragraphs are; names of built-in styles are English in every language.
    pub(super) fn role(&self, name: &str) -> Role {
        let role = chain(&self.paragraphs, name).find_map(role_of);
        role.unwrap_or(Role::Plain)
    }
}

/// The names of a style and of those that it inherits from, the last of which may be described nowhere.
fn chain<'a>(styles: &'a HashMap<String, Style>, name: &'a str) -> impl Iterator<Item = &'a str> {
    std::iter::successors(Some(name), |name| styles.get(*name)?.parent.as_deref()).take(MAX_CHAIN)
}

fn role_of(name: &str) -> Option<Role> {
    let name = name.replace("_20_", " ").to_lowercase();
    match &*name {
        "title" => Some(Role::Heading(1)),
        "caption" => Some(Role::Caption),
        "preformatted text" | "source code" => Some(Role::Code),
        "table heading" => Some(Role::ColumnName),
        _ => {
            let level: u8 = name.strip_prefix("heading ")?.parse().ok()?;
            (1..=10)
                .contains(&level)
                .then(|| Role::Heading(level.min(6)))
        }
    }
}
