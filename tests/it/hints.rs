//! What a file's row says of its type may be wrong: the bytes decide.

use std::{fs, path::Path};

use orion_ingest::{
    extract::{Hints, Settings, extract},
    file_type::FileTypes,
};

/// Names and mime types that lie about most files.
const LIES: [(&str, &str); 7] = [
    ("a.docx", "text/html"),
    ("a.pdf", "image/png"),
    (
        "a.csv",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("a.md", "application/octet-stream"),
    ("a.json", "application/json"),
    ("a.eml", "application/epub+zip"),
    ("a", "application/x-unknown"),
];

/// Kinds of text that only their hints tell apart.
const HINTED: [&str; 5] = ["code", "csv", "json", "markdown", "text"];

#[test]
fn wrong_hints_change_nothing_of_what_is_known_by_its_bytes_and_fail_no_text() {
    let types = FileTypes::seeded();
    let settings = Settings::new(&types);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut formats = Vec::new();
    for folder in [fixtures.clone(), fixtures.join("rules")] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                continue;
            }
            let bytes = fs::read(&path).expect("readable");
            let honest = extract(&bytes, &Hints::default(), &settings);
            let extractor = honest.as_ref().ok().map(|document| {
                let row = types.by_mime(&document.mime_type).expect("a seeded type");
                row.extractor.clone()
            });
            for (name, mime_type) in LIES {
                let hints = Hints {
                    name: name.to_owned(),
                    mime_type: mime_type.to_owned(),
                };
                let lied = extract(&bytes, &hints, &settings);
                let path = path.display();
                match &extractor {
                    Some(extractor) if HINTED.contains(&extractor.as_str()) => {
                        assert!(lied.is_ok(), "{path} as {name}, {mime_type}: {lied:?}");
                    }
                    Some(_) | None => {
                        let same = lied.as_ref().map(|document| &document.pages)
                            == honest.as_ref().map(|document| &document.pages);
                        assert!(same, "{path} as {name}, {mime_type}: {lied:?}");
                    }
                }
            }
            formats.extend(extractor);
        }
    }
    formats.sort_unstable();
    formats.dedup();
    for format in ["docx", "eml", "epub", "html", "pdf", "rtf"] {
        assert!(
            formats.iter().any(|found| found == format),
            "no {format} among the fixtures"
        );
    }
}
