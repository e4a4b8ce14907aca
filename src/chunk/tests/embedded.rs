//! What is embedded with a chunk.

use super::*;

#[test]
fn what_is_embedded_begins_with_the_title_and_the_path() {
    let long = "A sentence of some length that says nothing in particular. ".repeat(12);
    let document = document(&[
        (heading(1), "Station handbook"),
        (PARAGRAPH, &long),
        (heading(2), "Rain gauge"),
        (heading(3), "Care"),
        (PARAGRAPH, &long),
    ]);
    let chunked = checked(&document, &settings(200, 0));
    let prefixes: Vec<_> = chunked
        .chunks
        .iter()
        .map(|chunk| chunked.prefix(chunk))
        .collect();
    let path = "Station handbook > Rain gauge > Care\n\n";
    assert_eq!(prefixes, ["Station handbook\n\n", path]);
    assert!(texts(&chunked)[1].starts_with("## Rain gauge"));
    let without = Settings {
        prefix: false,
        ..settings(200, 0)
    };
    let chunked = checked(&document, &without);
    for chunk in &chunked.chunks {
        assert_eq!(&*chunked.embedded(chunk), chunked.content(chunk));
    }
}

#[test]
fn a_chunk_with_its_prefix_is_no_longer_than_models_take() {
    let text = "rain ".repeat(20_000);
    let document = document(&[(heading(1), "Station handbook"), (PARAGRAPH, &text)]);
    let chunked = checked(&document, &settings(8_192, 0));
    for chunk in &chunked.chunks {
        assert!(chunk.embedded.tokens <= 8_192, "{}", chunk.embedded.tokens);
    }
    assert!(chunked.chunks[0].tokens > 8_000);
}

#[test]
fn only_a_title_is_put_before_chapters() {
    let titled: Blocks<'_> = &[
        (heading(1), "Station handbook"),
        (heading(1), "Rain gauge"),
        (PARAGRAPH, "It is full."),
    ];
    let chunked = checked(&document(titled), &settings(200, 0));
    let prefix = chunked.prefix(&chunked.chunks[1]);
    assert_eq!(prefix, "Station handbook > Rain gauge\n\n");
    let untitled: Blocks<'_> = &[
        (heading(1), "Rain gauge"),
        (PARAGRAPH, "It is full."),
        (heading(1), "Wind vane"),
        (PARAGRAPH, "It turns."),
    ];
    let chunked = checked(&document(untitled), &settings(200, 0));
    assert_eq!(chunked.prefix(&chunked.chunks[1]), "Wind vane\n\n");
}

#[test]
fn a_type_says_whether_its_chunks_have_a_prefix() {
    let mut file_type = crate::file_type::FileTypes::seeded()
        .by_mime("text/markdown")
        .expect("it is seeded")
        .clone();
    for (options, prefix) in [
        (serde_json::json!({}), PREFIX),
        (serde_json::json!({ "embedding_prefix": true }), true),
        (serde_json::json!({ "embedding_prefix": false }), false),
        (serde_json::json!({ "embedding_prefix": "no" }), PREFIX),
        (serde_json::Value::Null, PREFIX),
    ] {
        file_type.options = options;
        assert_eq!(
            Settings::of(&file_type, Tokenizer::default()).prefix,
            prefix
        );
    }
}
