//! Vectors that lie to one another as those of real texts do, without a model: mixtures of Gaussians.
//!
//! A chunk's vector is the sum of what all texts have in common, of its topic, of its file and of its own, scaled to
//! length 1. Cosines are then near 0.15 between strangers, 0.35 within a topic and 0.55 within a file. The spectrum
//! falls, as that of embeddings does: of the 1,536 dimensions about 150 count.

/// Of `text-embedding-3-small`.
pub(crate) const DIMENSIONS: usize = 1536;
const TOPICS: usize = 300;
/// Shares of a vector's square: what all texts have in common, topic, file, the chunk's own.
const SHARES: [f32; 4] = [0.15, 0.20, 0.20, 0.45];
/// Cosine of a question and the passage that answers it.
const ASKED: f32 = 0.65;
/// From where the spectrum falls.
const KNEE: f32 = 5.0;

/// The space of all texts.
pub(crate) struct Space {
    chance: Chance,
    spectrum: Vec<f32>,
    common: Vec<f32>,
    topics: Vec<Vec<f32>>,
}

impl Space {
    pub(crate) fn new() -> Self {
        let spectrum: Vec<f32> = (0_u16..)
            .take(DIMENSIONS)
            .map(|place| (KNEE + f32::from(place)).recip())
            .collect();
        let sum: f32 = spectrum.iter().sum();
        let spectrum = spectrum.iter().map(|part| (part / sum).sqrt()).collect();
        let mut space = Self {
            chance: Chance(7),
            spectrum,
            common: Vec::new(),
            topics: Vec::new(),
        };
        space.common = space.direction();
        space.topics = (0..TOPICS).map(|_| space.direction()).collect();
        space
    }

    /// The vectors of a new file with so many chunks.
    pub(crate) fn file(&mut self, chunks: usize) -> Vec<Vec<f32>> {
        let topic = self.chance.below(TOPICS);
        let file = self.direction();
        let [common, of_topic, of_file, own] = SHARES.map(f32::sqrt);
        (0..chunks)
            .map(|_| {
                let mut vector = self.direction();
                for (place, number) in vector.iter_mut().enumerate() {
                    *number = own * *number
                        + of_file * file[place]
                        + of_topic * self.topics[topic][place]
                        + common * self.common[place];
                }
                normalised(vector)
            })
            .collect()
    }

    /// A question that a chunk answers.
    pub(crate) fn question(&mut self, chunk: &[f32]) -> Vec<f32> {
        let other = normalised(self.direction());
        let noise = (1.0 - ASKED * ASKED).sqrt();
        let question = chunk.iter().zip(other);
        normalised(
            question
                .map(|(chunk, other)| ASKED * chunk + noise * other)
                .collect(),
        )
    }

    pub(crate) fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// A Gaussian of the spectrum, of length 1 or nearly so.
    fn direction(&mut self) -> Vec<f32> {
        let chance = &mut self.chance;
        self.spectrum
            .iter()
            .map(|part| part * chance.normal())
            .collect()
    }
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    for number in &mut vector {
        *number /= length;
    }
    vector
}

/// The same numbers in every run (splitmix64).
pub(crate) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound`, without that one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let next = usize::try_from(self.next() >> 33).unwrap_or_default();
        next % bound
    }

    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }

    /// A normally distributed number: the sum of eight evenly distributed ones, which is near enough.
    fn normal(&mut self) -> f32 {
        let bytes = self.next().to_le_bytes();
        let sum: f32 = bytes.into_iter().map(|byte| f32::from(byte) - 127.5).sum();
        // The variance of a byte is (256² - 1) ÷ 12.
        sum / (8.0_f32 * 65_535.0 / 12.0).sqrt()
    }
}
