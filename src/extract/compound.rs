//! Compound files, in which Office 97 to 2003 keeps its streams: a small file system.

use super::error::ExtractError;

/// Ids of sectors from here on have meanings of their own: free, end of a chain.
const FIRST_SPECIAL: u32 = 0xffff_fffa;

/// Streams below this size lie in sectors of this size.
const MINI_SECTOR_BYTES: usize = 64;

/// An open compound file.
pub(super) struct Compound<'a> {
    bytes: &'a [u8],
    sector_bytes: usize,
    mini_limit: u32,
    /// For each sector the next of its chain.
    next: Vec<u32>,
    mini_next: Vec<u32>,
    /// The stream of small sectors.
    mini: Vec<u8>,
    /// Entries of the directory.
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    /// Of the tree of entries: the ones before and after it, and the first within it.
    before: u32,
    after: u32,
    inner: u32,
    start: u32,
    bytes: u32,
}

impl<'a> Compound<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        Self::read(bytes).ok_or_else(|| ExtractError::corrupt("its directory cannot be read"))
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let sector_shift = u16_at(bytes, 30)?;
        if !(7..=16).contains(&sector_shift) {
            return None;
        }
        let mut file = Self {
            bytes,
            sector_bytes: 1 << sector_shift,
            mini_limit: u32_at(bytes, 56)?,
            next: Vec::new(),
            mini_next: Vec::new(),
            mini: Vec::new(),
            entries: Vec::new(),
        };
        file.next = file.table()?;
        let directory = file.chain(u32_at(bytes, 48)?, usize::MAX);
        file.entries = directory.chunks_exact(128).filter_map(entry).collect();
        let root = file.entries.first()?;
        let (start, size) = (root.start, root.bytes as usize);
        file.mini = file.chain(start, size);
        let mini_next = file.chain(u32_at(bytes, 60)?, usize::MAX);
        file.mini_next = numbers(&mini_next).collect();
        Some(file)
    }

    /// The table of chains, whose own sectors are listed in the header and in a chain of further lists.
    fn table(&self) -> Option<Vec<u32>> {
        let most = self.bytes.len() / self.sector_bytes + 1;
        let mut places: Vec<u32> = numbers(self.bytes.get(76..512)?).collect();
        let mut list = u32_at(self.bytes, 68)?;
        for _ in 0..most {
            let Some(sector) = self.sector(list).filter(|_| list < FIRST_SPECIAL) else {
                break;
            };
            places.extend(numbers(sector));
            list = places.pop()?;
        }
        let sectors = places.into_iter().filter(|place| *place < FIRST_SPECIAL);
        let sectors = sectors.take(most).filter_map(|place| self.sector(place));
        Some(sectors.flat_map(numbers).collect())
    }

    /// A sector, which may be cut off at the end of the file.
    fn sector(&self, place: u32) -> Option<&'a [u8]> {
        let start = (place as usize + 1).checked_mul(self.sector_bytes)?;
        let end = (start + self.sector_bytes).min(self.bytes.len());
        self.bytes.get(start..end)
    }

    /// Up to so many bytes of a chain of sectors; a chain that runs in a circle ends.
    fn chain(&self, start: u32, most: usize) -> Vec<u8> {
        let mut found = Vec::new();
        let mut place = start;
        while found.len() < most.min(self.bytes.len()) {
            let Some(sector) = self.sector(place).filter(|_| place < FIRST_SPECIAL) else {
                break;
            };
            found.extend_from_slice(sector);
            let Some(next) = self.next.get(place as usize) else {
                break;
            };
            place = *next;
        }
        found.truncate(most);
        found
    }

    /// The same in small sectors.
    fn mini_chain(&self, start: u32, most: usize) -> Vec<u8> {
        let mut found = Vec::new();
        let mut place = start as usize;
        while found.len() < most.min(self.mini.len()) {
            let from = place.saturating_mul(MINI_SECTOR_BYTES);
            let Some(rest) = self.mini.get(from..) else {
                break;
            };
            found.extend_from_slice(&rest[..rest.len().min(MINI_SECTOR_BYTES)]);
            let Some(next) = self.mini_next.get(place) else {
                break;
            };
            place = *next as usize;
        }
        found.truncate(most);
        found
    }

    /// Whether the file itself has a stream of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A stream of the file itself.
    pub(super) fn stream(&self, name: &str) -> Option<Vec<u8>> {
        let entry = self.find(name)?;
        let size = entry.bytes as usize;
        Some(if entry.bytes < self.mini_limit {
            self.mini_chain(entry.start, size)
        } else {
            self.chain(entry.start, size)
        })
    }

    /// An entry of the file itself, not of one embedded in it, by its name in any case.
    fn find(&self, name: &str) -> Option<&Entry> {
        let mut left = vec![self.entries.first()?.inner];
        // Each entry is met once in a sound tree.
        for _ in 0..=2 * self.entries.len() {
            let Some(entry) = self.entries.get(left.pop()? as usize) else {
                continue;
            };
            if entry.name.eq_ignore_ascii_case(name) {
                return Some(entry);
            }
            left.extend([entry.before, entry.after]);
        }
        None
    }
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let name = bytes.get(..64)?.chunks_exact(2);
    let name: Vec<u16> = name
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    Some(Entry {
        name: String::from_utf16_lossy(&name),
        before: u32_at(bytes, 68)?,
        after: u32_at(bytes, 72)?,
        inner: u32_at(bytes, 76)?,
        start: u32_at(bytes, 116)?,
        bytes: u32_at(bytes, 120)?,
    })
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes
        .chunks_exact(4)
        .map(|number| u32::from_le_bytes([number[0], number[1], number[2], number[3]]))
}

