//! What a book says of its parts: their list, the order of reading, and the names of chapters.

use std::collections::{HashMap, HashSet};

use quick_xml::events::BytesStart;

use super::super::{
    error::ExtractError,
    escape::unescape,
    package::{self, Package, readable},
    xml::{self, Node},
};

/// Longer names of chapters are left out: a table of contents is no text.
const MAX_LABEL_BYTES: usize = 500;

/// A part as the book lists it.
pub(super) struct Item {
    pub(super) part: String,
    is_page: bool,
    /// It is made for navigation only.
    navigates: bool,
}

/// What the list of parts says.
#[derive(Default)]
pub(super) struct Book {
    items: HashMap<String, Item>,
    /// Ids in reading order, those outside of the main order last.
    spine: Vec<String>,
    /// Pages that hold the table of contents.
    contents: HashSet<String>,
    /// The table of contents of older books.
    ncx: Option<String>,
}

impl Book {
    pub(super) fn read(main: &str, text: &str) -> Result<Self, ExtractError> {
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut book = Self::default();
        let mut aside = Vec::new();
        xml::walk(text, |node| {
            let Node::Start(name, start) = node else {
                return Ok(());
            };
            match name {
                "item" => book.add(folder, start),
                "itemref" => {
                    let id = attribute(start, "idref");
                    if attribute(start, "linear") == "no" {
                        aside.push(id);
                    } else {
                        book.spine.push(id);
                    }
                }
                "reference" if attribute(start, "type") == "toc" => {
                    book.contents
                        .insert(part_of(folder, &attribute(start, "href")));
                }
                _ => {}
            }
            Ok(())
        })?;
        book.spine.append(&mut aside);
        Ok(book)
    }

    fn add(&mut self, folder: &str, start: &BytesStart<'_>) {
        let part = part_of(folder, &attribute(start, "href"));
        let media_type = attribute(start, "media-type").to_ascii_lowercase();
        if media_type == "application/x-dtbncx+xml" {
            self.ncx = Some(part.clone());
        }
        let item = Item {
            is_page: matches!(
                &*media_type,
                "application/xhtml+xml"
                    | "text/html"
                    | "application/x-dtbook+xml"
                    | "text/x-oeb1-document"
            ),
            navigates: attribute(start, "properties")
                .split_ascii_whitespace()
                .any(|property| property == "nav"),
            part,
        };
        self.items.insert(attribute(start, "id"), item);
    }

    /// The pages to read, each once; tables of contents only where there is nothing else.
    pub(super) fn order(&self) -> Vec<&Item> {
        let mut met = HashSet::new();
        let pages: Vec<&Item> = self
            .spine
            .iter()
            .filter_map(|id| self.items.get(id))
            .filter(|item| item.is_page && met.insert(&*item.part))
            .collect();
        let text: Vec<&Item> = pages
            .iter()
            .copied()
            .filter(|item| !item.navigates && !self.contents.contains(&item.part))
            .collect();
        if text.is_empty() { pages } else { text }
    }

    /// The names of chapters by their part, from the tables of contents.
    pub(super) fn chapters(
        &self,
        package: &mut Package<'_>,
    ) -> Result<HashMap<String, String>, ExtractError> {
        let mut chapters = HashMap::new();
        let nav = self.items.values().find(|item| item.navigates);
        for part in nav.map(|item| &item.part).into_iter().chain(&self.ncx) {
            let folder = part.rsplit_once('/').map_or("", |(folder, _)| folder);
            readable(read_contents(&package.side(part)?, folder, &mut chapters))?;
        }
        Ok(chapters)
    }
}

/// Takes the names of chapters from a table of contents, of either kind.
fn read_contents(
    text: &str,
    folder: &str,
    chapters: &mut HashMap<String, String>,
) -> Result<(), ExtractError> {
    let mut label = String::new();
    let mut target = None;
    xml::walk(text, |node| {
        match node {
            Node::Start("a", start) => {
                label.clear();
                target = Some(part_of(folder, &attribute(start, "href")));
            }
            Node::Start("navLabel", _) => label.clear(),
            Node::Start("content", start) => {
                let part = part_of(folder, &attribute(start, "src"));
                chapters.entry(part).or_insert_with(|| label.clone());
            }
            Node::End("a") => {
                if let Some(part) = target.take() {
                    chapters.entry(part).or_insert_with(|| label.clone());
                }
            }
            Node::Text(text) if label.len() + text.len() <= MAX_LABEL_BYTES => {
                label.push_str(text);
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })
}

fn attribute(start: &BytesStart<'_>, name: &str) -> String {
    xml::attribute(start, name).unwrap_or_default().into_owned()
}

/// The part that an address within the book means, as it is looked up.
pub(super) fn part_of(folder: &str, address: &str) -> String {
    let path = address.split('#').next().unwrap_or_default();
    let path = unescape(path.as_bytes(), b'%');
    package::normal(&package::resolve(folder, &String::from_utf8_lossy(&path)))
}
