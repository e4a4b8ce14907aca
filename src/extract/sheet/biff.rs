//! The records of old workbooks and the strings in them.

use encoding_rs::{Encoding, WINDOWS_1252};

use super::super::compound::{u16_at, u32_at};

/// A record and those that go on with it.
#[derive(Clone)]
pub(super) struct Record<'a> {
    pub(super) kind: u16,
    pub(super) data: &'a [u8],
    pub(super) more: Vec<&'a [u8]>,
}

/// Goes on with the record before it.
const CONTINUE: u16 = 0x3c;

/// The records of a stream from its start; a cut one is the end.
pub(super) struct Records<'a> {
    pub(super) left: &'a [u8],
}

impl<'a> Records<'a> {
    fn single(&mut self) -> Option<(u16, &'a [u8])> {
        let (kind, size) = (u16_at(self.left, 0)?, u16_at(self.left, 2)?);
        let data = self.left.get(4..4 + usize::from(size))?;
        self.left = &self.left[4 + data.len()..];
        Some((kind, data))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (kind, data) = self.single()?;
        let mut more = Vec::new();
        while u16_at(self.left, 0) == Some(CONTINUE) {
            let Some((_, data)) = self.single() else {
                break;
            };
            more.push(data);
        }
        Some(Record { kind, data, more })
    }
}

/// How a workbook writes its strings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writing {
    /// Excel 97 and later.
    Unicode,
    /// Excel 5 and 95: the alphabet of where it was written.
    CodePage(&'static Encoding),
}

impl Writing {
    /// A code page by its number.
    pub(super) fn code_page(number: u16) -> Self {
        let label = match number {
            866 => "ibm866".to_owned(),
            932 => "shift_jis".to_owned(),
            936 => "gbk".to_owned(),
            949 => "euc-kr".to_owned(),
            950 => "big5".to_owned(),
            10000 | 32768 => "macintosh".to_owned(),
            number => format!("windows-{number}"),
        };
        Self::CodePage(Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252))
    }

    /// A string after its length, which counts characters.
    pub(super) fn text(self, length: usize, data: &[u8]) -> Option<String> {
        match self {
            Self::Unicode => {
                let mut parts = Parts::new(data, &[]);
                let wide = parts.byte()? & 1 != 0;
                parts.characters(length, wide)
            }
            Self::CodePage(encoding) => {
                let bytes = &data[..length.min(data.len())];
                Some(encoding.decode_without_bom_handling(bytes).0.into_owned())
            }
        }
    }

    /// A string with a length of one byte.
    pub(super) fn short(self, data: &[u8]) -> Option<String> {
        self.text(usize::from(*data.first()?), data.get(1..)?)
    }

    /// A string with a length of two bytes.
    pub(super) fn long(self, data: &[u8]) -> Option<String> {
        self.text(usize::from(u16_at(data, 0)?), data.get(2..)?)
    }
}

/// The data of a record that goes on in others.
pub(super) struct Parts<'a> {
    part: &'a [u8],
    more: std::slice::Iter<'a, &'a [u8]>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(data: &'a [u8], more: &'a [&'a [u8]]) -> Self {
        Self {
            part: data,
            more: more.iter(),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        while self.part.is_empty() {
            self.part = self.more.next()?;
        }
        let (first, rest) = self.part.split_first()?;
        self.part = rest;
        Some(*first)
    }

    fn number(&mut self, bytes: u32) -> Option<usize> {
        (0..bytes).try_fold(0, |number, place| {
            Some(number | usize::from(self.byte()?) << (8 * place))
        })
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        let mut left = bytes;
        while left > self.part.len() {
            left -= self.part.len();
            self.part = self.more.next()?;
        }
        self.part = &self.part[left..];
        Some(())
    }

    /// So many characters; each part that they go on in says anew how wide they are. What is cut off is not missed.
    pub(super) fn characters(&mut self, count: usize, wide: bool) -> Option<String> {
        let (mut units, mut wide) = (Vec::new(), wide);
        while units.len() < count {
            let left = count - units.len();
            if wide {
                let pairs = self.part.chunks_exact(2).take(left);
                units.extend(pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
            } else {
                units.extend(self.part.iter().take(left).map(|byte| u16::from(*byte)));
            }
            let taken = (left - (count - units.len())) * (1 + usize::from(wide));
            self.part = &self.part[taken..];
            if units.len() < count {
                let Some(next) = self.more.next() else { break };
                self.part = next;
                wide = self.byte()? & 1 != 0;
            }
        }
        Some(String::from_utf16_lossy(&units))
    }

    /// A string of the table of shared ones, with its fonts and how it is read skipped.
    pub(super) fn shared(&mut self) -> Option<String> {
        let count = self.number(2)?;
        let flags = self.byte()?;
        let fonts = if flags & 8 != 0 { self.number(2)? } else { 0 };
        let read = if flags & 4 != 0 { self.number(4)? } else { 0 };
        let text = self.characters(count, flags & 1 != 0)?;
        // A table that is cut off here has still given its last text.
        let _ = self.skip((4 * fonts).saturating_add(read));
        Some(text)
    }
}

/// A number in the four bytes that Excel has for short ones.
pub(super) fn short_number(data: &[u8], at: usize) -> Option<f64> {
    let bits = u32_at(data, at)?;
    let number = if bits & 2 != 0 {
        f64::from(bits.cast_signed() >> 2)
    } else {
        f64::from_bits(u64::from(bits & !3) << 32)
    };
    Some(if bits & 1 != 0 {
        number / 100.0
    } else {
        number
    })
}

/// What a cell shows for an error.
pub(super) const fn error(code: u8) -> &'static str {
    match code {
        0x00 => "#NULL!",
        0x07 => "#DIV/0!",
        0x0f => "#VALUE!",
        0x17 => "#REF!",
        0x1d => "#NAME?",
        0x24 => "#NUM!",
        0x2a => "#N/A",
        _ => "#ERROR!",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_goes_on_in_the_next_record_in_another_width() {
        let more: [&[u8]; 1] = [&[1, 0x42, 0x04, 0x35, 0x04, 9]];
        let mut parts = Parts::new(&[4, 0, 0, b'a', b'b'], &more);
        assert_eq!(parts.shared().as_deref(), Some("abте"));
        assert_eq!(parts.byte(), Some(9));
    }

    #[test]
    fn short_numbers_are_whole_or_cut() {
        assert_eq!(short_number(&[0x0e, 0, 0, 0], 0), Some(3.0));
        assert_eq!(short_number(&[0x0f, 0, 0, 0], 0), Some(0.03));
        assert_eq!(short_number(&[0xfe, 0xff, 0xff, 0xff], 0), Some(-1.0));
        assert_eq!(short_number(&[0, 0, 0xf8, 0x3f], 0), Some(1.5));
        assert_eq!(short_number(&[0, 0], 0), None);
    }

    #[test]
    fn records_that_are_cut_end() {
        let mut records = Records {
            left: &[1, 0, 1, 0, 7, 0x3c, 0, 1, 0, 8, 2, 0, 9, 0, 1],
        };
        let record = records.next().expect("a whole one");
        assert_eq!(
            (record.kind, record.data, &record.more[..]),
            (1, &[7][..], &[&[8][..]][..])
        );
        assert!(records.next().is_none());
    }
}
