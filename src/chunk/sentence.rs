//! Where running text may be cut: after its sentences, clauses and lines, in any script.
//!
//! A plain scan that agrees with Unicode's rules for sentences on ordinary text. Those rules look ahead without bound;
//! this looks a few characters ahead, and knows of abbreviations, which they do not.

use super::written::Level;

/// Characters in which a small letter must follow for the sentence to go on.
const AHEAD: usize = 16;

/// The breaks of a paragraph, in order; each lies before the white space that follows it.
pub(super) fn breaks(text: &str) -> impl Iterator<Item = (usize, Level)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + next_end(&text.as_bytes()[at..])?;
            let mut rest = text[start..].char_indices().peekable();
            let (_, character) = rest.next()?;
            let Some(end) = end_of(character) else {
                at = start + character.len_utf8();
                continue;
            };
            let mut last = end;
            if end.level != Level::Line {
                while let Some((_, next)) = rest.next_if(|(_, next)| goes_with_an_end(*next)) {
                    last = end_of(next).unwrap_or(last);
                }
            }
            let (length, next) = *rest.peek()?;
            at = start + length;
            if !end.needs_space || next.is_whitespace() {
                return Some((at, level(text, start, at, end, last)));
            }
        }
    })
}

/// What a character ends.
#[derive(Clone, Copy)]
struct End {
    level: Level,
    /// Whether it does so only before white space.
    needs_space: bool,
}

/// The level of an end, once it is known what stands around it.
fn level(text: &str, start: usize, at: usize, end: End, last: End) -> Level {
    if end.level == Level::Line {
        return if text[at..].starts_with('\n') {
            Level::Paragraph
        } else {
            Level::Line
        };
    }
    // "Smith, Inc., of" goes on after its last sign; "(3.)," too.
    if end.level == Level::Clause || last.level == Level::Clause {
        return Level::Clause;
    }
    let is_dot = text[start..].starts_with('.');
    if end.needs_space && goes_on(&text[at..], is_dot) || is_dot && abbreviates(text, start, at) {
        Level::Clause
    } else {
        Level::Sentence
    }
}

/// Whether what follows is no beginning of a sentence: "e.g. this", "etc. (in 3 cases)", "why? he asked". After a dot a
/// number may come before the small letter.
fn goes_on(rest: &str, is_dot: bool) -> bool {
    let mut following = rest.chars().take(AHEAD);
    let stop = following.find(|next| {
        next.is_alphabetic() || end_of(*next).is_some() || !is_dot && !next.is_whitespace()
    });
    stop.is_some_and(char::is_lowercase)
}

/// Whether the dot ends an abbreviation that hardly ever ends a sentence: "Dr. Smith", "J. Smith", "No. 5".
fn abbreviates(text: &str, dot: usize, at: usize) -> bool {
    const BEFORE_NAMES: &[&str] = &[
        "Dr", "Fr", "Frl", "Gen", "Hon", "Hr", "Lt", "M", "Messrs", "Mlle", "Mme", "Mr", "Mrs",
        "Ms", "Mt", "Prof", "Rev", "Sgt", "Sra", "Srta", "St", "Univ", "bzw", "ca", "cf", "ggf",
        "vgl", "vs", "Проф", "г", "им", "проф", "ул",
    ];
    const BEFORE_NUMBERS: &[&str] = &[
        "Abb", "Abs", "Art", "Bd", "Ch", "Eq", "Fig", "Kap", "No", "Nos", "Nr", "Sec", "Tab",
        "Vol", "art", "ca", "ch", "eq", "fig", "n", "no", "núm", "p", "pp", "s", "sec", "vol",
        "гл", "п", "рис", "с", "см", "стр",
    ];
    const LONGEST: usize = 12;
    let from = text.floor_char_boundary(dot.saturating_sub(LONGEST));
    let before = &text[from..dot];
    let word_at = before
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |place| {
            text[from + place..]
                .chars()
                .next()
                .map_or(0, |c| place + c.len_utf8())
        });
    let word = &before[word_at..];
    let next = text[at..].trim_start().chars().next();
    let mut letters = word.chars();
    let is_initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    match next {
        Some(next) if next.is_numeric() => BEFORE_NUMBERS.contains(&word),
        Some(_) => is_initial || BEFORE_NAMES.contains(&word),
        None => false,
    }
}

