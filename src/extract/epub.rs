//! Electronic books: a zip of web pages with an order, read through the HTML extractor, a page each.
//!
//! Pages outside of the main order (`linear="no"`: notes, answers, covers) come last. Tables of contents are left out, but
//! name the chapters that have no heading of their own.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use quick_xml::events::BytesStart;

use crate::document::{Block, BlockKind, Page};

use super::{
    Settings,
    blocks::Blocks,
    error::{ExtractError, Limit},
    escape::unescape,
    html,
    package::{self, Package, readable},
    xml::{self, Node},
};

/// What may be encrypted without hiding text: fonts, by the two ways that books have for them.
const FONT_ENCRYPTIONS: &[&str] = &[
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
];

/// Longer names of chapters are left out: a table of contents is no text.
const MAX_LABEL_BYTES: usize = 500;

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

/// A part as the book lists it.
struct Item {
    part: String,
    is_page: bool,
    /// It is made for navigation only.
    navigates: bool,
}

/// What the list of parts says.
#[derive(Default)]
struct Book {
    items: HashMap<String, Item>,
    /// Ids in reading order, those outside of the main order last.
    spine: Vec<String>,
    /// Pages that hold the table of contents.
    contents: HashSet<String>,
    /// The table of contents of older books.
    ncx: Option<String>,
}

impl Book {
    fn read(main: &str, text: &str) -> Result<Self, ExtractError> {
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
    fn order(&self) -> Vec<&Item> {
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
    fn chapters(&self, package: &mut Package<'_>) -> Result<HashMap<String, String>, ExtractError> {
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

fn attribute(start: &BytesStart<'_>, name: &str) -> String {
    xml::attribute(start, name).unwrap_or_default().into_owned()
}

/// The part that an address within the book means, as it is looked up.
fn part_of(folder: &str, address: &str) -> String {
    let path = address.split('#').next().unwrap_or_default();
    let path = unescape(path.as_bytes(), b'%');
    package::normal(&package::resolve(folder, &String::from_utf8_lossy(&path)))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const CONTAINER: (&str, &str) = (
        "META-INF/container.xml",
        "<container><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>",
    );

    fn epub(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            zip.start_file(*name, SimpleFileOptions::default())
                .expect("a new part");
            zip.write_all(text.as_bytes()).expect("memory");
        }
        zip.finish().expect("memory").into_inner()
    }

    /// A book's list of parts: ids that are the names of XHTML pages, and what the spine says.
    fn opf(items: &[&str], spine: &str) -> String {
        let items: Vec<String> = items
            .iter()
            .map(|item| {
                format!(
                    "<item id='{item}' href='{item}.xhtml' media-type='application/xhtml+xml'/>"
                )
            })
            .collect();
        format!(
            "<package><manifest>{}<item id='nav' href='nav.xhtml' properties='nav' media-type='application/xhtml+xml'/>\
             </manifest><spine>{spine}</spine></package>",
            items.concat()
        )
    }

    fn read(parts: &[(&str, &str)]) -> Result<Vec<Vec<String>>, ExtractError> {
        let settings = Settings {
            types: Vec::new(),
            max_text_bytes: 1 << 20,
            max_pages: 3,
        };
        let pages = extract(&epub(parts), &settings)?;
        assert!(pages.iter().all(|page| page.number.is_none()));
        let texts = |page: Page| page.blocks.into_iter().map(|block| block.text).collect();
        Ok(pages.into_iter().map(texts).collect())
    }

    #[test]
    fn pages_come_in_the_order_of_the_spine_and_asides_last() {
        let opf = opf(
            &["a", "b%20c", "notes", "gone"],
            "<itemref idref='nav'/><itemref idref='notes' linear='no'/><itemref idref='b%20c'/><itemref idref='a'/>\
             <itemref idref='a'/><itemref idref='unknown'/>",
        );
        let pages = read(&[
            CONTAINER,
            ("OEBPS/book.opf", &opf),
            ("OEBPS/nav.xhtml", "<h1>Contents</h1>"),
            ("OEBPS/a.xhtml", "<title/><h2>A</h2><p>one"),
            ("OEBPS/B c.xhtml", "<p>two"),
            ("OEBPS/notes.xhtml", "<p>three"),
        ]);
        let expected = vec![vec!["two"], vec!["A", "one"], vec!["three"]];
        assert_eq!(pages.expect("readable"), expected);
    }

    #[test]
    fn a_title_that_every_page_repeats_is_read_once_and_chapters_are_named() {
        let opf = opf(
            &["a", "b", "c"],
            "<itemref idref='a'/><itemref idref='b'/><itemref idref='c'/>",
        );
        let pages = read(&[
            CONTAINER,
            ("OEBPS/book.opf", &opf),
            (
                "OEBPS/nav.xhtml",
                "<nav><a href='b.xhtml#x'>Rain &amp; <i>wind</i></a><a href='a.xhtml'>A</a>",
            ),
            ("OEBPS/a.xhtml", "<title>Book</title><h2>One</h2><p>one"),
            ("OEBPS/b.xhtml", "<title>Book</title><p>two"),
            ("OEBPS/c.xhtml", "<title>Book</title><h2>Three</h2>"),
        ]);
        let expected = vec![
            vec!["Book", "One", "one"],
            vec!["Rain & wind", "two"],
            vec!["Book", "Three"],
        ];
        assert_eq!(pages.expect("readable"), expected);
    }

    #[test]
    fn encrypted_pages_lock_a_book_and_encrypted_fonts_do_not() {
        let encryption = |method: &str, part: &str| {
            format!(
                "<encryption><EncryptedData><EncryptionMethod Algorithm='{method}'/><KeyInfo><EncryptedKey>\
                 <EncryptionMethod Algorithm='other'/></EncryptedKey></KeyInfo>\
                 <CipherData><CipherReference URI='{part}'/></CipherData></EncryptedData></encryption>"
            )
        };
        let opf = opf(&["a"], "<itemref idref='a'/>");
        let read = |encryption: &str| {
            read(&[
                CONTAINER,
                ("META-INF/encryption.xml", encryption),
                ("OEBPS/book.opf", &opf),
                ("OEBPS/a.xhtml", "<p>one"),
            ])
        };
        let aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
        assert_eq!(
            read(&encryption(aes, "OEBPS/a.xhtml")),
            Err(ExtractError::Encrypted)
        );
        assert!(read(&encryption(aes, "OEBPS/font.otf")).is_ok());
        assert!(read(&encryption(FONT_ENCRYPTIONS[0], "OEBPS/a.xhtml")).is_ok());
    }

    #[test]
    fn a_book_without_pages_is_damaged_and_one_of_too_many_refused() {
        let code = |parts: &[(&str, &str)]| read(parts).expect_err("no book");
        let one = opf(&["a"], "<itemref idref='a'/>");
        for parts in [
            &[("mimetype", "application/epub+zip")][..],
            &[CONTAINER],
            &[CONTAINER, ("OEBPS/book.opf", "<package/>")],
            &[CONTAINER, ("OEBPS/book.opf", &one)],
        ] {
            assert!(matches!(code(parts), ExtractError::Corrupt { .. }));
        }
        let refs = |id| format!("<itemref idref='{id}'/>");
        let many = opf(
            &["a", "b", "c", "d"],
            &["a", "b", "c", "d"].map(refs).concat(),
        );
        assert!(matches!(
            code(&[CONTAINER, ("OEBPS/book.opf", &many)]),
            ExtractError::TooLarge { .. }
        ));
    }
}
