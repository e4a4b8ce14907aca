//! Small files.

use crate::uploads::Upload;

/// A kilobyte of text that no other note has.
pub(crate) fn note(number: usize) -> Upload {
    let mut text = String::new();
    words(&mut text, number, 1000);
    Upload {
        name: format!("note-{number}.txt"),
        bytes: text.into_bytes(),
    }
}

/// Adds words, other ones for each number, until so many bytes have been added.
pub(crate) fn words(text: &mut String, number: usize, bytes: usize) {
    const WORDS: [&str; 8] = [
        "harbour", "gauge", "tide", "keeper", "lamp", "storm", "reading", "wind",
    ];
    let until = text.len() + bytes;
    text.push_str("Note ");
    text.push_str(&number.to_string());
    text.push('.');
    let mut seed = number;
    while text.len() < until {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[(seed >> 33) % WORDS.len()]);
    }
}
