//! Where running text may be cut: after its sentences, clauses and lines, in any script.
//!
//! A plain scan and not Unicode's rules for sentences, whose look-ahead has no bound.

use super::written::Level;

/// The breaks of a paragraph, in order; each lies before the white space that follows it.
pub(super) fn breaks(text: &str) -> impl Iterator<Item = (usize, Level)> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (_, character) = rest.next()?;
            let Some((level, needs_space)) = ends(character) else {
                continue;
            };
            if level != Level::Line {
                while rest.next_if(|(_, next)| goes_with_an_end(*next)).is_some() {}
            }
            let (at, next) = *rest.peek()?;
            if !needs_space || next.is_whitespace() {
                return Some((at, level_before(&text[at..], level, needs_space)));
            }
        }
    })
}

/// The level of an end, once it is known what follows.
fn level_before(rest: &str, level: Level, needs_space: bool) -> Level {
    // "e.g. this" goes on; it hardly ever does before a capital or a number.
    let next = rest.chars().take(3).find(|next| !next.is_whitespace());
    let goes_on = needs_space && next.is_some_and(char::is_lowercase);
    if level == Level::Sentence && goes_on {
        Level::Clause
    } else if level == Level::Line && rest.starts_with('\n') {
        Level::Paragraph
    } else {
        level
    }
}

/// What a character ends, and whether it does so only before white space.
const fn ends(character: char) -> Option<(Level, bool)> {
    match character {
        '\n' => Some((Level::Line, false)),
        '.' | '!' | '?' | '…' | '؟' | '۔' | '։' => Some((Level::Sentence, true)),
        '。' | '！' | '？' | '｡' | '．' | '।' | '॥' | '။' | '።' | '។' => {
            Some((Level::Sentence, false))
        }
        ',' | ';' | ':' | '،' | '؛' => Some((Level::Clause, true)),
        '，' | '、' | '；' | '：' | '､' => Some((Level::Clause, false)),
        _ => None,
    }
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
    closes || ends(character).is_some_and(|(level, _)| level != Level::Line)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        let text = "He paid 3.50 (e.g. in coins). \"Why?\" she asked... Nobody knew!";
        let sentences = [
            "He paid 3.50 (e.g. in coins).",
            "\"Why?\" she asked...",
            "Nobody knew!",
        ];
        assert_eq!(pieces(text, Level::Sentence), sentences);
        assert_eq!(
            pieces("「何？」彼は言った。終わり", Level::Sentence),
            ["「何？」", "彼は言った。", "終わり"]
        );
        assert_eq!(pieces("كيف؟ لا أعرف۔ नमस्ते। फिर", Level::Sentence).len(), 4);
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
    }
}
