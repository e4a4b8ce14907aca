//! Bytes that are written as a mark and two digits, as addresses and mails have them: `%20`, `=20`.

/// Decodes them; a mark that makes no sense stands for itself.
pub(super) fn unescape(bytes: &[u8], mark: u8) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *byte == mark);
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_marks_stay() {
        assert_eq!(unescape(b"b%20c%zz%4%C3%A9", b'%'), "b c%zz%4é".as_bytes());
    }
}
