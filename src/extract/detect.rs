//! What a file is, by its bytes first; its mime type and name only decide between kinds of text.

use std::{
    collections::HashSet,
    io::{Cursor, Read},
};

use zip::ZipArchive;

use crate::file_type::{FileType, FileTypes};

use super::{Hints, compound::Compound, eml, error::ExtractError, ipynb, json};

/// How far into a file the marks of its type are looked for.
const HEAD_BYTES: usize = 1024;

/// A format that is no plain text and that an extractor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `%PDF` near the start.
    Pdf,
    /// A zip with a Word document in it.
    Docx,
    /// A zip with slides in it.
    Pptx,
    /// A zip with sheets in it.
    Xlsx,
    /// Sheets of Excel 97 to 2003.
    Xls,
    /// An OpenDocument text.
    Odt,
    /// OpenDocument sheets.
    Ods,
    /// OpenDocument slides.
    Odp,
    /// A zip of web pages with an order.
    Epub,
    /// `{\rtf` at the start.
    Rtf,
}

impl Format {
    /// `file_type_configs.extractor` of its rows.
    pub(super) const fn extractor(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Pptx => "pptx",
            Self::Xlsx => "xlsx",
            Self::Xls => "xls",
            Self::Odt => "odt",
            Self::Ods => "ods",
            Self::Odp => "odp",
            Self::Epub => "epub",
            Self::Rtf => "rtf",
        }
    }

    /// The type to name where no row has the extractor.
    const fn mime_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Pptx => {
                "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            }
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Xls => "application/vnd.ms-excel",
            Self::Odt => "application/vnd.oasis.opendocument.text",
            Self::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            Self::Odp => "application/vnd.oasis.opendocument.presentation",
            Self::Epub => "application/epub+zip",
            Self::Rtf => "application/rtf",
        }
    }
}

/// What the bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A format that an extractor reads.
    Read(Format),
    /// A known format that no extractor reads, by its mime type.
    Foreign(&'static str),
    /// An Office document under a password.
    Locked,
    /// A zip without its end.
    CutZip,
    /// None of these: text, if it is anything.
    Text,
}

/// Tells what `bytes` are.
pub(super) fn shape(bytes: &[u8]) -> Shape {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip_shape(bytes);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return ole_shape(bytes);
    }
    if let Some(mime_type) = foreign(bytes) {
        return Shape::Foreign(mime_type);
    }
    if is_pdf(bytes) {
        return Shape::Read(Format::Pdf);
    }
    if text_start(bytes).starts_with(b"{\\rtf") {
        return Shape::Read(Format::Rtf);
    }
    if ends_as_zip(bytes) {
        return zip_shape(bytes);
    }
    Shape::Text
}

/// The bytes after a byte order mark and white space.
fn text_start(bytes: &[u8]) -> &[u8] {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    text.trim_ascii_start()
}

/// Whether it is a PDF, also one with something before it; program text names the mark too, but holds no objects.
fn is_pdf(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"%PDF-";
    const PARTS: [&[u8]; 3] = [b"\nendobj", b"\rendobj", b"startxref"];
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    text_start(head).starts_with(MARK)
        || contains(head, MARK) && PARTS.iter().any(|part| contains(bytes, part))
}

/// The mime type of a known format that no extractor reads.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    MAGIC
        .iter()
        .filter(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        .find(|(_, magic, _)| is_borne_out(bytes, magic))
        .map(|(_, _, mime_type)| *mime_type)
}

/// Whether the bytes around a mark are of its format: marks of letters alone stand in texts too.
fn is_borne_out(bytes: &[u8], magic: &[u8]) -> bool {
    match magic {
        b"WEBP" | b"WAVE" | b"AVI " => bytes.starts_with(b"RIFF"),
        // The version; white space is none.
        b"ID3" => matches!(bytes.get(3), Some(0..=8)),
        b"GIF87a" | b"GIF89a" | b"BZh" | b"OggS" => {
            bytes.iter().copied().take(16).any(is_no_ascii_text)
        }
        // The size of the first box, which is small.
        _ if magic.starts_with(b"ftyp") => bytes.first() == Some(&0),
        _ => true,
    }
}

fn is_no_ascii_text(byte: u8) -> bool {
    !byte.is_ascii() || byte.is_ascii_control() && !byte.is_ascii_whitespace()
}

/// Whether it is a zip with something before it, as gateways and broken servers add.
fn ends_as_zip(bytes: &[u8]) -> bool {
    /// The end of a zip and the longest comment after it.
    const END_BYTES: usize = 22 + 0xffff;
    let end = &bytes[bytes.len().saturating_sub(END_BYTES)..];
    contains(end, b"PK\x05\x06") && ZipArchive::new(Cursor::new(bytes)).is_ok()
}

