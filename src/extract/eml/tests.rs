use super::*;

fn blocks(mail: &[u8]) -> Vec<(BlockKind, String)> {
    let mut blocks = Blocks::new(1 << 27);
    extract(mail, &mut blocks).expect("readable");
    let blocks = blocks.take().into_iter();
    blocks.map(|block| (block.kind, block.text)).collect()
}

fn texts(mail: &str) -> Vec<String> {
    let mail = mail.replace('\n', "\r\n");
    blocks(mail.as_bytes())
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

#[test]
fn a_message_has_its_subject_people_date_and_text() {
    let mail = "Received: from x\n by y\nSubject: =?utf-8?Q?Caf=C3=A9?=\nFrom: \"Ada \\\"A\\\" B.\" <ada@example.com>\n\
        To: b@example.com,\n \"C, D\" <c@example.com>\nBcc: no@example.com\nDate: Tue, 3 Mar 2026 10:00:00 +0100\n\nOne.\n\nTwo:\nthree.\n";
    assert_eq!(
        blocks(mail.as_bytes())[0],
        (BlockKind::Heading { level: 1 }, "Café".to_owned())
    );
    assert_eq!(
        texts(mail)[1..],
        [
            "From: Ada \"A\" B. <ada@example.com>\nTo: b@example.com, C, D <c@example.com>\nDate: Tue, 3 Mar 2026 10:00:00 +0100",
            "One.",
            "Two:\nthree.",
        ]
    );
}

#[test]
fn plain_text_is_preferred_to_the_page_that_says_the_same() {
    let page = "--i\nContent-Type: text/html\n\n<h1>Page</h1><p>said\n--i--\n";
    let alternatives = |plain: &str| {
        format!(
            "Subject: S\nContent-Type: multipart/alternative; boundary=\"o\"\n\npreamble\n--o\n\n{plain}\n--o\n\
             Content-Type: multipart/related; boundary=i\n\n{page}\n--o--\nepilogue\n"
        )
    };
    assert_eq!(texts(&alternatives("plain")), ["S", "plain"]);
    assert_eq!(texts(&alternatives(" ")), ["S", "Page", "said"]);
    let mail = alternatives("");
    let heading = blocks(mail.as_bytes()).swap_remove(1).0;
    assert_eq!(heading, BlockKind::Heading { level: 2 });
}

#[test]
fn a_page_is_preferred_to_a_stub_that_tells_to_read_it() {
    let stub = "Please view this message in HTML.";
    let long = "The harbour opens at six. ".repeat(20);
    let mail = |plain: &str, page: &str| {
        texts(&format!(
            "Subject: S\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=o\n\n\
             --o\n\n{plain}\n--o\nContent-Type: text/html\n\n<p>{page}\n--o--\n--m\n\nafter\n--m--\n"
        ))
    };
    assert_eq!(mail(stub, &long), ["S", long.trim_end(), "after"]);
    assert_eq!(mail(stub, "Hello."), ["S", stub, "after"]);
    let plain = long.trim_end();
    assert_eq!(mail(plain, &long.repeat(3)), ["S", plain, "after"]);
}

#[test]
fn parts_are_decoded_by_their_own_charset_and_encoding() {
    let mut mail = b"Subject: S\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=koi8-r\n\n".to_vec();
    mail.extend([0xd3, 0xcf, 0xcc, 0xce, 0xc3, 0xc5]);
    mail.extend(b"\n--b\nContent-Type: text/plain; charset=\"iso-8859-1\"\n\ncaf\xe9\n--b\nContent-Type: text/plain; charset=utf-16be\n\
        Content-Transfer-Encoding: base64\n\nAOkAIQ==\n--b\nContent-Type: text/plain; charset=shift_jis\n\
        Content-Transfer-Encoding: Quoted-Printable\n\n=93=FA=\n=96{\n--b--");
    let texts: Vec<String> = blocks(&mail).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["S", "солнце", "café", "é!", "日本"]);
}

