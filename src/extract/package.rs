//! The zip around an office document or book: its parts, by name and by relationship.

use std::{
    cell::Cell,
    collections::HashMap,
    io::{Cursor, ErrorKind, Read},
    rc::Rc,
};

use zip::{ZipArchive, result::ZipError};

use super::{
    charset,
    error::{ExtractError, Limit},
    xml::{self, Node},
};

/// Most bytes that all parts together may unpack to; an 870-page handbook has 14 MB.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;

/// An open package; clones spend from the same allowance.
#[derive(Clone)]
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// Where each part is, by its name in lower case: writers disagree on case, slashes and a leading slash.
    places: Rc<HashMap<String, usize>>,
    /// How much may be unpacked still, of this package and those within it.
    left: Rc<Cell<u64>>,
}

/// A relationship of a part.
pub(super) struct Relationship {
    /// By which the part refers to it.
    pub(super) id: String,
    /// The last word of its type, such as `styles` or `header`.
    pub(super) kind: String,
    /// Name of the part.
    pub(super) target: String,
}

impl<'a> Package<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        Self::spending(bytes, Rc::new(Cell::new(MAX_UNPACKED_BYTES)))
    }

    /// Opens a package that lies in this one: together they may unpack to no more than one.
    pub(super) fn open_inner<'b>(&self, bytes: &'b [u8]) -> Result<Package<'b>, ExtractError> {
        Package::spending(bytes, Rc::clone(&self.left))
    }

    fn spending(bytes: &'a [u8], left: Rc<Cell<u64>>) -> Result<Self, ExtractError> {
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|_| ExtractError::corrupt("its zip archive cannot be opened"))?;
        let mut places = HashMap::new();
        for place in 0..archive.len() {
            if let Some(Ok(name)) = archive.name_for_index(place) {
                places.insert(normal(&name), place);
            }
        }
        Ok(Self {
            archive,
            places: Rc::new(places),
            left,
        })
    }

    /// The bytes of a part, if there is such a part.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, ExtractError> {
        let Some(place) = self.places.get(&normal(name)) else {
            return Ok(None);
        };
        let file = self
            .archive
            .by_index(*place)
            .map_err(|error| refused(&error))?;
        let too_large = ExtractError::TooLarge {
            limit: Limit::Unpacked(MAX_UNPACKED_BYTES),
        };
        // A size that the archive admits to is refused before it is unpacked; a smaller one is not believed, and what a
        // damaged part unpacks to counts too.
        let mut bytes = Vec::new();
        let admitted = usize::try_from(file.size().min(self.left.get() + 1)).unwrap_or(usize::MAX);
        if file.size() > self.left.get() || bytes.try_reserve_exact(admitted).is_err() {
            return Err(too_large);
        }
        let unpacked = file.take(self.left.get() + 1).read_to_end(&mut bytes);
        let Some(left) = self.left.get().checked_sub(bytes.len() as u64) else {
            return Err(too_large);
        };
        self.left.set(left);
        match unpacked {
            Ok(_) => Ok(Some(bytes)),
            // Memory ran out before the allowance did.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(too_large),
            Err(_) => Err(ExtractError::corrupt("a part of it cannot be unpacked")),
        }
    }

    /// The text of a part, if there is such a part.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<String>, ExtractError> {
        self.bytes(name)?.map(text).transpose()
    }

    /// The text of a part beside the main one: none if it is missing or damaged.
    pub(super) fn side(&mut self, name: &str) -> Result<String, ExtractError> {
        Ok(readable(self.part(name))?.unwrap_or_default())
    }

    /// The name of the part that the package's own relationships call the document.
    pub(super) fn main_part(&mut self, usual: &str) -> Result<String, ExtractError> {
        let main = self
            .relationships("")?
            .into_iter()
            .find(|relationship| relationship.kind == "officeDocument");
        Ok(main.map_or_else(|| usual.to_owned(), |main| main.target))
    }

    /// What a part refers to within the package, as far as it can be read.
    pub(super) fn relationships(&mut self, of: &str) -> Result<Vec<Relationship>, ExtractError> {
        let (folder, file) = of.rsplit_once('/').unwrap_or(("", of));
        let text = self.side(&format!("{folder}/_rels/{file}.rels"))?;
        let mut found = Vec::new();
        let walked = xml::walk(&text, |node| {
            let Node::Start("Relationship", start) = node else {
                return Ok(());
            };
            if let (Some(kind), Some(target)) = (
                xml::attribute(start, "Type"),
                xml::attribute(start, "Target"),
            ) {
                found.push(Relationship {
                    id: xml::attribute(start, "Id").unwrap_or_default().into_owned(),
                    kind: kind.rsplit('/').next().unwrap_or_default().to_owned(),
                    target: resolve(folder, &target),
                });
            }
            Ok(())
        });
        readable(walked)?;
        Ok(found)
    }
}