/// Formats that people upload and no extractor reads: offset, mark, mime type.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip-compressed"),
    (0, b"\xfd7zXZ\0", "application/x-xz-compressed"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd-compressed"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/x-rar-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ\x90\0", "application/x-executable"),
    (0, b"\0asm", "application/wasm"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"%!PS", "application/postscript"),
];

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

fn zip_shape(bytes: &[u8]) -> Shape {
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
fn ole_shape(bytes: &[u8]) -> Shape {
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

/// Whether `needle` occurs in `haystack`.
pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// The row whose extractor this is; the hinted one if it fits.
fn row_of<'a>(types: &'a FileTypes, hints: &Hints, extractor: &str) -> Option<&'a FileType> {
    hinted(types, hints)
        .find(|row| row.extractor == extractor)
        .or_else(|| types.iter().find(|row| row.extractor == extractor))
}

/// The row that reads this format.
pub(super) fn format_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    format: Format,
) -> Result<&'a FileType, ExtractError> {
    row_of(types, hints, format.extractor())
        .ok_or_else(|| ExtractError::unsupported(format.mime_type()))
}

/// The row of an e-mail, if these bytes are one.
pub(super) fn mail_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    bytes: &[u8],
) -> Option<&'a FileType> {
    let extractor = hinted(types, hints)
        .next()
        .map(|row| row.extractor.as_str());
    let is_mail = match (mail_fields(bytes), extractor) {
        // Program text may begin with anything.
        (_, Some("code")) => false,
        (Fields { sent, .. }, _) if sent => true,
        (Fields { written, .. }, Some("eml")) => written >= 2,
        (fields, Some("text") | None) => fields.written >= 3 && fields.address,
        (_, Some(_)) => false,
    };
    row_of(types, hints, "eml").filter(|_| is_mail)
}

/// What the first lines say in the fields of an e-mail's header.
#[derive(Default)]
struct Fields {
    /// How many of those that people write.
    written: usize,
    /// The sender has an address.
    address: bool,
    /// It has some that only mail programs write, beside one of those.
    sent: bool,
}

/// How far into a file the header of an e-mail may reach.
const MAX_MAIL_HEADER_BYTES: usize = 256 * 1024;
/// Fields that people know.
const WRITTEN_FIELDS: [&str; 5] = ["from", "to", "cc", "subject", "date"];
/// Fields that mail programs add.
const SENT_FIELDS: [&str; 6] = [
    "received",
    "return-path",
    "message-id",
    "mime-version",
    "delivered-to",
    "dkim-signature",
];

fn mail_fields(bytes: &[u8]) -> Fields {
    let head = &bytes[..bytes.len().min(MAX_MAIL_HEADER_BYTES)];
    let mut met = HashSet::new();
    let mut address = false;
    for (at, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        let mailbox = at == 0 && line.starts_with(b"From ");
        if line.trim_ascii_end().is_empty() {
            break;
        }
        if !(mailbox || folded && at > 0) {
            if !eml::is_field(line) {
                return Fields::default();
            }
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let name = name.trim_ascii_end().to_ascii_lowercase();
            address |= name == b"from" && line.contains(&b'@');
            met.insert(name);
        }
    }
    let count = |fields: &[&str]| {
        fields
            .iter()
            .filter(|name| met.contains(name.as_bytes()))
            .count()
    };
    let written = count(&WRITTEN_FIELDS);
    Fields {
        written,
        address,
        sent: written > 0 && count(&SENT_FIELDS) > 0,
    }
}

/// The row of a text, by its hints and then by how it starts.
pub(super) fn text_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    text: &str,
) -> Option<&'a FileType> {
    let hinted = hinted(types, hints).find(|row| is_textual(&row.extractor));
    let has_notebooks = types.iter().any(|row| row.extractor == "ipynb");
    let extractor = match hinted.map(|row| row.extractor.as_str()) {
        Some("code") => "code",
        Some(_) if starts_as_page(text) => "html",
        _ if has_notebooks && ipynb::is_notebook(text) => "ipynb",
        // Servers call anything a page.
        Some("html") if sniff(text) == "json" => "json",
        Some("json") if !json::is_valid(text) => "text",
        Some("ipynb" | "text") | None => sniff(text),
        Some(extractor) => extractor,
    };
    row_of(types, hints, extractor).or(hinted)
}

/// What to say of a file that is no text and nothing else that is known.
pub(super) fn no_text(types: &FileTypes, hints: &Hints) -> ExtractError {
    match hinted(types, hints).next() {
        Some(row) => ExtractError::Corrupt {
            reason: format!("it does not hold what a {} file does", row.display_name),
        },
        None => ExtractError::unsupported("application/octet-stream"),
    }
}