/// The number at this place.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number at this place.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number at this place.
pub(super) fn f64_at(bytes: &[u8], at: usize) -> Option<f64> {
    Some(f64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four sectors: the chains, the directory, and a stream of two.
    fn file(chains: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 512 * 5];
        let mut put = |at: usize, number: u32| {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        put(30, 9);
        put(48, 1);
        put(60, u32::MAX);
        put(68, u32::MAX - 1);
        for place in 0..109 {
            put(76 + 4 * place, if place == 0 { 0 } else { u32::MAX });
        }
        for (place, next) in chains.iter().enumerate() {
            put(512 + 4 * place, *next);
        }
        let (root, entry) = (1024, 1024 + 128);
        put(root + 76, 1);
        for at in [entry + 68, entry + 72, entry + 76] {
            put(at, u32::MAX);
        }
        put(entry + 116, 2);
        put(entry + 120, 600);
        bytes[entry] = b'B';
        bytes[1536..1536 + 600].fill(7);
        bytes
    }

    const END: u32 = u32::MAX - 1;

    #[test]
    fn a_stream_is_read_along_its_chain() {
        let bytes = file(&[END, END, 3, END]);
        let compound = Compound::open(&bytes).expect("sound");
        assert_eq!(compound.stream("b"), Some(vec![7; 600]));
        assert_eq!(compound.stream("c"), None);
    }

    #[test]
    fn chains_in_a_circle_and_beyond_the_file_end() {
        for chains in [[END, END, 2, END], [END, 1, 99, END], [0, 1, 3, 3]] {
            let bytes = file(&chains);
            let compound = Compound::open(&bytes).expect("a directory");
            assert!(
                compound
                    .stream("b")
                    .is_some_and(|stream| stream.len() <= 600)
            );
        }
        let bytes = file(&[END, END, 3, END]);
        for end in [0, 31, 75, 511, 600, 1100, 1300, 1600] {
            let open = Compound::open(&bytes[..end]);
            assert!(open.is_err() || end > 511, "{end}");
        }
    }
}
