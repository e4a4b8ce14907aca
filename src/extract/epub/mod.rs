//! Electronic books: a zip of web pages with an order, read through the HTML extractor, a page each.
//!
//! Pages outside of the main order (`linear="no"`: notes, answers, covers) come last. Tables of contents are left out, but
//! name the chapters that have no heading of their own.

mod book;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use crate::document::{Block, BlockKind, Page};

use self::book::{Book, Item, part_of};
use super::{
    Settings,
    blocks::Blocks,
    error::{ExtractError, Limit},
    html,
    package::{self, Package, readable},
    xml::{self, Node},
};

/// What may be encrypted without hiding text: fonts, by the two ways that books have for them.
const FONT_ENCRYPTIONS: &[&str] = &[
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
];

/// Reads a book.
pub(super) fn extract(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = Package::open(bytes)?;
    let main = main_part(&mut package)?;
    let locked = locked_parts(&mut package)?;
    if locked.contains(&package::normal(&main)) {
        return Err(ExtractError::Encrypted);
    }
    let text = package
        .part(&main)?
        .ok_or_else(|| ExtractError::corrupt("the list of its parts is missing"))?;
    let book = Book::read(&main, &text)?;
    let order = book.order();
    if order.len() > usize::try_from(settings.max_pages).unwrap_or(usize::MAX) {
        return Err(ExtractError::TooLarge {
            limit: Limit::Pages(settings.max_pages),
        });
    }
    if order.iter().any(|item| locked.contains(&item.part)) {
        return Err(ExtractError::Encrypted);
    }
    let chapters = book.chapters(&mut package)?;
    let mut reader = Reader {
        blocks: Blocks::new(settings.max_text_bytes),
        chapters,
        title: String::new(),
    };
    let mut pages = Vec::new();
    for item in order {
        if let Some(text) = readable(package.part(&item.part))? {
            pages.push(reader.page(item, &text)?);
        }
    }
    if pages.is_empty() {
        return Err(ExtractError::corrupt("none of its pages is there"));
    }
    Ok(pages)
}

/// The name of the part that lists the others.
fn main_part(package: &mut Package<'_>) -> Result<String, ExtractError> {
    let missing = || ExtractError::corrupt("what it consists of is not said");
    let text = package
        .part("META-INF/container.xml")?
        .ok_or_else(missing)?;
    let mut main = None;
    xml::walk(&text, |node| {
        if let Node::Start("rootfile", start) = node
            && main.is_none()
        {
            main = xml::attribute(start, "full-path").map(Cow::into_owned);
        }
        Ok(())
    })?;
    main.ok_or_else(missing)
}

/// The parts whose text is encrypted.
fn locked_parts(package: &mut Package<'_>) -> Result<HashSet<String>, ExtractError> {
    let mut locked = HashSet::new();
    let Some(text) = package.part("META-INF/encryption.xml")? else {
        return Ok(locked);
    };
    let mut method: Option<String> = None;
    xml::walk(&text, |node| {
        match node {
            Node::Start("EncryptedData", _) => method = None,
            Node::Start("EncryptionMethod", start) if method.is_none() => {
                method = xml::attribute(start, "Algorithm").map(Cow::into_owned);
            }
            Node::Start("CipherReference", start) => {
                let of_font = FONT_ENCRYPTIONS.contains(&method.as_deref().unwrap_or_default());
                if let Some(part) = xml::attribute(start, "URI").filter(|_| !of_font) {
                    locked.insert(part_of("", &part));
                }
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })?;
    Ok(locked)
}

/// Reads one page after the other.
struct Reader {
    blocks: Blocks,
    chapters: HashMap<String, String>,
    /// The highest heading that the next page stands under.
    title: String,
}

impl Reader {
    fn page(&mut self, item: &Item, text: &str) -> Result<Page, ExtractError> {
        // Declared or not, it is XML, where `<title/>` closes itself.
        if text.trim_start().starts_with("<?xml") {
            html::extract(text, &mut self.blocks)?;
        } else {
            html::extract(&format!("<?xml?>{text}"), &mut self.blocks)?;
        }
        let mut blocks = self.blocks.take();
        let top = BlockKind::Heading { level: 1 };
        // The title of the book, which stands in the head of every page.
        if blocks
            .first()
            .is_some_and(|block| block.kind == top && block.text == self.title)
        {
            blocks.remove(0);
        }
        let has_heading = |block: &Block| matches!(block.kind, BlockKind::Heading { .. });
        if !blocks.is_empty() && !blocks.iter().any(has_heading) {
            if let Some(name) = self.chapters.get(&item.part) {
                self.blocks.line(top, name)?;
            }
            blocks.splice(0..0, self.blocks.take());
        }
        if let Some(block) = blocks.iter().rfind(|block| block.kind == top) {
            self.title.clone_from(&block.text);
        }
        Ok(Page {
            number: None,
            blocks,
        })
    }
}

#[cfg(test)]
mod tests;
