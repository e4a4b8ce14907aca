//! Files that were made to do harm.

use std::{
    fmt::Write as _,
    io::{Cursor, Read as _, Write as _},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

const MIB: usize = 1 << 20;

/// A zip of these parts.
pub(super) fn zip(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// So many blanks, deflated to a thousandth.
fn deflated_blanks(mebibytes: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a", SimpleFileOptions::default()).unwrap();
    let block = vec![b' '; MIB];
    for _ in 0..mebibytes {
        zip.write_all(&block).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let mut raw = Vec::new();
    ZipArchive::new(Cursor::new(zip))
        .unwrap()
        .by_index_raw(0)
        .unwrap()
        .read_to_end(&mut raw)
        .unwrap();
    raw
}

/// The same as a zlib stream, which ends with a checksum of it.
fn zlib_blanks(mebibytes: usize) -> Vec<u8> {
    let (mut a, mut b) = (1_u32, 0_u32);
    for _ in 0..mebibytes * MIB {
        a = (a + u32::from(b' ')) % 65521;
        b = (b + a) % 65521;
    }
    let mut stream = vec![0x78, 0x9c];
    stream.extend(deflated_blanks(mebibytes));
    stream.extend(((b << 16) | a).to_be_bytes());
    stream
}

const TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
    <Default Extension="xml" ContentType="application/xml"/></Types>"#;
const W: &str = r#"xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;

/// A Word file with this document.
pub(super) fn docx(document: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut parts: Vec<(&str, &[u8])> = vec![
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ];
    parts.extend(more);
    zip(&parts)
}

/// One whose document unpacks to so many mebibytes.
pub(super) fn bomb(mebibytes: usize) -> Vec<u8> {
    let paragraph = "<w:p><w:r><w:t>a</w:t></w:r></w:p>";
    let blanks = " ".repeat(mebibytes * MIB);
    docx(
        &format!("<w:document {W}><w:body>{paragraph}{blanks}</w:body></w:document>"),
        &[],
    )
}

/// A Word file that shows so many bombs, each within every limit of its own.
pub(super) fn nested_bomb(bombs: usize) -> Vec<u8> {
    let inner = bomb(40);
    let mut body = String::new();
    let mut related = String::new();
    let names: Vec<String> = (0..bombs).map(|n| format!("word/inner{n}.docx")).collect();
    for n in 0..bombs {
        write!(body, r#"<w:altChunk r:id="r{n}"/>"#).unwrap();
        write!(related, r#"<Relationship Id="r{n}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/aFChunk" Target="inner{n}.docx"/>"#).unwrap();
    }
    let related = format!("<Relationships>{related}</Relationships>");
    let mut more: Vec<(&str, &[u8])> = vec![("word/_rels/document.xml.rels", related.as_bytes())];
    more.extend(names.iter().map(|name| (name.as_str(), &inner[..])));
    docx(
        &format!("<w:document {W}><w:body>{body}</w:body></w:document>"),
        &more,
    )
}

/// A Word file with many footers, all of which are the same bytes of the archive.
pub(super) fn overlapping_bomb(footers: usize) -> Vec<u8> {
    let mut related = String::new();
    for n in 0..footers {
        write!(related, r#"<Relationship Id="r{n}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footer" Target="footer{n:03}.xml"/>"#).unwrap();
    }
    let related = format!("<Relationships>{related}</Relationships>");
    let blanks = " ".repeat(16 * MIB);
    let footer = format!("<w:ftr {W}><w:p><w:r><w:t>a</w:t></w:r></w:p>{blanks}</w:ftr>");
    let body =
        format!("<w:document {W}><w:body><w:p><w:r><w:t>a</w:t></w:r></w:p></w:body></w:document>");
    let zip = docx(
        &body,
        &[
            ("word/_rels/document.xml.rels", related.as_bytes()),
            ("word/footer000.xml", footer.as_bytes()),
        ],
    );
    // The directory's last entry, again under other names.
    let end = zip.len() - 22;
    let entry = (0..end)
        .rev()
        .find(|at| zip[*at..].starts_with(b"PK\x01\x02"))
        .unwrap();
    let mut made = zip[..end].to_vec();
    for n in 1..footers {
        let mut other = zip[entry..end].to_vec();
        let name = format!("word/footer{n:03}.xml");
        other[46..46 + name.len()].copy_from_slice(name.as_bytes());
        made.extend(other);
    }
    let mut tail = zip[end..].to_vec();
    let entries = u16::from_le_bytes([tail[10], tail[11]]) + u16::try_from(footers - 1).unwrap();
    tail[8..10].copy_from_slice(&entries.to_le_bytes());
    tail[10..12].copy_from_slice(&entries.to_le_bytes());
    let start = u32::from_le_bytes([tail[16], tail[17], tail[18], tail[19]]) as usize;
    let size = u32::try_from(made.len() - start).unwrap();
    tail[12..16].copy_from_slice(&size.to_le_bytes());
    made.extend(tail);
    made
}

/// Entities of entities: a billion laughs.
pub(super) fn entity_bomb() -> Vec<u8> {
    let mut entities = String::from(r#"<!ENTITY e0 "laugh">"#);
    for n in 1..10 {
        let inner = format!("&e{};", n - 1).repeat(10);
        write!(entities, r#"<!ENTITY e{n} "{inner}">"#).unwrap();
    }
    docx(
        &format!(
            "<!DOCTYPE d [{entities}]><w:document {W}><w:body><w:p><w:r><w:t>before &e9; after</w:t></w:r></w:p></w:body></w:document>"
        ),
        &[],
    )
}

/// An entity that names a file of this machine.
pub(super) fn file_entity() -> Vec<u8> {
    docx(
        &format!(
            r#"<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><w:document {W}><w:body><w:p><w:r><w:t>before &e; after</w:t></w:r></w:p></w:body></w:document>"#
        ),
        &[],
    )
}

/// Tables within tables.
pub(super) fn deep_docx(depth: usize) -> Vec<u8> {
    let (open, close) = ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>");
    docx(
        &format!(
            "<w:document {W}><w:body>{}<w:p><w:r><w:t>a</w:t></w:r></w:p>{}</w:body></w:document>",
            open.repeat(depth),
            close.repeat(depth)
        ),
        &[],
    )
}

/// A PDF of these objects, the first of which is its catalog.
pub(super) fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut pdf = b"%PDF-1.7\n".to_vec();
    let mut table = String::new();
    for (n, object) in objects.iter().enumerate() {
        writeln!(table, "{:010} 00000 n ", pdf.len()).unwrap();
        pdf.extend(format!("{} 0 obj\n", n + 1).as_bytes());
        pdf.extend(object);
        pdf.extend(b"\nendobj\n");
    }
    let size = objects.len() + 1;
    let place = pdf.len();
    pdf.extend(format!("xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<</Size {size}/Root 1 0 R>>\nstartxref\n{place}\n%%EOF").as_bytes());
    pdf
}

const CATALOG: &[u8] = b"<</Type/Catalog/Pages 2 0 R>>";
const PAGE: &[u8] = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>";
const FONT: &[u8] = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>";

fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<<{dictionary}/Length {}>>stream\n", content.len()).into_bytes();
    object.extend(content);
    object.extend(b"\nendstream");
    object
}

/// A page tree with so many leaves, all of them the same page.
pub(super) fn wide_pdf(pages: usize) -> Vec<u8> {
    let kids = "3 0 R ".repeat(pages);
    pdf(&[
        CATALOG.to_vec(),
        format!("<</Type/Pages/Kids[{kids}]/Count {pages}>>").into_bytes(),
        PAGE.to_vec(),
        stream("", b"BT /F1 12 Tf (Hello) Tj ET"),
        FONT.to_vec(),
    ])
}

/// A page tree of so many levels, each with ten branches that are one: ten to that power of leaves.
pub(super) fn deep_pdf(levels: usize) -> Vec<u8> {
    let mut objects = vec![
        CATALOG.to_vec(),
        format!(
            "<</Type/Pages/Kids[{}]/Count 1000000>>",
            "6 0 R ".repeat(10)
        )
        .into_bytes(),
        PAGE.to_vec(),
        stream("", b"BT /F1 12 Tf (Hello) Tj ET"),
        FONT.to_vec(),
    ];
    for level in 2..=levels {
        let child = if level == levels {
            3
        } else {
            objects.len() + 2
        };
        let kids = format!("{child} 0 R ").repeat(10);
        objects.push(format!("<</Type/Pages/Kids[{kids}]/Count 10>>").into_bytes());
    }
    pdf(&objects)
}

/// So many pages, each an object of its own.
pub(super) fn many_pages(pages: usize) -> Vec<u8> {
    let kids: Vec<String> = (3..3 + pages).map(|n| format!("{n} 0 R")).collect();
    let kids = kids.join(" ");
    let tree = format!("<</Type/Pages/MediaBox[0 0 9 9]/Kids[{kids}]/Count {pages}>>");
    let mut objects = vec![CATALOG.to_vec(), tree.into_bytes()];
    objects.resize(pages + 2, b"<</Type/Page/Parent 2 0 R>>".to_vec());
    pdf(&objects)
}

/// A page whose content unpacks to so many mebibytes of blanks.
pub(super) fn content_bomb(mebibytes: usize) -> Vec<u8> {
    pdf(&[
        CATALOG.to_vec(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>".to_vec(),
        PAGE.to_vec(),
        stream("/Filter/FlateDecode", &zlib_blanks(mebibytes)),
        FONT.to_vec(),
    ])
}

/// A PDF whose objects lie in a stream that unpacks to so many mebibytes, found by a cross-reference stream.
pub(super) fn object_stream_bomb(mebibytes: usize) -> Vec<u8> {
    let packed = zlib_blanks(mebibytes);
    let mut pdf = b"%PDF-1.7\n".to_vec();
    let objects = pdf.len();
    let length = mebibytes * MIB;
    pdf.extend(b"1 0 obj\n");
    // All that an object stream says of its objects is blank.
    pdf.extend(stream(
        &format!("/Type/ObjStm/N 3/First {}/Filter/FlateDecode", length / 2),
        &packed,
    ));
    pdf.extend(b"\nendobj\n");
    let table = pdf.len();
    let mut rows: Vec<u8> = vec![0, 0, 0, 0, 0, 0];
    let at = u32::try_from(objects).unwrap().to_be_bytes();
    rows.extend([1, at[0], at[1], at[2], at[3], 0]);
    for place in 0..3 {
        rows.extend([2, 0, 0, 0, 1, place]);
    }
    pdf.extend(b"5 0 obj\n");
    pdf.extend(stream("/Type/XRef/Size 5/W[1 4 1]/Root 2 0 R", &rows));
    pdf.extend(format!("\nendobj\nstartxref\n{table}\n%%EOF").as_bytes());
    pdf
}
