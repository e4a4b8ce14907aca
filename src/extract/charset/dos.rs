//! The code pages of DOS in Western Europe and America, which the charsets of the web leave out.

/// What the bytes of text mean under DOS: ASCII, and the 128 characters above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::extract) struct CodePage(&'static str);

/// Of the first PCs.
pub(in crate::extract) const CP437: CodePage = CodePage(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
     └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);
/// Of those of Western Europe.
pub(in crate::extract) const CP850: CodePage = CodePage(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
     └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}",
);

impl CodePage {
    /// By a name that mails and servers give it.
    pub(super) fn named(label: &str) -> Option<Self> {
        let label = label.trim().to_ascii_lowercase();
        match label.trim_start_matches("cp").trim_start_matches("ibm") {
            "437" => Some(CP437),
            "850" | "858" => Some(CP850),
            _ => None,
        }
    }

    /// The text of bytes.
    pub(in crate::extract) fn decode(self, bytes: &[u8]) -> String {
        let upper: Vec<char> = self.0.chars().collect();
        let read = |byte: &u8| match byte.checked_sub(128) {
            Some(at) => upper.get(usize::from(at)).copied().unwrap_or(' '),
            None => char::from(*byte),
        };
        bytes.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_whole() {
        for CodePage(table) in [CP437, CP850] {
            assert_eq!(table.chars().count(), 128);
        }
    }

    #[test]
    fn mails_name_them() {
        assert_eq!(CodePage::named("IBM850"), Some(CP850));
        assert_eq!(CodePage::named("cp437"), Some(CP437));
        assert_eq!(CodePage::named("windows-1252"), None);
    }
}
