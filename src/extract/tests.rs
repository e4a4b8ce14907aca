use super::*;
use crate::failure::Code;

const PDF: &str = "application/pdf";
const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

fn row(mime_type: &str, extension: &str, extractor: &str) -> FileType {
    FileType {
        mime_type: mime_type.to_owned(),
        extensions: vec![extension.to_owned()],
        display_name: extractor.to_owned(),
        enabled: true,
        max_file_size: 1 << 20,
        extractor: extractor.to_owned(),
        splitter: "prose".to_owned(),
        chunk_size: 512,
        chunk_overlap: 64,
        options: serde_json::Value::Null,
    }
}

fn settings() -> Settings {
    let types = [
        (PDF, "pdf", "pdf"),
        (DOCX, "docx", "docx"),
        ("text/plain", "txt", "text"),
        ("text/markdown", "md", "markdown"),
        ("text/html", "html", "html"),
        ("text/csv", "csv", "csv"),
        ("application/json", "json", "json"),
        ("text/x-python", "py", "code"),
        ("text/x-rust", "rs", "code"),
        ("message/rfc822", "eml", "eml"),
        ("application/x-ipynb+json", "ipynb", "ipynb"),
    ];
    Settings {
        types: types
            .iter()
            .map(|(mime_type, extension, extractor)| row(mime_type, extension, extractor))
            .collect(),
        max_text_bytes: 1 << 20,
        max_pages: 100,
    }
}

fn read(bytes: &[u8], name: &str, mime_type: &str) -> Result<Document, ExtractError> {
    let hints = Hints {
        name: name.to_owned(),
        mime_type: mime_type.to_owned(),
    };
    extract(bytes, &hints, &settings())
}

/// The type that a text is taken for.
fn type_of(text: &str, name: &str, mime_type: &str) -> String {
    read(text.as_bytes(), name, mime_type)
        .expect("readable")
        .mime_type
}

#[test]
fn the_mime_type_decides_between_texts_unless_it_is_vague() {
    assert_eq!(type_of("# a", "a.txt", "text/markdown"), "text/markdown");
    assert_eq!(type_of("# a", "a.md", "text/plain"), "text/markdown");
    assert_eq!(
        type_of("# a", "a.PY", "application/octet-stream"),
        "text/x-python"
    );
    assert_eq!(
        type_of("fn a() {}", "a.rs", "text/x-rust; charset=utf-8"),
        "text/x-rust"
    );
    assert_eq!(type_of("a", "a", ""), "text/plain");
}

#[test]
fn wrong_hints_fail_no_file() {
    assert_eq!(
        type_of("<!DOCTYPE html><p>a", "a.csv", "text/csv"),
        "text/html"
    );
    assert_eq!(
        type_of("<!-- x --><html><p>a", "a.pdf", "application/pdf"),
        "text/html"
    );
    assert_eq!(type_of("just words", "a.docx", DOCX), "text/plain");
    assert_eq!(
        type_of("{broken", "a.json", "application/json"),
        "text/plain"
    );
    assert_eq!(
        type_of("{\"a\": 1}", "a", "application/octet-stream"),
        "application/json"
    );
    assert_eq!(type_of("<p>a</p> in a string", "a.py", ""), "text/x-python");
}

