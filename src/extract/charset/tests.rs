//! What bytes are read as.

use super::*;

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

#[test]
fn text_of_dos_is_read_as_such() {
    for text in [
        "Die Höhe des Mastes beträgt zwölf Meter; Öl und Schlüssel für die Tür liegen im Büro.",
        "Größe: 3 m",
        "Schlüssel: 3 m",
        "über Öl und Ärger",
        "│ a │ Größe │ für │\n│ b │ 3 │ 4 │\n",
        "Le mât s'élève à douze mètres; où est la clé? Ça ne gêne personne, même en été.",
        "La estación se lee cada mañana. ¿Quién tiene la llave del almacén? ¡Qué día!",
        "Stationen aflæses hver morgen, og nøglen ligger på hylden i køkkenet hos Åse.",
        "A direção do vento também é anotada; as condições não são boas. Água há já três dias.",
        "┌─────────┬───────┐\n│ Größe   │ 12 mm │\n└─────────┴───────┘\n",
    ] {
        let bytes = dos_bytes(text, dos::CP850);
        assert_eq!(decode(&bytes, None).as_deref(), Some(text));
    }
    for text in [
        " ▄▄▄ ▐█▌\n▓▓██ ▀▀▀ ░▒▓\n╔═══╤══╗\n║ 1 │ 2║\n╚═══╧══╝\n",
        "Durchmesser ≥ 3 mm für die Röhre, ≈ 5 Ω je Spule, Größe ±1",
    ] {
        let bytes = dos_bytes(text, dos::CP437);
        assert_eq!(decode(&bytes, None).as_deref(), Some(text));
    }
    let named = decode(&dos_bytes("Ø", dos::CP850), Some("IBM850"));
    assert_eq!(named.as_deref(), Some("Ø"));
}

#[test]
fn text_of_other_charsets_is_not_taken_for_one_of_dos() {
    for (text, labels) in [
        (
            "“Don’t climb the mast…” – it costs €500 – said the keeper’s wife in the café.",
            &["windows-1252"][..],
        ),
        (
            "Die Höhe beträgt zwölf Meter; „Ärger“ gibt’s – draußen – selten. Größe: 5 m².",
            &["windows-1252"],
        ),
        (
            "Un été où l’œuvre naît à Nîmes : « déjà », c’est sûr, la forêt gêne Noël.",
            &["windows-1252"],
        ),
        (
            "Nikdo neví, kde leží klíč. Šťastný člověk, žluťoučký kůň úpěl ďábelské ódy.",
            &["windows-1250", "iso-8859-2"],
        ),
        (
            "Żaden z mieszkańców nie wie, gdzie leży klucz. Łódź stoi przy źródle; ćma lata.",
            &["windows-1250", "iso-8859-2"],
        ),
        (
            "Κανείς δεν ξέρει πού είναι το κλειδί. Η βροχή έπεφτε όλη τη νύχτα.",
            &["windows-1253", "iso-8859-7"],
        ),
        (
            "Şiddetli yağış nedeniyle çatı uçtu. İğne ile kuyu kazmak güçtür, kılıç değil.",
            &["windows-1254"],
        ),
        (
            "התורן גבוה שנים עשר מטר. אף אחד לא יודע איפה המפתח.",
            &["windows-1255"],
        ),
        (
            "يبلغ ارتفاع الصاري اثني عشر مترا. لا أحد يعرف أين المفتاح.",
            &["windows-1256"],
        ),
        ("สถานีอากาศจะอ่านค่าทุกเช้าเวลาเจ็ดโมง", &["windows-874"]),
        (RUSSIAN, &["windows-1251", "koi8-r", "iso-8859-5", "ibm866"]),
        (JAPANESE, &["shift_jis", "euc-jp"]),
        (
            "气象站每天早上七点读数。没有人知道钥匙在哪里,用Excel记录。",
            &["gbk"],
        ),
        ("氣象站每天早上七點讀數。沒有人知道鑰匙在哪裡。", &["big5"]),
        ("기상 관측소는 매일 아침 일곱 시에 읽습니다.", &["euc-kr"]),
    ] {
        for label in labels {
            let found = decode(&encode(text, label), None);
            assert_eq!(found.as_deref(), Some(text), "{label}");
        }
    }
}

/// Pages of English, in which `line` is all that is not ASCII.
fn in_english(line: &str) -> String {
    let page = "The station is read every morning at seven, and the log is kept in the office.\n";
    format!("{}{line}\n{}", page.repeat(40), page.repeat(40))
}

#[test]
fn a_sign_beside_a_word_makes_no_text_of_dos() {
    for line in [
        "Revenue (€m)",
        "A×B and M×N",
        "†Department of Physics",
        "3 ±SD",
        "¶The first",
        "¬ selected",
        "ÆØÅ ÆBLE",
        "JÄÄÄÄR",
        "Revenue (€m), cost (£m), 3 ±SD, ¬ selected, A×B, †Physics, ‡Chemistry, ¶The first",
    ] {
        for text in [line.to_owned(), in_english(line)] {
            let found = decode(&encode(&text, "windows-1252"), None);
            assert_eq!(found.as_deref(), Some(&*text));
        }
    }
}

#[test]
fn a_word_of_another_alphabet_makes_no_text_of_dos() {
    for (word, label) in [("ﾃｽﾄ", "shift_jis"), ("Да", "windows-1251")] {
        for text in [word.to_owned(), in_english(word)] {
            let bytes = encode(&text, label);
            let found = decode(&bytes, None);
            let dos = [dos::CP437, dos::CP850].map(|page| Some(page.decode(&bytes)));
            assert!(!dos.contains(&found), "{label}");
        }
    }
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

#[test]
fn binary_without_control_characters_is_no_text_of_dos() {
    let noise: Vec<u8> = (0..4096_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .filter(|byte| *byte >= b' ' && *byte != 0x7f)
        .collect();
    for page in [dos::CP437, dos::CP850] {
        assert!(Look::of(&page.decode(&noise)).oddness() > MAX_ODDNESS);
    }
    assert_eq!(decode(&noise, None), None);
}
