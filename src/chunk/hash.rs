//! SHA-256 of many short texts, of which some begin alike: without the copies that hashing in parts makes, which take
//! half as long again as to hash the one block of a short text.

use sha2::block_api::compress256;

const BLOCK: usize = 64;

/// Where every hash begins.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The hash of the blocks that texts begin with.
pub(super) struct Begun {
    state: [u32; 8],
    bytes: usize,
}

impl Begun {
    /// That of texts which begin with this one.
    pub(super) fn with(text: &str) -> Self {
        let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
        let mut state = INITIAL;
        compress256(&mut state, blocks);
        Self {
            state,
            bytes: text.len() - rest.len(),
        }
    }

    /// The hash of a text that begins so.
    pub(super) fn hash(&self, text: &str) -> [u8; 32] {
        let (blocks, rest) = text.as_bytes()[self.bytes..].as_chunks::<BLOCK>();
        let mut state = self.state;
        compress256(&mut state, blocks);
        // Behind the text come a bit, zeros, and the text's length in the last eight bytes of a block.
        let mut last = [[0; BLOCK]; 2];
        let [first, second] = &mut last;
        first[..rest.len()].copy_from_slice(rest);
        first[rest.len()] = 0x80;
        let bits = (8 * text.len() as u64).to_be_bytes();
        let fits = rest.len() + 1 + bits.len() <= BLOCK;
        let end = if fits { first } else { second };
        end[BLOCK - bits.len()..].copy_from_slice(&bits);
        compress256(&mut state, if fits { &last[..1] } else { &last });
        let mut hash = [0; 32];
        for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_whole_texts() {
        let text = "the quick brown fox ".repeat(20);
        for begin in [0, 1, 63, 64, 65, 130, 200] {
            let begun = Begun::with(&text[..begin]);
            for end in begin..text.len() {
                let expected: [u8; 32] = Sha256::digest(&text[..end]).into();
                assert_eq!(begun.hash(&text[..end]), expected, "{begin} of {end}");
            }
        }
    }
}
