//! Bytes as they are written for transfer: base64 and quoted-printable.

use std::borrow::Cow;

use super::super::escape::unescape;

/// The bytes of a part.
pub(super) fn decode<'a>(bytes: &'a [u8], encoding: &str) -> Cow<'a, [u8]> {
    match encoding {
        "base64" => Cow::Owned(base64(bytes)),
        "quoted-printable" => Cow::Owned(quoted_printable(bytes)),
        _ => Cow::Borrowed(bytes),
    }
}

/// How many bytes [`decode`] would give, nearly.
pub(super) fn decoded_len(bytes: &[u8], encoding: &str) -> usize {
    if encoding == "base64" {
        bytes.iter().filter(|byte| sextet(**byte).is_some()).count() / 4 * 3
    } else {
        bytes.len()
    }
}

/// Decodes base64; what is no letter of it is passed over, as mail readers do.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for sextet in bytes.iter().filter_map(|byte| sextet(*byte)) {
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., byte] = (bits >> count).to_be_bytes();
            decoded.push(byte);
        }
    }
    decoded
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Decodes quoted-printable; a mark that makes no sense stands for itself.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // White space at a line's end was added on the way.
        let text = line.trim_ascii_end();
        let (text, goes_on) = match text.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (text, false),
        };
        decoded.extend(unescape(text, b'='));
        if !goes_on && line.ends_with(b"\n") {
            decoded.push(b'\n');
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_however_it_is_wrapped() {
        assert_eq!(base64(b"aGVy\r\nb24="), b"heron");
        assert_eq!(base64(b"aGVyb24"), b"heron");
        assert_eq!(decoded_len(b"aGVy\r\nb24=", "base64"), 3);
    }

    #[test]
    fn quoted_printable_joins_soft_lines_and_keeps_stray_marks() {
        assert_eq!(
            quoted_printable(b"caf=C3=A9 =\r\nbar \t\r\n1 =3D 1=zz=\n"),
            "café bar\n1 = 1=zz".as_bytes()
        );
    }
}