#[test]
fn mails_and_notebooks_are_known_by_what_is_in_them() {
    const MAIL: &str = "message/rfc822";
    let sent = "Return-Path: <a@example.com>\r\nX-A: b\r\n c\r\nSubject: s\r\n\r\nbody\r\n";
    let kept = "From: a@example.com\nTo: b\nSubject: c\n\nbody";
    for (text, name, mime_type, expected) in [
        (
            "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"raw\", \"source\": \"a\"}]}",
            "a.ipynb",
            "text/html",
            "application/x-ipynb+json",
        ),
        ("{\"a\": 1}", "a.ipynb", "", "application/json"),
        ("{\"a\": 1}", "a", "text/html", "application/json"),
        (sent, "a.eml", "", MAIL),
        (sent, "a", "application/octet-stream", MAIL),
        (sent, "a.txt", "text/plain", MAIL),
        (sent, "a.html", "text/html", MAIL),
        (sent, "a.py", "", "text/x-python"),
        (kept, "a.txt", "", MAIL),
        (kept, "a.md", "", "text/markdown"),
        ("From: a\nTo: b\n\nbody", "a.eml", "", MAIL),
        (
            "From: a\nTo: b\nSubject: c\n\nbody",
            "a.txt",
            "",
            "text/plain",
        ),
        (
            "From: a@example.com\nTo: b\nno field\nSubject: c\n\nbody",
            "a.txt",
            "",
            "text/plain",
        ),
        ("no mail", "a.eml", MAIL, "text/plain"),
        (
            "---\nsubject: a\ndate: b\n---\n",
            "a.md",
            "",
            "text/markdown",
        ),
        (
            "date: 2026-03-03\nfrom: here\nto: there\n",
            "a.yaml",
            "",
            "text/plain",
        ),
        (
            "2026-03-03 10:00:00 Subject: x\nDate: y\n",
            "a.log",
            "",
            "text/plain",
        ),
    ] {
        assert_eq!(
            type_of(text, name, mime_type),
            expected,
            "{text:?} as {name}"
        );
    }
    let mailbox = format!("From a@example.com Tue Mar  3 10:00:00 2026\n{kept}");
    assert_eq!(type_of(&mailbox, "a", ""), MAIL);
}

#[test]
fn files_without_text_have_none() {
    for bytes in [
        &b""[..],
        b" \n\t",
        b"\xef\xbb\xbf",
        b"<html><body></body></html>",
    ] {
        assert_eq!(read(bytes, "a.txt", ""), Err(ExtractError::NoText));
    }
}

#[test]
fn foreign_formats_are_named() {
    for (bytes, detected) in [
        (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
        (b"\xff\xd8\xff\xe0JFIF", "image/jpeg"),
        (
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "application/zip",
        ),
        (
            &[0, 159, 146, 150, 1, 2, 3, 200],
            "application/octet-stream",
        ),
    ] {
        let expected = ExtractError::unsupported(detected);
        assert_eq!(read(bytes, "a", "text/wrong"), Err(expected), "{detected}");
    }
}

#[test]
fn office_files_of_old_and_under_passwords_are_told_apart() {
    let ole = |stream: &str| {
        let name: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(),
            &[0; 64],
            &name,
        ]
        .concat()
    };
    assert_eq!(
        read(&ole("EncryptedPackage"), "a.docx", DOCX),
        Err(ExtractError::Encrypted)
    );
    let old = read(&ole("WordDocument"), "a.docx", DOCX).expect_err("old Word");
    assert_eq!(old, ExtractError::unsupported("application/msword"));
}

#[test]
fn binary_data_named_as_a_document_is_damaged() {
    let error = read(&[0, 1, 2, 3, 255, 254, 0, 1], "a.pdf", PDF).expect_err("noise");
    assert_eq!(error.code(), Code::Corrupt);
    let error = read(b"%PDF-1.7\nnothing more", "a", "").expect_err("no PDF");
    assert_eq!(error.code(), Code::Corrupt);
}

#[test]
fn a_type_that_is_switched_off_is_refused_by_what_the_bytes_show() {
    let mut settings = settings();
    let types = settings.types.iter().map(|row| FileType {
        enabled: row.extractor != "html",
        ..row.clone()
    });
    settings.types = types.collect();
    let hints = Hints::default();
    let refused = extract(b"<html><p>a", &hints, &settings).expect_err("switched off");
    assert_eq!(refused.code(), Code::TypeDisabled);
    assert!(extract(b"words", &hints, &settings).is_ok());
}

#[test]
fn text_beyond_the_limit_is_too_large() {
    let mut settings = settings();
    settings.max_text_bytes = 3;
    let refused = extract(b"words", &Hints::default(), &settings).expect_err("too much");
    assert_eq!(
        refused,
        ExtractError::TooLarge {
            limit: Limit::Text(3)
        }
    );
}
