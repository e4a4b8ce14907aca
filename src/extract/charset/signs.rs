//! Western text whose only bytes beyond ASCII are signs: letter frequencies, by which a charset is guessed, are silent there.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, SHIFT_JIS, UTF_8, WINDOWS_1252,
};

/// Signs of windows-1252 that are typed; what is missing is letters, accents of their own and what nobody types.
const SIGNS: &str = "€£¥¢§©®™°±µ·¶†‡•…–—‘’“”„‚«»‹›¿¡×÷¼½¾¹²³ªº¬¦\u{a0}";

/// A guess, or windows-1252 where nothing but the signs of Western Europe speaks for it.
pub(super) fn settle(bytes: &[u8], guessed: &'static Encoding) -> &'static Encoding {
    let beyond = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let plain = bytes.iter().filter(|byte| byte.is_ascii_graphic()).count();
    let settled = guessed == UTF_8 || guessed == ISO_2022_JP;
    // Two characters side by side are East Asian text; one alone is as likely a sign and the letter behind it.
    let wide = is_wide(guessed) && bytes.windows(4).any(is_mixed_run);
    // Without words of ASCII around them, they are letters of some other alphabet.
    if settled || wide || beyond > plain || !all_signs(bytes) {
        guessed
    } else {
        WINDOWS_1252
    }
}

/// Whether all bytes beyond ASCII are signs in windows-1252.
fn all_signs(bytes: &[u8]) -> bool {
    let signs = WINDOWS_1252.encode(SIGNS).0;
    bytes
        .iter()
        .all(|byte| byte.is_ascii() || signs.contains(byte))
}

/// Bytes beyond ASCII, and no line drawn of one sign.
fn is_mixed_run(bytes: &[u8]) -> bool {
    !bytes.iter().any(u8::is_ascii) && bytes.iter().any(|byte| *byte != bytes[0])
}

/// Whether its characters have several bytes.
fn is_wide(encoding: &'static Encoding) -> bool {
    [BIG5, EUC_JP, EUC_KR, GB18030, GBK, SHIFT_JIS].contains(&encoding)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_8859_2, WINDOWS_1251};

    use super::*;

    #[test]
    fn signs_alone_are_western() {
        for text in ["£5m", "½ cup", "20 °C and so “on”…", "————— and on"] {
            let bytes = WINDOWS_1252.encode(text).0;
            for guessed in [ISO_8859_2, GBK] {
                assert_eq!(settle(&bytes, guessed), WINDOWS_1252, "{text}");
            }
        }
    }

    #[test]
    fn letters_are_left_to_the_guess() {
        for (bytes, guessed) in [
            (&b"x \xa3ukasz"[..], UTF_8),
            (b"x \xa3\xf3dz", ISO_8859_2),
            (b"\xac\xa0\xac\xa0", WINDOWS_1251),
            (b"in Korean: \xb0\xa1\xb3\xaa", EUC_KR),
        ] {
            assert_eq!(settle(bytes, guessed), guessed, "{bytes:?}");
        }
    }
}
