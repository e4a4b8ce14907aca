//! How odd a text looks whose charset is a guess: the wrong one puts signs into words and capitals behind small letters.

/// What a text shows beyond ASCII.
#[derive(Debug, Default)]
pub(super) struct Look {
    all: usize,
    odd: usize,
    controls: usize,
    /// Small letters with accents, in words.
    letters: usize,
    /// Those of them that follow another one.
    pairs: usize,
    /// Pieces of frames that touch no letter.
    frames: usize,
    /// Whether some of these are a line.
    has_lines: bool,
}

impl Look {
    pub(super) fn of(text: &str) -> Self {
        let mut look = Self::default();
        let (mut before, mut before_run, mut run) = (' ', ' ', 0);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let after = chars.peek().copied().unwrap_or(' ');
            if c == before {
                run += 1;
            } else {
                (before_run, run) = (before, 1);
            }
            if !c.is_ascii() {
                look.all += 1;
                look.odd += usize::from(is_odd(before, c, after));
                look.controls += usize::from(c.is_control());
                let in_word = is_accented(c) && is_letter(before) && !after.is_uppercase();
                look.letters += usize::from(in_word);
                look.pairs += usize::from(in_word && is_accented(before));
                look.frames += usize::from(is_frame(c) && !is_letter(before) && !is_letter(after));
                let ends = c != after && !is_letter(before_run) && !is_letter(after);
                look.has_lines |= is_line(c) && run >= 3 && ends;
            }
            before = c;
        }
        look
    }

    /// The share of the characters, in thousandths, that no writer would put where they are.
    pub(super) fn oddness(&self) -> usize {
        self.odd * 1000 / self.all.max(1)
    }

    /// How many these are.
    pub(super) fn odd(&self) -> usize {
        self.odd
    }

    /// Whether some bytes are no character.
    pub(super) fn has_controls(&self) -> bool {
        self.controls > 0
    }

    /// Whether so many are none that nothing can be said for the rest.
    pub(super) fn is_controls(&self) -> bool {
        self.controls > 0 && self.controls * 3 >= self.all
    }

    /// Whether letters in words or lines of frames show that the text was written so: a charset that is merely not odd
    /// may be any.
    pub(super) fn is_written(&self) -> bool {
        self.letters * 3 > self.all - self.frames
            || self.has_lines && (self.letters + self.frames) * 3 > self.all
    }

    /// Whether it is all side by side within words, which is no place for two signs: of a text of a few words there is
    /// nothing more to see.
    pub(super) fn is_in_pairs(&self) -> bool {
        self.pairs > 0 && self.pairs * 2 == self.all
    }
}

/// Whether a character is odd between its neighbours.
fn is_odd(before: char, c: char, after: char) -> bool {
    match c {
        c if c.is_control() || c == char::REPLACEMENT_CHARACTER => true,
        // Accents of their own, and what nobody types.
        '¨' | '¯' | '¸' | '‗' | 'ˆ' | '˜' | '¦' | '\u{ad}' => true,
        'ª' | 'º' | '¹' | '²' | '³' => !before.is_alphanumeric() || is_letter(after),
        // Of units, whatever follows.
        'µ' => false,
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
    /// Of money, notes, paragraphs and formulas: on both sides of words, and within them only in capitals.
    const AT_WORDS: &str = "€£†‡±×¶¬";
    const IN_WORDS: &str = "’‘´–—·…";
    const BEFORE_WORDS: &str = "¿¡«»„“”‚‹›•§©®°→";
    const AFTER_WORDS: &str = "«»“”‹›•§©®°™";
    if AT_WORDS.contains(c) {
        return before.is_lowercase() && after.is_lowercase() && c != '×';
    }
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

/// A small letter with an accent.
fn is_accented(c: char) -> bool {
    !c.is_ascii() && is_latin(c) && c.is_lowercase()
}

/// A piece of a frame or a block, from which DOS drew tables and pictures.
fn is_frame(c: char) -> bool {
    matches!(c, '\u{2500}'..='\u{259f}' | '■')
}

/// A piece that is repeated, for lines and areas.
fn is_line(c: char) -> bool {
    "─═▄▀█░▒▓■".contains(c)
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
            "Revenue (€m), £m, A×B, a×b, †Department, Smith‡, ±SD, ¶The, ¬p, µg, mµ",
        ] {
            assert_eq!(Look::of(text).odd(), 0, "{text}");
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
            let oddness = Look::of(text).oddness();
            assert!(oddness > 400, "{text}: {oddness}");
        }
    }
}
