//! What lies within a zip or an old Office file.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::{super::compound::Compound, Format, Shape, contains};

/// Parts that name what a zip is.
const PARTS: &[(&str, Shape)] = &[
    ("xl/workbook.xml", Shape::Read(Format::Xlsx)),
    ("xl/workbook.bin", Shape::Read(Format::Xlsx)),
    ("ppt/presentation.xml", Shape::Read(Format::Pptx)),
    ("META-INF/container.xml", Shape::Read(Format::Epub)),
];

/// Types that a zip may name in a part of its own.
const DECLARED: &[(&str, Shape)] = &[
    (
        "application/vnd.oasis.opendocument.text",
        Shape::Read(Format::Odt),
    ),
    (
        "application/vnd.oasis.opendocument.spreadsheet",
        Shape::Read(Format::Ods),
    ),
    (
        "application/vnd.oasis.opendocument.presentation",
        Shape::Read(Format::Odp),
    ),
    ("application/epub+zip", Shape::Read(Format::Epub)),
];

pub(super) fn zip_shape(bytes: &[u8]) -> Shape {
    let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else {
        return Shape::CutZip;
    };
    if let Some(shape) = declared(&mut archive) {
        return shape;
    }
    // Writers disagree on case, slashes and a leading slash.
    let names: Vec<String> = archive
        .file_names()
        .flatten()
        .map(|name| name.replace('\\', "/").to_lowercase())
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect();
    let has = |part: &str| names.iter().any(|name| name.eq_ignore_ascii_case(part));
    if let Some((_, shape)) = PARTS.iter().find(|(part, _)| has(part)) {
        return *shape;
    }
    // The main part may be called otherwise (`word/document2.xml`), but lies in this folder.
    let word = |name: &String| {
        name.strip_suffix(".xml")
            .is_some_and(|stem| stem.starts_with("word/document"))
    };
    if names.iter().any(word) {
        return Shape::Read(Format::Docx);
    }
    if declares_word(&mut archive) {
        return Shape::Read(Format::Docx);
    }
    Shape::Foreign("application/zip")
}

/// What a zip says it is; that part should be the first and unpacked, but is not once people have zipped it anew.
fn declared(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Option<Shape> {
    const MAX_MIME_TYPE: u64 = 100;
    let mut named = Vec::new();
    let part = archive.by_name("mimetype").ok()?;
    // One that cannot be unpacked to its end has said enough by then, or nothing.
    part.take(MAX_MIME_TYPE).read_to_end(&mut named).ok();
    DECLARED
        .iter()
        .find(|(mime_type, _)| contains(&named, mime_type.as_bytes()))
        .map(|(_, shape)| *shape)
}

/// Whether a zip declares a Word document among its parts, wherever that lies.
fn declares_word(archive: &mut ZipArchive<Cursor<&[u8]>>) -> bool {
    const MAX_DECLARATIONS: u64 = 1 << 16;
    let mut declared = Vec::new();
    let Ok(part) = archive.by_name("[Content_Types].xml") else {
        return false;
    };
    // One that cannot be unpacked to its end has said enough by then, or nothing.
    part.take(MAX_DECLARATIONS).read_to_end(&mut declared).ok();
    contains(&declared, b"wordprocessingml.document.main+xml")
        || contains(&declared, b"wordprocessingml.template.main+xml")
        || contains(&declared, b"ms-word.document.macroEnabled.main+xml")
}

/// Old Office files; names of streams in their directory tell which, or in a damaged one names anywhere. An encrypted
/// .docx is one too.
pub(super) fn ole_shape(bytes: &[u8]) -> Shape {
    let compound = Compound::open(bytes).ok();
    let listed = |name: &str| compound.as_ref().is_some_and(|file| file.has(name));
    let anywhere = |name: &str| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        contains(bytes, &name)
    };
    ole_shape_by(listed)
        .or_else(|| ole_shape_by(anywhere))
        .unwrap_or(Shape::Foreign("application/x-ole-storage"))
}

fn ole_shape_by(has: impl Fn(&str) -> bool) -> Option<Shape> {
    if has("EncryptedPackage") {
        Some(Shape::Locked)
    } else if has("Workbook") || has("Book") {
        Some(Shape::Read(Format::Xls))
    } else if has("WordDocument") {
        Some(Shape::Foreign("application/msword"))
    } else if has("PowerPoint Document") {
        Some(Shape::Foreign("application/vnd.ms-powerpoint"))
    } else if has("__properties_version1.0") {
        Some(Shape::Foreign("application/vnd.ms-outlook"))
    } else {
        None
    }
}
