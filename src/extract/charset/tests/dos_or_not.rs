//! What is read as text of DOS, and what is not.

use super::*;

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
        "“Hawai‘i”, O‘ahu, Kaua‘i",
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

#[test]
fn a_few_more_words_tell_the_alphabet() {
    for (text, label) in [
        ("テスト ﾃｽﾄ の結果", "shift_jis"),
        ("Да, конечно", "windows-1251"),
    ] {
        let found = decode(&encode(text, label), None);
        assert_eq!(found.as_deref(), Some(text));
    }
}
