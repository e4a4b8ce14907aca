//! Files that were made to do harm, each read under a worker's own limits: an honest code or its text, in time.

mod make;

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use orion_ingest::{
    document::UserId,
    extract::{
        Hints, Settings as ExtractSettings,
        sandbox::{Sandbox, SandboxError, Settings},
    },
    failure::Verdict,
    file_type::FileTypes,
    spawner::Spawner,
};

/// The defaults of a worker.
fn sandbox() -> Sandbox {
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_orion-ingest").into(),
        timeout: Duration::from_mins(1),
        memory_bytes: 1 << 30,
        children: 2,
    };
    Sandbox::new(settings, Spawner::new().unwrap())
}

/// What becomes of a file: `text`, or its code.
async fn outcome(sandbox: &Sandbox, name: &str, bytes: Vec<u8>) -> String {
    let hints = Hints {
        name: name.into(),
        mime_type: String::new(),
    };
    let settings = ExtractSettings::new(&FileTypes::seeded());
    let read = sandbox.extract(UserId::NOBODY, &hints, &settings, Bytes::from(bytes));
    match read.await {
        Ok(_) => "text".into(),
        Err(SandboxError::Spawn(error)) => panic!("{name}: {error}"),
        Err(error) => match error.verdict() {
            Verdict::Reject { code } | Verdict::Retry { code: Some(code) } => code.as_str().into(),
            other @ (Verdict::Retry { code: None } | Verdict::Wait { .. } | Verdict::Abandon) => {
                panic!("{name}: {other:?}")
            }
        },
    }
}

/// Each file and what becomes of it.
type Case = (&'static str, &'static str, fn() -> Vec<u8>);

async fn run(cases: &[Case]) {
    let sandbox = sandbox();
    let mut wrong = Vec::new();
    for (name, expected, make) in cases {
        let found = outcome(&sandbox, name, make()).await;
        if found != *expected {
            wrong.push(format!("{name}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whoever comes after them is served.
    assert_eq!(outcome(&sandbox, "note.txt", b"tea".to_vec()).await, "text");
}

#[tokio::test]
async fn archives_that_unpack_to_far_more_than_they_are() {
    run(&[
        ("bomb.docx", "too_large", || make::bomb(300)),
        ("within.docx", "text", || make::bomb(40)),
        ("nested.docx", "too_large", || make::nested_bomb(8)),
        ("overlapping.docx", "too_large", || {
            make::overlapping_bomb(40)
        }),
        ("zips.zip", "unsupported_type", || {
            let inner = make::zip(&[("a.txt", &vec![b'a'; 1 << 20])]);
            make::zip(&[("a.zip", &inner), ("b.zip", &inner)])
        }),
    ])
    .await;
}

#[tokio::test]
async fn markup_that_is_deep_or_means_more_than_it_says() {
    run(&[
        ("entities.docx", "text", make::entity_bomb),
        ("file.docx", "text", make::file_entity),
        ("deep.docx", "text", || make::deep_docx(100_000)),
        ("deep.html", "text", || {
            format!("{}a{}", "<div>".repeat(300_000), "</div>".repeat(300_000)).into_bytes()
        }),
        ("tables.html", "text", || {
            "<table><tr><td>a".repeat(20_000).into_bytes()
        }),
        ("unclosed.html", "text", || {
            "<b><i><a>a".repeat(3_000).into_bytes()
        }),
        ("quotes.md", "text", || {
            format!("{}a", "> ".repeat(50_000)).into_bytes()
        }),
        ("brackets.md", "text", || {
            "[a](".repeat(100_000).into_bytes()
        }),
        ("deep.json", "text", || {
            format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000)).into_bytes()
        }),
        ("deep.xml", "text", || {
            format!(
                "<?xml version=\"1.0\"?>{}a{}",
                "<a>".repeat(300_000),
                "</a>".repeat(300_000)
            )
            .into_bytes()
        }),
        ("deep.rtf", "text", || {
            format!(
                "{{\\rtf1 {}a{}}}",
                "{".repeat(1_000_000),
                "}".repeat(1_000_000)
            )
            .into_bytes()
        }),
        ("deep.eml", "text", || {
            let mut mail =
                String::from("From: a@b.c\r\nTo: a@b.c\r\nSubject: a\r\nMIME-Version: 1.0\r\n");
            for n in 0..5_000 {
                write!(
                    mail,
                    "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"
                )
                .unwrap();
            }
            (mail + "Content-Type: text/plain\r\n\r\na\r\n").into_bytes()
        }),
    ])
    .await;
}

#[tokio::test]
async fn text_that_is_long_or_none() {
    run(&[
        // A line as long as a file may be.
        ("line.txt", "text", || vec![b'a'; 48 << 20]),
        ("words.txt", "text", || b"tea ".repeat(12 << 20)),
        ("columns.csv", "text", || b"a,".repeat(1 << 20)),
        ("utf16.txt", "corrupt", || {
            // Surrogates without their halves, and half a unit at the end.
            let mut text = vec![0xff, 0xfe];
            for unit in [
                0x0061_u16, 0xd800, 0x0062, 0xdc00, 0xd800, 0xd800, 0x0000, 0x0063,
            ] {
                text.extend(unit.to_le_bytes().repeat(50));
            }
            text.push(0x64);
            text
        }),
        ("surrogates.txt", "corrupt", || {
            let mut text = vec![0xfe, 0xff];
            text.extend([0xd8, 0x00].repeat(1 << 20));
            text
        }),
    ])
    .await;
}

#[tokio::test]
async fn pages_without_number() {
    run(&[
        // A million leaves, and all of them one page.
        ("wide.pdf", "text", || make::wide_pdf(1_000_000)),
        ("deep.pdf", "text", || make::deep_pdf(6)),
        ("many.pdf", "too_large", || make::many_pages(60_000)),
        // Blanks, and objects of blanks.
        ("content.pdf", "no_text", || make::content_bomb(256)),
        ("objects.pdf", "no_text", || make::object_stream_bomb(256)),
    ])
    .await;
}
