//! The reader on books that are made here.

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
            format!("<item id='{item}' href='{item}.xhtml' media-type='application/xhtml+xml'/>")
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
        types: crate::file_type::FileTypes::default(),
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