/// The first byte that may begin an end.
fn next_end(bytes: &[u8]) -> Option<usize> {
    const BEGINS: [bool; 256] = {
        let mut begins = [false; 256];
        let ascii = b"\n.!?,;:";
        let mut place = 0;
        while place < ascii.len() {
            begins[ascii[place] as usize] = true;
            place += 1;
        }
        // Greek; Armenian; Arabic; Indic and Tibetan; Burmese, Ethiopic, Khmer; general; CJK; full and half width.
        let lead = [0xcd, 0xd6, 0xd8, 0xdb, 0xe0, 0xe1, 0xe2, 0xe3, 0xef];
        place = 0;
        while place < lead.len() {
            begins[lead[place]] = true;
            place += 1;
        }
        begins
    };
    bytes.iter().position(|byte| BEGINS[usize::from(*byte)])
}

/// What a character ends; its first byte is one of [`next_end`]'s.
const fn end_of(character: char) -> Option<End> {
    let (level, needs_space) = match character {
        '\n' => (Level::Line, false),
        '.' | '!' | '?' | '…' | '‼' | '⁇' | '⁈' | '⁉' | '؟' | '۔' | '։' => {
            (Level::Sentence, true)
        }
        '。' | '！' | '？' | '｡' | '．' | '।' | '॥' | '။' | '។' | '៕' | '።' | '፧' | '།' => {
            (Level::Sentence, false)
        }
        ',' | ';' | ':' | '،' | '؛' | '\u{37e}' => (Level::Clause, true),
        '，' | '、' | '；' | '：' | '､' | '၊' | '፣' | '፤' => (Level::Clause, false),
        _ => return None,
    };
    Some(End { level, needs_space })
}

