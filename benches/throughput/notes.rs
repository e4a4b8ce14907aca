//! Small files.

use crate::uploads::Upload;

/// A kilobyte of text that no other note has.
pub(crate) fn note(number: usize) -> Upload {
    const WORDS: [&str; 8] = [
        "harbour", "gauge", "tide", "keeper", "lamp", "storm", "reading", "wind",
    ];
    let mut text = format!("Note {number}.");
    let mut seed = number;
    while text.len() < 1000 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[(seed >> 33) % WORDS.len()]);
    }
    Upload {
        name: format!("note-{number}.txt"),
        bytes: text.into_bytes(),
    }
}
