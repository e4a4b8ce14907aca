//! How odd a text looks whose charset is a guess: the wrong one puts signs into words and capitals behind small letters.

/// The share of a text's characters beyond ASCII, in thousandths, that no writer would put where they are.
pub(super) fn oddness(text: &str) -> usize {
    let (mut all, mut odd) = (0, 0);
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_ascii() {
            all += 1;
            let after = chars.peek().copied().unwrap_or(' ');
            odd += usize::from(is_odd(before, c, after));
        }
        before = c;
    }
    odd * 1000 / all.max(1)
}

/// Whether a character is odd between its neighbours.
fn is_odd(before: char, c: char, after: char) -> bool {
    match c {
        c if c.is_control() || c == char::REPLACEMENT_CHARACTER => true,
        // Accents of their own, and what nobody types.
        '¨' | '¯' | '¸' | '‗' | 'ˆ' | '˜' | '¦' | '\u{ad}' => true,
        'ª' | 'º' | '¹' | '²' | '³' => !before.is_alphanumeric() || is_letter(after),
        'µ' => is_letter(before),
        c if is_frame(c) => is_letter(before) && is_letter(after),
        c if is_latin(c) => is_odd_latin(before, c, after),
        c if c.is_alphabetic() => is_odd_letter(before, c, after),
        c if c.is_alphanumeric() || c.is_whitespace() => false,
        c => is_odd_sign(before, c, after),
    }
}

/// A letter with an accent, which is alone or in a word of plain letters.
fn is_odd_latin(before: char, c: char, after: char) -> bool {
    let neighbours = [before, after];
    let among_others = |c: char| c.is_alphabetic() && !is_latin(c) || is_frame(c);
    c.is_uppercase() && before.is_lowercase()
        || !neighbours.iter().any(char::is_ascii_alphabetic)
            && neighbours.iter().any(|c| is_latin(*c) || among_others(*c))
}

/// A letter of another script, which stands among its like.
fn is_odd_letter(before: char, c: char, after: char) -> bool {
    let like = |c: char| c.is_alphabetic() && !is_latin(c);
    let in_latin = (is_latin(before) || is_latin(after)) && !(like(before) || like(after));
    in_latin || before == c && after == c
}

/// A sign, which stands before or after words and seldom in them.
fn is_odd_sign(before: char, c: char, after: char) -> bool {
    const IN_WORDS: &str = "’‘´–—·…";
    const BEFORE_WORDS: &str = "¿¡«»„“”‚‹›•§©®°→";
    const AFTER_WORDS: &str = "«»“”‹›•§©®°™†‡€";
    !IN_WORDS.contains(c)
        && (is_letter(before) && !AFTER_WORDS.contains(c)
            || is_letter(after) && !BEFORE_WORDS.contains(c)
            || is_letter(before) && is_letter(after))
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic()
}

/// A letter of Western or Central Europe.
fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, 'À'..='ž') && c.is_alphabetic()
}

/// A piece of a frame or a block, from which DOS drew tables and pictures.
fn is_frame(c: char) -> bool {
    matches!(c, '\u{2500}'..='\u{259f}' | '■')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_it_was_written_is_not_odd() {
        for text in [
            "Größe in µm, über 30 °C – „so“, ‚so‘ und »so«: 5 m², 10 €…",
            "L’été déjà passé, où l’œuvre naît à Nîmes : 1º, 2ª.",
            "Съешь же ещё этих мягких булок",
            "在 Web 上用Python写的",
            "║Größe║ 3 ║\n╚═════╧═══╝",
        ] {
            assert_eq!(oddness(text), 0, "{text}");
        }
    }

    #[test]
    fn text_in_the_wrong_charset_is_odd() {
        for text in [
            "f\u{81}r Gr”áe",
            "d‚j… pass‚ la forˆt",
            "ÉÍÍÍÍ»\nº x º",
            "fБr",
            "f乺 h鄚",
        ] {
            assert!(oddness(text) > 400, "{text}: {}", oddness(text));
        }
    }
}
