//! The charset that a file names in its own first lines, whatever its format.
//!
//! HTML, XML and scripts each have a line for it, and the line is ASCII in every charset that it can name, so that one
//! search serves before anything is known of the file.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED};

use super::{Charset, dos::CodePage};

/// Where browsers, too, stop to look.
const HEAD_BYTES: usize = 1024;

/// What the file says that it is written in, if that is a charset.
pub(super) fn declared(bytes: &[u8]) -> Option<Charset> {
    let head: String = bytes
        .iter()
        .take(HEAD_BYTES)
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    let label = in_xml(&head)
        .or_else(|| in_meta(&head))
        .or_else(|| in_script(&head))?;
    let charset = Charset::named(label).or_else(|| of_python(label))?;
    // A name of UTF-16 could not be read if it were true.
    if [UTF_16LE, UTF_16BE].map(Charset::Web).contains(&charset) {
        return Some(Charset::Web(UTF_8));
    }
    // For scripts of pages that handle bytes: no writing is meant.
    (charset != Charset::Web(X_USER_DEFINED)).then_some(charset)
}

/// `<?xml version="1.0" encoding="…"?>`, which nothing may precede.
fn in_xml(head: &str) -> Option<&str> {
    let declaration = head.trim_start().strip_prefix("<?xml")?.split('>').next()?;
    value_of(declaration, "encoding")
}

/// `<meta charset="…">`, or `<meta http-equiv="Content-Type" content="text/html; charset=…">`.
fn in_meta(head: &str) -> Option<&str> {
    head.match_indices("<meta").find_map(|(at, _)| {
        let before = &head[..at];
        let in_comment = before.rfind("<!--") > before.rfind("-->");
        let tag = head[at..].split('>').next().filter(|_| !in_comment)?;
        value_of(tag, "charset")
    })
}

/// The value behind `key` and an equals sign, in quotes or not.
fn value_of<'a>(tag: &'a str, key: &str) -> Option<&'a str> {
    tag.match_indices(key).find_map(|(at, _)| {
        let value = tag[at + key.len()..].trim_start().strip_prefix('=')?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = |c: char| c.is_whitespace() || "\"';/?".contains(c);
        value.split(end).next().filter(|value| !value.is_empty())
    })
}

/// `# -*- coding: … -*-` as Python and Emacs read it: in a comment of the first two lines, for `#!` may take the first.
fn in_script(head: &str) -> Option<&str> {
    const COMMENTS: [&str; 6] = ["#", ";", "//", "/*", "%", "\""];
    head.lines().take(2).find_map(|line| {
        let comment = COMMENTS.iter().any(|mark| line.trim().starts_with(mark));
        let (_, value) = line.split_once("coding").filter(|_| comment)?;
        let value = value.strip_prefix([':', '='])?.trim_start();
        let end = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
        value.split(end).next()
    })
}

/// Python does not tell `latin-1`, `latin_1` and `latin1` apart; the web does.
fn of_python(label: &str) -> Option<Charset> {
    let web = |label: &str| Encoding::for_label(label.as_bytes()).map(Charset::Web);
    web(&label.replace('_', "-"))
        .or_else(|| web(&label.replace(['-', '_'], "")))
        .or_else(|| CodePage::named(&label.replace(['-', '_'], "")).map(Charset::Dos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(label: &str) -> Option<Charset> {
        Encoding::for_label(label.as_bytes()).map(Charset::Web)
    }

    #[test]
    fn each_format_has_its_line() {
        for (head, label) in [
            ("<!DOCTYPE html>\n<meta charset=koi8-r>", "koi8-r"),
            ("<META CharSet = 'ISO-8859-2'/>", "iso-8859-2"),
            (
                "<meta name=a content=b><meta http-equiv=\"Content-Type\" content=\"text/html; charset=big5\">",
                "big5",
            ),
            (
                "<?xml version='1.0' encoding='windows-1253'?>",
                "windows-1253",
            ),
            ("#!/usr/bin/python\n# -*- coding: latin-1 -*-", "latin1"),
            ("# vim: set fileencoding=euc_jp :", "euc-jp"),
        ] {
            assert_eq!(declared(head.as_bytes()), web(label), "{head}");
        }
        let dos = Some(Charset::Dos(super::super::dos::CP850));
        assert_eq!(declared(b"# coding: cp850"), dos);
    }

    #[test]
    fn what_only_looks_like_such_a_line_names_nothing() {
        for head in [
            "<!-- <meta charset=koi8-r> --><p>",
            "<p>charset=koi8-r",
            "A word on encoding: koi8-r",
            "# one\n# two\n# coding: koi8-r",
            "# coding: beautiful",
            "<meta charset=x-user-defined>",
        ] {
            assert_eq!(declared(head.as_bytes()), None, "{head}");
        }
        let far = format!("{}<meta charset=koi8-r>", " ".repeat(HEAD_BYTES));
        assert_eq!(declared(far.as_bytes()), None);
    }

    #[test]
    fn utf_16_named_in_ascii_is_utf_8() {
        assert_eq!(declared(b"<meta charset=utf-16le>"), web("utf-8"));
    }
}
