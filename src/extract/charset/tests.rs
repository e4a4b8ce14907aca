//! What bytes are read as.

use super::*;

mod dos_or_not;

const RUSSIAN: &str =
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Быстрая лиса прыгает через собаку.";
const JAPANESE: &str =
    "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。 1905年\n";

fn encode(text: &str, label: &str) -> Vec<u8> {
    let encoding = Encoding::for_label(label.as_bytes()).expect("a known label");
    encoding.encode(text).0.into_owned()
}

fn wide(text: &str, little: bool) -> Vec<u8> {
    let bytes = |unit: u16| {
        if little {
            unit.to_le_bytes()
        } else {
            unit.to_be_bytes()
        }
    };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn legacy_charsets_are_guessed() {
    for label in ["windows-1251", "koi8-r", "ibm866"] {
        assert_eq!(
            decode(&encode(RUSSIAN, label), None).as_deref(),
            Some(RUSSIAN),
            "{label}"
        );
    }
    for label in ["shift_jis", "euc-jp", "iso-2022-jp"] {
        assert_eq!(
            decode(&encode(JAPANESE, label), None).as_deref(),
            Some(JAPANESE),
            "{label}"
        );
    }
    let french = "Dès Noël où un zéphyr haï me vêt de glaçons würmiens";
    assert_eq!(
        decode(&encode(french, "windows-1252"), None).as_deref(),
        Some(french)
    );
}

/// The bytes of a text under DOS.
fn dos_bytes(text: &str, page: CodePage) -> Vec<u8> {
    let byte = |c: char| (0..=255).find(|byte| page.decode(&[*byte]).starts_with(c));
    text.chars()
        .map(|c| byte(c).expect("a character of the page"))
        .collect()
}

/// Pages of English, in which `line` is all that is not ASCII.
fn in_english(line: &str) -> String {
    let page = "The station is read every morning at seven, and the log is kept in the office.\n";
    format!("{}{line}\n{}", page.repeat(40), page.repeat(40))
}

#[test]
fn text_with_signs_only_is_western() {
    for line in [
        "£5m",
        "The mean ± SD was 12 ± 3, and 5 µg of it",
        "½ cup of flour",
        "¹ See the log",
        "20 °C, “so” – it’s ©…",
    ] {
        for text in [line.to_owned(), in_english(line)] {
            let found = decode(&encode(&text, "windows-1252"), None);
            assert_eq!(found.as_deref(), Some(&*text));
        }
    }
}

#[test]
fn the_charset_that_a_file_names_beats_the_guess() {
    for (text, label) in [
        ("<html><meta charset=\"macintosh\"><p>naïve", "macintosh"),
        (
            "<meta http-equiv=Content-Type content='text/html; charset=iso-8859-2'><p>Łódź",
            "iso-8859-2",
        ),
        (
            "<?xml version=\"1.0\" encoding=\"koi8-u\"?><a>її</a>",
            "koi8-u",
        ),
        (
            "#!/usr/bin/python\n# -*- coding: iso-8859-15 -*-\nprice = '5 €'\n",
            "iso-8859-15",
        ),
    ] {
        let found = decode(&encode(text, label), None);
        assert_eq!(found.as_deref(), Some(text), "{label}");
    }
    let text = "# coding: cp850\nname = 'Øre'\n";
    let found = decode(&dos_bytes(text, dos::CP850), None);
    assert_eq!(found.as_deref(), Some(text));
}

#[test]
fn the_charset_that_a_file_names_does_not_beat_what_is_known() {
    let text = "<meta charset=koi8-r>naïve";
    assert_eq!(decode(text.as_bytes(), None).as_deref(), Some(text));
    let found = decode(&encode(text, "macintosh"), Some("macintosh"));
    assert_eq!(found.as_deref(), Some(text));
    let found = decode(&wide(text, true), None);
    assert_eq!(found.as_deref(), Some(text));
}

#[test]
fn a_charset_named_in_error_is_guessed() {
    for name in ["utf-8", "utf-16", "euc-kr", "us-martian"] {
        let text = format!("<meta charset={name}><p>{RUSSIAN}");
        let found = decode(&encode(&text, "windows-1251"), None);
        assert_eq!(found.as_deref(), Some(&*text));
    }
}

#[test]
fn utf_16_is_seen_with_and_without_its_mark() {
    for text in ["Plain words.\n", RUSSIAN, JAPANESE] {
        for little in [true, false] {
            let marked = wide(&format!("\u{feff}{text}"), little);
            assert_eq!(decode(&marked, None).as_deref(), Some(text));
            assert_eq!(decode(&wide(text, little), None).as_deref(), Some(text));
        }
    }
}

#[test]
fn utf_32_is_seen_with_and_without_its_mark() {
    let bytes: Vec<u8> = RUSSIAN
        .chars()
        .flat_map(|c| u32::from(c).to_le_bytes())
        .collect();
    assert_eq!(decode(&bytes, None).as_deref(), Some(RUSSIAN));
    let marked = [&[0xff, 0xfe, 0, 0][..], &bytes].concat();
    assert_eq!(decode(&marked, None).as_deref(), Some(RUSSIAN));
}

#[test]
fn a_stray_zero_makes_no_utf_16() {
    for text in [
        "a,b\n1,\0 and so on, to the end of the line, and one more line\n",
        "é\0 zwölf Töne klingen hell über dem See und dem Moor",
    ] {
        assert_eq!(decode(text.as_bytes(), None).as_deref(), Some(text));
    }
}

#[test]
fn a_named_charset_beats_the_guess_and_utf_8_beats_the_name() {
    let bytes = encode("naïve", "macintosh");
    assert_eq!(decode(&bytes, Some("macintosh")).as_deref(), Some("naïve"));
    assert_eq!(
        decode("naïve".as_bytes(), Some("macintosh")).as_deref(),
        Some("naïve")
    );
    assert_eq!(label_of("text/plain; Charset=\"KOI8-R\""), Some("KOI8-R"));
}

#[test]
fn one_broken_byte_does_not_undo_utf_8() {
    let mut bytes = RUSSIAN.as_bytes().to_vec();
    bytes.truncate(bytes.len() - 2);
    assert!(decode(&bytes, None).is_some_and(|text| text.starts_with("Съешь")));
}

#[test]
fn half_a_character_does_not_undo_a_few_words_of_utf_8() {
    let bytes = [
        "Il avait déjà vu la station, cet été au bord du lac, où elle est.".as_bytes(),
        b"\xc3",
    ]
    .concat();
    assert_eq!(
        decode(&bytes, None).as_deref(),
        Some("Il avait déjà vu la station, cet été au bord du lac, où elle est.\u{fffd}")
    );
}

#[test]
fn binary_is_no_text() {
    let noise: Vec<u8> = (0..4096_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    assert_eq!(decode(&noise, None), None);
    assert_eq!(
        decode(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0", None),
        None
    );
}