/// Closes what an end belongs to, or ends it again.
fn goes_with_an_end(character: char) -> bool {
    let closes = matches!(
        character,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '»'
            | '”'
            | '’'
            | '）'
            | '」'
            | '』'
            | '】'
            | '》'
            | '〉'
            | '〕'
    );
    closes || end_of(character).is_some_and(|end| end.level != Level::Line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;

    fn pieces(text: &str, least: Level) -> Vec<&str> {
        let mut from = 0;
        let mut pieces = Vec::new();
        for (at, _) in breaks(text).filter(|(_, level)| *level >= least) {
            pieces.push(text[from..at].trim());
            from = at;
        }
        pieces.push(text[from..].trim());
        pieces
    }

    /// Ordinary text; `|` marks the ends of sentences.
    const LABELLED: &[&str] = &[
        "The gauge was full.| Who had emptied it? |Nobody knew!| It rained again.",
        "He paid 3.50 for it.| \"It works!\" she wrote.| (He had tried it before.)| Version 2.5 is out.",
        "Das Messgerät war voll.| Wer hatte es geleert?| Niemand wusste es!| Am Abend regnete es.",
        "Le pluviomètre était plein.| Qui l’avait vidé ?| Personne ne le savait !| Il pleuvait encore.",
        "El pluviómetro estaba lleno.| ¿Quién lo había vaciado?| ¡Nadie lo sabía!| Llovía otra vez.",
        "Il pluviometro era pieno.| Chi l'aveva svuotato?| Nessuno lo sapeva!",
        "Deszczomierz był pełny.| Kto go opróżnił?| Nikt nie wiedział!",
        "Дождемер был полон.| Кто его опорожнил?| Никто не знал!",
        "Το βροχόμετρο ήταν γεμάτο.| Κανείς δεν το ήξερε!| Έβρεχε ξανά.",
        "مقياس المطر ممتلئ.| من أفرغه؟| لا أحد يعرف!",
        "מד הגשם היה מלא.| מי רוקן אותו?| איש לא ידע!",
        "वर्षामापी भरा था।| उसे किसने खाली किया?| कोई नहीं जानता था।",
        "雨量计满了。|是谁倒空的？|没有人知道！|又下雨了。",
        "雨量計がいっぱいだった。|誰が空にしたのか？|「知らない。」|彼は言った。",
        "우량계가 가득 찼다.| 누가 비웠을까?| 아무도 몰랐다!",
        "Անձրևաչափը լիքն էր։| Ոչ ոք չգիտեր։",
        "የዝናብ መለኪያው ሞልቷል።| ማንም አያውቅም።",
        "မိုးရေချိန်ခွက် ပြည့်နေသည်။| ဘယ်သူမှ မသိပါ။",
        "រង្វាស់ទឹកភ្លៀងពេញហើយ។| គ្មាននរណាដឹងទេ។",
    ];

    #[test]
    fn sentences_of_many_languages_end_where_a_reader_and_unicode_end_them() {
        for labelled in LABELLED {
            let expected: Vec<_> = labelled.split('|').map(str::trim).collect();
            let text = labelled.replace('|', "");
            assert_eq!(pieces(&text, Level::Sentence), expected);
            let unicode: Vec<_> = text.split_sentence_bounds().map(str::trim).collect();
            let speech = text.contains('"') || text.contains('「');
            assert!(speech || unicode == expected, "{unicode:#?}");
        }
    }

    #[test]
    fn abbreviations_do_not_end_sentences_as_they_do_by_unicode() {
        for labelled in [
            "Dr. Weber and J. R. Stone came.| They left.",
            "See No. 5 and Fig. 3 on p. 12.| Then go on.",
            "He asked no. |Nobody answered No. |They left.",
            "It rains often (e.g. in May), etc. |She left the U.S. Army.",
            "Tools (pliers, tape etc.) are in the hut.| Prof. Weber has the key.",
            "\"Why?\" she asked... |Nobody knew!",
            "Siehe Abb. 4 und Nr. 7.| Hr. Weber vgl. Kap. 2.",
            "См. рис. 3.| Проф. Вебер ушёл.",
        ] {
            let expected: Vec<_> = labelled.split('|').map(str::trim).collect();
            assert_eq!(
                pieces(&labelled.replace('|', ""), Level::Sentence),
                expected
            );
        }
    }

    #[test]
    fn an_empty_line_ends_a_paragraph() {
        assert_eq!(
            pieces("one\ntwo\n\nthree", Level::Paragraph),
            ["one\ntwo", "three"]
        );
        assert_eq!(
            pieces("one\ntwo\n\nthree", Level::Line),
            ["one", "two", "", "three"]
        );
    }

    #[test]
    fn clauses_end_after_commas() {
        assert_eq!(
            pieces("1,000 men, all、は", Level::Clause),
            ["1,000 men,", "all、", "は"]
        );
        assert_eq!(
            pieces("Weber, Inc., Berlin", Level::Sentence),
            ["Weber, Inc., Berlin"]
        );
    }

    proptest! {
        #[test]
        fn breaks_are_in_order_and_between_characters(text in "[.,!?。… a-cA-C\"'»)\n1é漢។]{0,40}") {
            let mut last = 0;
            for (at, _) in breaks(&text) {
                prop_assert!(at > last && at < text.len() && text.is_char_boundary(at));
                last = at;
            }
        }
    }

    #[test]
    fn every_end_is_found_by_its_first_byte() {
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            let found = next_end(text.as_bytes()) == Some(0);
            assert!(found || end_of(character).is_none(), "{character:?}");
        }
    }
}