/// The text of a part's bytes.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, ExtractError> {
    String::from_utf8(bytes).or_else(|error| {
        charset::decode(error.as_bytes(), None)
            .ok_or_else(|| ExtractError::corrupt("a part of it is no text"))
    })
}

/// What was read of a part beside the main one: nothing if it is damaged, for the rest of the file is as good as before.
///
/// Limits and passwords are of the whole file and not passed over.
pub(super) fn readable<T: Default>(read: Result<T, ExtractError>) -> Result<T, ExtractError> {
    match read {
        Err(ExtractError::Corrupt { .. }) => Ok(T::default()),
        read => read,
    }
}

/// The name of the part that `target` means in a file of `folder`.
pub(super) fn resolve(folder: &str, target: &str) -> String {
    if target.starts_with(['/', '\\']) {
        return target.to_owned();
    }
    let mut steps: Vec<&str> = folder.split('/').collect();
    for step in target.split(['/', '\\']) {
        match step {
            ".." => {
                steps.pop();
            }
            "." => {}
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// The name under which a part is looked up.
pub(super) fn normal(name: &str) -> String {
    name.replace('\\', "/")
        .trim_start_matches('/')
        .to_lowercase()
}

fn refused(error: &ZipError) -> ExtractError {
    if matches!(
        error,
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)
    ) {
        ExtractError::Encrypted
    } else {
        ExtractError::corrupt("a part of it cannot be unpacked")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn zip(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default())
            .expect("a new part");
        zip.write_all(content).expect("memory");
        zip.finish().expect("memory").into_inner()
    }

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let bytes = zip("word/document.xml", &vec![b' '; 1 << 20]);
        assert!(bytes.len() < 1 << 12);
        let mut package = Package::open(&bytes).expect("a zip");
        package.left.set(1 << 19);
        let error = package.part("word/document.xml").expect_err("too much");
        assert!(matches!(error, ExtractError::TooLarge { .. }), "{error:?}");
    }

    #[test]
    fn a_size_beyond_the_allowance_is_refused_before_it_is_unpacked() {
        let mut bytes = zip("a", &[b' '; 1000]);
        let directory = bytes.windows(4).position(|mark| mark == b"PK\x01\x02");
        let size = directory.expect("a directory") + 24;
        bytes[size..size + 4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        let mut package = Package::open(&bytes).expect("a zip");
        let error = package.bytes("a").expect_err("too much");
        assert!(matches!(error, ExtractError::TooLarge { .. }), "{error:?}");
        assert_eq!(package.left.get(), MAX_UNPACKED_BYTES);
    }

    #[test]
    fn packages_within_a_package_unpack_to_no_more_than_one() {
        let inner = zip("word/document.xml", &[b' '; 1000]);
        let bytes = zip("word/inner.docx", &inner);
        let mut package = Package::open(&bytes).expect("a zip");
        package.left.set(inner.len() as u64 + 1500);
        let inner = package.bytes("word/inner.docx").expect("readable");
        let inner = inner.expect("a part");
        let unpacked = || {
            let mut inner = package.open_inner(&inner).expect("a zip");
            inner.part("word/document.xml")
        };
        assert!(unpacked().is_ok());
        let error = unpacked().expect_err("too much");
        assert!(matches!(error, ExtractError::TooLarge { .. }), "{error:?}");
    }

    #[test]
    fn a_damaged_part_is_passed_over_but_what_it_unpacked_to_counts() {
        let mut bytes = zip("word/footer.xml", b"  kept ten years");
        let entry = bytes.windows(4).position(|mark| mark == b"PK\x01\x02");
        // Its checksum.
        bytes[entry.expect("a directory") + 16] ^= 1;
        let mut package = Package::open(&bytes).expect("a zip");
        assert!(package.part("word/footer.xml").is_err());
        assert_eq!(package.side("word/footer.xml"), Ok(String::new()));
        assert!(package.left.get() < MAX_UNPACKED_BYTES);
        package.left.set(1);
        assert!(package.side("word/footer.xml").is_err());
    }

    #[test]
    fn parts_are_found_however_their_names_are_written() {
        let bytes = zip("Word\\Document.xml", b"text");
        let mut package = Package::open(&bytes).expect("a zip");
        let part = package.part("/word/document.xml").expect("readable");
        assert_eq!(part.as_deref(), Some("text"));
        assert_eq!(resolve("word", "../custom/a.xml"), "custom/a.xml");
        assert_eq!(resolve("word", "/word/b.xml"), "/word/b.xml");
    }

    #[test]
    fn parts_may_be_utf_16() {
        let text = "\u{feff}<a>é</a>";
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bytes = zip("a.xml", &bytes);
        let mut package = Package::open(&bytes).expect("a zip");
        assert_eq!(
            package.part("a.xml").expect("readable").as_deref(),
            Some("<a>é</a>")
        );
    }
}
