//! Encodes a few bytes: makes the earliest token that two neighbours make, until none make any.

use super::vocabulary::{NONE, Vocabulary};

/// Bytes of a window for the usual case: each step looks at all of it.
pub(super) const NARROW: usize = 40;

/// Bytes of a window where tokens are long, or depend on what comes far behind them; the longest have 128.
pub(super) const WIDE: usize = 512;

/// A window in which a step makes one token.
pub(super) struct Narrow {
    /// A bit for each byte that begins a token, and one for the end.
    begins: u64,
    /// By the byte at which each begins.
    tokens: [u32; NARROW],
    /// What each token makes with the next, above the byte at which it begins: the least is the one to make.
    made: [u32; NARROW],
}

const PLACE_BITS: u32 = 6;

impl Narrow {
    /// Encodes at most [`NARROW`] bytes.
    pub(super) fn encode(vocabulary: &Vocabulary, bytes: &[u8]) -> Self {
        let mut window = Self {
            begins: (1 << bytes.len() << 1) - 1,
            tokens: [NONE; NARROW],
            made: [NONE; NARROW],
        };
        for (token, byte) in window.tokens.iter_mut().zip(bytes) {
            *token = vocabulary.of_byte(*byte);
        }
        for (place, two) in (0..).zip(bytes.windows(2)) {
            window.makes(place, vocabulary.of_bytes(two[0], two[1]));
        }
        loop {
            let earliest = window.earliest(bytes.len());
            if earliest == NONE {
                return window;
            }
            let place = earliest & ((1 << PLACE_BITS) - 1);
            window.make(vocabulary, earliest >> PLACE_BITS, place);
        }
    }

    /// The number of tokens.
    pub(super) fn length(&self) -> usize {
        self.begins.count_ones() as usize - 1
    }

    /// Where they end.
    pub(super) fn ends(&self) -> impl Iterator<Item = usize> {
        let mut left = self.begins >> 1 << 1;
        std::iter::from_fn(move || {
            let end = (left != 0).then_some(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(end)
        })
    }

    /// The two tokens, if there are two.
    pub(super) fn halves(&self) -> Option<(u32, u32)> {
        (self.length() == 2).then(|| (self.tokens[0], self.tokens[self.next(0) as usize]))
    }

    #[inline]
    fn earliest(&self, length: usize) -> u32 {
        let mut least = [NONE; 4];
        let (fours, _) = self.made.as_chunks::<4>();
        for four in &fours[..length.div_ceil(4)] {
            for place in 0..4 {
                least[place] = least[place].min(four[place]);
            }
        }
        least[0].min(least[1]).min(least[2].min(least[3]))
    }

    #[inline]
    fn makes(&mut self, place: u32, token: u32) {
        self.made[place as usize] = if token == NONE {
            NONE
        } else {
            (token << PLACE_BITS) | place
        };
    }

    fn make(&mut self, vocabulary: &Vocabulary, token: u32, place: u32) {
        let right = self.next(place);
        self.begins &= !(1 << right);
        self.made[right as usize] = NONE;
        self.tokens[place as usize] = token;
        let next = self.next(place);
        let has_next = self.begins >> next > 1;
        let with_next = if has_next {
            vocabulary.of_tokens(token, self.tokens[next as usize])
        } else {
            NONE
        };
        self.makes(place, with_next);
        if let Some(before) = (self.begins & ((1 << place) - 1)).checked_ilog2() {
            self.makes(
                before,
                vocabulary.of_tokens(self.tokens[before as usize], token),
            );
        }
    }

    /// Where the token after this one begins.
    #[inline]
    fn next(&self, place: u32) -> u32 {
        place + 1 + (self.begins >> place >> 1).trailing_zeros()
    }
}

/// A window in which a step makes a token everywhere: long tokens are those of runs, which take few steps.
pub(super) struct Wide {
    length: usize,
    tokens: [u32; WIDE],
    ends: [usize; WIDE],
    /// What each token makes with the next.
    made: [u32; WIDE],
}

impl Wide {
    /// Encodes at most [`WIDE`] bytes.
    pub(super) fn encode(vocabulary: &Vocabulary, bytes: &[u8]) -> Self {
        let mut window = Self {
            length: bytes.len(),
            tokens: [NONE; WIDE],
            ends: [0; WIDE],
            made: [NONE; WIDE],
        };
        for (place, byte) in bytes.iter().enumerate() {
            window.tokens[place] = vocabulary.of_byte(*byte);
            window.ends[place] = place + 1;
        }
        for (place, two) in bytes.windows(2).enumerate() {
            window.made[place] = vocabulary.of_bytes(two[0], two[1]);
        }
        loop {
            let made = &window.made[..window.length];
            let earliest = made.iter().fold(NONE, |least, made| least.min(*made));
            if earliest == NONE {
                return window;
            }
            window.make(vocabulary, earliest);
        }
    }

    /// Where the tokens end.
    pub(super) fn ends(&self) -> impl Iterator<Item = usize> {
        self.ends[..self.length].iter().copied()
    }

    /// The two tokens, if there are two.
    pub(super) fn halves(&self) -> Option<(u32, u32)> {
        (self.length == 2).then(|| (self.tokens[0], self.tokens[1]))
    }

    /// Makes this token of all pairs that make it, the first ones first. What it makes with others comes later than
    /// itself, or those would have been made before it.
    fn make(&mut self, vocabulary: &Vocabulary, token: u32) {
        let (mut from, mut to) = (0, 0);
        let mut is_new = false;
        while from < self.length {
            let was_new = is_new;
            is_new = self.made[from] == token;
            self.tokens[to] = if is_new { token } else { self.tokens[from] };
            from += usize::from(is_new);
            self.ends[to] = self.ends[from];
            self.made[to] = self.made[from];
            if (is_new || was_new) && to > 0 {
                self.made[to - 1] = vocabulary.of_tokens(self.tokens[to - 1], self.tokens[to]);
            }
            from += 1;
            to += 1;
        }
        self.length = to;
    }
}