#[test]
fn attachments_are_named_and_not_read() {
    let mail = "Subject: S\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nbody\n--b\nContent-Type: application/pdf\n\
        Content-Disposition: attachment; filename=a.pdf\nContent-Transfer-Encoding: base64\n\nQUJDREVG\n--b\n\
        Content-Type: text/plain; name=notes.txt\n\nnot read\n--b\nContent-Type: image/png\n\nxx\n--b--\n";
    assert_eq!(
        texts(mail),
        [
            "S",
            "body",
            "Attachment: a.pdf (application/pdf, 6 bytes)\nAttachment: notes.txt (text/plain, 10 bytes)\n\
             Attachment: without a name (image/png, 4 bytes)"
        ]
    );
    assert_eq!(size_in_words(1025), "2 KB");
    assert_eq!(size_in_words(5 << 20), "5 MB");
}

#[test]
fn carried_messages_stand_under_the_one_that_carries_them() {
    let mail = "Subject: Outer\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nsee below\n--o\nContent-Type: message/rfc822\n\n\
        Subject: Inner\nFrom: a@example.com\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\ninner text\n--i--\n--o\n\nafter\n--o--\n";
    let blocks = blocks(mail.as_bytes());
    let texts: Vec<&str> = blocks.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Outer",
            "see below",
            "after",
            "Inner",
            "From: a@example.com",
            "inner text"
        ]
    );
    assert_eq!(blocks[3].0, BlockKind::Heading { level: 2 });
}

#[test]
fn flowing_lines_are_joined() {
    assert_eq!(
        unflow(
            "one \ntwo\n> three \n> four\n>> five \n-- \nA. \n \n",
            false
        ),
        "one two\n> three four\n>> five \n-- \nA. "
    );
    assert_eq!(unflow("日 \n本", true), "日本");
}

#[test]
fn encrypted_messages_say_so() {
    for kind in [
        "multipart/encrypted; boundary=b",
        "application/pkcs7-mime; smime-type=enveloped-data",
    ] {
        let mail = format!("Subject: S\nContent-Type: {kind}\n\n--b\n\nx\n--b--");
        let refused = extract(mail.as_bytes(), &mut Blocks::new(100));
        assert_eq!(refused, Err(ExtractError::Encrypted));
    }
}

#[test]
fn messages_in_messages_beyond_the_most_are_named_only() {
    let carried = |at| format!("Subject: S{at}\nContent-Type: message/rfc822\n\n");
    let texts = texts(&(0..40).map(carried).collect::<String>());
    assert_eq!(texts[31], "S31");
    assert!(
        texts[32].starts_with("Attachment: without a name (message/rfc822, "),
        "{texts:?}"
    );
    assert_eq!(texts.len(), 33);
}

#[test]
fn deep_and_wild_messages_are_read_in_time() {
    let parts =
        (0..9_000).map(|at| format!("Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n"));
    let deep = format!("Subject: S\n{}", parts.collect::<String>());
    assert_eq!(texts(&deep)[0], "S");
    let carried = format!(
        "Subject: S\n{}",
        "Content-Type: message/rfc822\n\n".repeat(9_000)
    );
    assert_eq!(texts(&carried)[0], "S");
    let many = format!(
        "Subject: S\nContent-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n\n".repeat(20_000)
    );
    let refused = extract(many.as_bytes(), &mut Blocks::new(100));
    assert!(matches!(refused, Err(ExtractError::Corrupt { .. })));
    for long in [
        format!("X-Long: {}\nSubject: S\n\n", "a".repeat(10 << 20)),
        format!("Subject: S\n{}\n\n", "X: a\n".repeat(1 << 20)),
        format!("Subject: S\n\n{}", "--\n".repeat(1 << 20)),
        format!(
            "Subject: S\nContent-Transfer-Encoding: base64\n\n{}",
            "QUFB".repeat(1 << 20)
        ),
    ] {
        assert_eq!(blocks(long.as_bytes())[0].1, "S");
    }
}
