//! What a file is, by its bytes first; its mime type and name only decide between kinds of text.

mod container;
mod mail;
mod row;

use std::io::Cursor;

use zip::ZipArchive;

use self::container::{ole_shape, zip_shape};
pub(super) use self::row::{format_row, mail_row, no_text, text_row};

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

/// Whether `needle` occurs in `haystack`.
pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
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
