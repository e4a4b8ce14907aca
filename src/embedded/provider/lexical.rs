//! Vectors of words: deterministic, of the right length, good enough that a search finds the passage it quotes.
//!
//! Feature hashing (Weinberger et al., 2009) of words, word stems and pairs of words, damped so that frequent words
//! count little, then scaled to length 1. Two texts are near when they share words, and only then.

use std::collections::HashMap;

use unicode_segmentation::UnicodeSegmentation;

/// What a pair of words or a stem counts beside a word.
const PAIR: f32 = 0.7;
const STEM: f32 = 0.6;

/// What a word counts that most texts contain.
const COMMON: f32 = 0.1;

/// Letters that most inflected forms of a word share.
const STEM_LETTERS: usize = 5;

/// The most frequent words of English.
const COMMON_WORDS: &str = " a about after all also an and any are as at be been but by can could did do does for \
    from had has have he her his how i if in into is it its may more most no not of on one or other our out over she \
    should so some such than that the their them then there these they this to two up was we were what when where \
    which who will with would you your ";

/// The vector of a text. Vectors of different models have nothing in common.
#[must_use]
pub fn vector(text: &str, model: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for (feature, (count, weight)) in features(text) {
        let hash = fnv1a(model.as_bytes(), feature.as_bytes());
        let place = usize::try_from(hash >> 1).unwrap_or_default() % dimensions;
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        // A word said ten times does not say ten times as much.
        vector[place] += sign * weight * (1.0 + count.ln());
    }
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    if length > 0.0 {
        for number in &mut vector {
            *number /= length;
        }
    } else {
        // A text without words still needs a direction.
        vector[0] = 1.0;
    }
    vector
}

/// Each feature with how often it occurs and what it counts.
fn features(text: &str) -> HashMap<String, (f32, f32)> {
    let lower = text.to_lowercase();
    let mut features = HashMap::<String, (f32, f32)>::new();
    let mut add = |feature: String, weight: f32| {
        features.entry(feature).or_insert((0.0, weight)).0 += 1.0;
    };
    let mut previous = "";
    for word in lower.unicode_words() {
        let weight = weight(word);
        add(format!("word {word}"), weight);
        if word.chars().count() > STEM_LETTERS {
            let stem: String = word.chars().take(STEM_LETTERS).collect();
            add(format!("stem {stem}"), weight * STEM);
        } else {
            // So that `chunk` meets `chunks`.
            add(format!("stem {word}"), weight * STEM);
        }
        if !previous.is_empty() {
            add(format!("pair {previous} {word}"), weight * PAIR);
        }
        previous = word;
    }
    features
}

fn weight(word: &str) -> f32 {
    let is_common = COMMON_WORDS.contains(&format!(" {word} "));
    if is_common { COMMON } else { 1.0 }
}

/// Fowler, Noll and Vo's hash with a final mix, since its lowest bits alone are weak.
fn fnv1a(model: &[u8], feature: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in model.iter().chain(b"/").chain(feature) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(one: &str, other: &str) -> f32 {
        let vector = |text| vector(text, "text-embedding-3-small", 1_536);
        vector(one)
            .iter()
            .zip(vector(other))
            .map(|(a, b)| a * b)
            .sum()
    }

    #[test]
    fn a_question_is_nearest_to_the_passage_with_its_words() {
        let passages = [
            "The warranty covers the battery for twenty-four months from the date of purchase.",
            "To reset the device, hold the power button for ten seconds until the light blinks.",
            "Our offices are open from Monday to Friday and closed on the days of public holidays.",
            "電池の保証期間は購入日から二十四か月です。",
        ];
        for (question, answer) in [
            ("how long is the battery warranty", 0),
            ("resetting devices with the power button", 1),
            ("when is the office open", 2),
            ("電池の保証", 3),
        ] {
            let best = (0..passages.len())
                .max_by(|a, b| {
                    similarity(question, passages[*a])
                        .total_cmp(&similarity(question, passages[*b]))
                })
                .expect("there are passages");
            assert_eq!(best, answer, "{question}");
        }
    }

    #[test]
    fn vectors_are_the_same_every_time_of_length_one_and_differ_between_models() {
        for text in ["", "…", "word", "a longer text, with several words in it"] {
            let small = vector(text, "text-embedding-3-small", 256);
            assert_eq!(small, vector(text, "text-embedding-3-small", 256));
            let length = small.iter().map(|number| number * number).sum::<f32>();
            assert!((length - 1.0).abs() < 1e-4, "{text}: {length}");
        }
        let large = vector("word", "text-embedding-3-large", 256);
        assert_ne!(large, vector("word", "text-embedding-3-small", 256));
    }
}
