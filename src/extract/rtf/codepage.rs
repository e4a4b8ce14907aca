//! The charset of a font: what its bytes mean.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, IBM866, MACINTOSH, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1250,
    WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256,
    WINDOWS_1257, WINDOWS_1258, X_MAC_CYRILLIC,
};

use super::super::charset::dos;

/// What bytes mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CodePage {
    /// A charset of the web.
    Web(&'static Encoding),
    /// One of DOS.
    Dos(dos::CodePage),
    /// A font of ornaments, whose bytes lie in the private use area from U+F000.
    Symbols,
}

impl CodePage {
    /// What a file is in that says nothing.
    pub(super) const DEFAULT: Self = Self::Web(WINDOWS_1252);

    /// By its number, as `\ansicpg` and `\cpg` give it.
    pub(super) fn numbered(number: i32) -> Option<Self> {
        Some(Self::Web(match number {
            437 => return Some(Self::Dos(dos::CP437)),
            850 | 858 => return Some(Self::Dos(dos::CP850)),
            42 => return Some(Self::Symbols),
            866 => IBM866,
            874 => WINDOWS_874,
            932 => SHIFT_JIS,
            936 | 54936 => GBK,
            949 | 1361 => EUC_KR,
            950 => BIG5,
            1250 => WINDOWS_1250,
            1251 => WINDOWS_1251,
            1252 => WINDOWS_1252,
            1253 => WINDOWS_1253,
            1254 => WINDOWS_1254,
            1255 => WINDOWS_1255,
            1256 => WINDOWS_1256,
            1257 => WINDOWS_1257,
            1258 => WINDOWS_1258,
            10000 => MACINTOSH,
            10007 => X_MAC_CYRILLIC,
            65001 => UTF_8,
            _ => return None,
        }))
    }

    /// By the number of a font's charset, as `\fcharset` gives it; `None` is the file's own.
    pub(super) fn of_charset(charset: i32) -> Option<Self> {
        Some(Self::Web(match charset {
            0 => WINDOWS_1252,
            2 => return Some(Self::Symbols),
            77 => MACINTOSH,
            78 | 128 => SHIFT_JIS,
            79 | 129 | 130 => EUC_KR,
            80 | 134 => GBK,
            81 | 136 => BIG5,
            161 => WINDOWS_1253,
            162 => WINDOWS_1254,
            163 => WINDOWS_1258,
            177 | 181 => WINDOWS_1255,
            178..=180 => WINDOWS_1256,
            186 => WINDOWS_1257,
            204 => WINDOWS_1251,
            222 => WINDOWS_874,
            238 => WINDOWS_1250,
            254 => return Some(Self::Dos(dos::CP437)),
            255 => return Some(Self::Dos(dos::CP850)),
            _ => return None,
        }))
    }

    /// The text of bytes.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Web(encoding) => encoding.decode_without_bom_handling(bytes).0,
            Self::Dos(page) => Cow::Owned(page.decode(bytes)),
            Self::Symbols => Cow::Owned(bytes.iter().map(|byte| symbol(*byte)).collect()),
        }
    }
}

/// The character of a font of ornaments; spaces are spaces in all of them.
fn symbol(byte: u8) -> char {
    match byte {
        b'\t' | b' ' => char::from(byte),
        _ => char::from_u32(0xf000 + u32::from(byte)).unwrap_or(' '),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_charset_has_its_letters() {
        let read = |charset: i32, bytes: &'static [u8]| {
            CodePage::of_charset(charset).map(|page| page.decode(bytes).into_owned())
        };
        assert_eq!(read(0, b"\xe9").as_deref(), Some("é"));
        assert_eq!(read(204, b"\xe9").as_deref(), Some("й"));
        assert_eq!(read(128, b"\x93\xfa\x83A").as_deref(), Some("日ア"));
        assert_eq!(read(134, b"\xd6\xd0").as_deref(), Some("中"));
        assert_eq!(read(254, b"a\x81\xe1").as_deref(), Some("aüß"));
        assert_eq!(read(255, b"\xd0").as_deref(), Some("ð"));
        assert_eq!(read(2, b"\xb7 ").as_deref(), Some("\u{f0b7} "));
        assert_eq!(read(1, b"a"), None);
    }
}