/// The rows that the hints name, the more telling one first: `text/plain` is what browsers say of any text.
fn hinted<'a>(types: &'a FileTypes, hints: &Hints) -> impl Iterator<Item = &'a FileType> {
    let by_mime = types.by_mime(&hints.mime_type);
    let by_name = types.by_extension(&hints.name);
    let vague = by_mime.is_none_or(|row| row.extractor == "text");
    let (first, second) = if vague {
        (by_name, by_mime)
    } else {
        (by_mime, by_name)
    };
    first.into_iter().chain(second)
}

fn is_textual(extractor: &str) -> bool {
    matches!(
        extractor,
        "markdown" | "text" | "html" | "csv" | "json" | "ipynb" | "code"
    )
}

/// The extractor for a text of which nothing else is known.
fn sniff(text: &str) -> &'static str {
    let start = text.trim_start();
    if starts_as_page(start) || starts_with_tag(start) {
        "html"
    } else if start.starts_with(['{', '[']) && json::is_valid(text) {
        "json"
    } else {
        "text"
    }
}

/// Whether it starts as only an HTML page does.
fn starts_as_page(text: &str) -> bool {
    let mut start = text.trim_start();
    while let Some(rest) = skip_prolog(start) {
        start = rest.trim_start();
    }
    ["<!doctype html", "<html"]
        .iter()
        .any(|mark| has_prefix(start, mark))
}

/// What follows an XML declaration or a comment.
fn skip_prolog(text: &str) -> Option<&str> {
    let (open, close) = if text.starts_with("<?xml") {
        ("<?xml", "?>")
    } else {
        ("<!--", "-->")
    };
    let rest = text.strip_prefix(open)?;
    rest.find(close).map(|at| &rest[at + close.len()..])
}

fn starts_with_tag(text: &str) -> bool {
    const TAGS: &[&str] = &[
        "<head", "<body", "<title", "<meta", "<script", "<style", "<table", "<div", "<p>", "<h1",
    ];
    TAGS.iter().any(|tag| has_prefix(text, tag))
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    #[test]
    fn words_of_a_text_are_no_mark() {
        for text in [
            "def is_pdf(data):\n    return data.startswith(b\"%PDF-\")\n",
            "GIF89a is the later version of GIF.",
            "GIF87a\tis the former.",
            "BZhang wrote this letter.",
            "OggS is what each page begins with.",
            "ID3 tags",
            "ID3\nTags of music.",
            "The new WAVE of music",
            "Four or WEBP?",
            "See the AVI file",
            "The ftyp box",
            "see ftypheic",
        ] {
            assert_eq!(shape(text.as_bytes()), Shape::Text, "{text}");
        }
    }

    #[test]
    fn marks_are_known_by_what_is_around_them() {
        for (bytes, mime_type) in [
            (&b"GIF89a\x01\0\x01\0\x80\0\0"[..], "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
            (b"RIFF\x24\0\0\0AVI LIST", "video/x-msvideo"),
            (b"\0\0\0\x18ftypheic", "image/heic"),
            (b"\0\0\0\x18ftypisom", "video/mp4"),
            (b"ID3\x03\0\0\0", "audio/mpeg"),
            (b"OggS\0\x02\0\0", "audio/ogg"),
            (
                b"BZh91AY&SY\x9c\xf1\x02\x11\0",
                "application/x-bzip-compressed",
            ),
        ] {
            assert_eq!(shape(bytes), Shape::Foreign(mime_type));
        }
    }

    #[test]
    fn a_pdf_may_have_something_before_it() {
        for bytes in [
            &b"%PDF-1.4"[..],
            b"\xef\xbb\xbf\r\n %PDF-1.4",
            b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\r1 0 obj\r<<>>\rendobj",
            b"junk %PDF-1.4\n1 0 obj\n<<>>\nendobj",
            b"junk %PDF-1.4 startxref",
        ] {
            assert_eq!(shape(bytes), Shape::Read(Format::Pdf));
        }
    }

    #[test]
    fn a_zip_says_what_it_is_wherever_and_however_that_is_packed() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in [
            ("content.xml", "<office:document-content/>".repeat(99)),
            (
                "mimetype",
                "application/vnd.oasis.opendocument.text".to_owned(),
            ),
        ] {
            zip.start_file(name, SimpleFileOptions::default())
                .expect("a new part");
            zip.write_all(text.as_bytes()).expect("memory");
        }
        let bytes = zip.finish().expect("memory").into_inner();
        assert_eq!(shape(&bytes), Shape::Read(Format::Odt));
    }
}
