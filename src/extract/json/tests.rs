use super::*;

fn paragraphs(json: &str) -> Vec<String> {
    assert!(is_valid(json), "{json}");
    let mut blocks = Blocks::new(1 << 20);
    extract(json, &mut blocks).expect("within the limit");
    blocks.take().into_iter().map(|block| block.text).collect()
}

#[test]
fn every_value_has_its_path_and_arrays_of_scalars_one_line() {
    assert_eq!(
        paragraphs(
            r#"{"user": {"name": "Ada\nL.", "tags": ["a", "b", 1.10]}, "n": 12345678901234567890123, "ok": true}"#
        ),
        [
            "user.name: Ada\nL.\nuser.tags: a, b, 1.10",
            "n: 12345678901234567890123\nok: true"
        ]
    );
}

#[test]
fn items_of_an_outermost_array_are_paragraphs() {
    assert_eq!(
        paragraphs(r#"{"rows": [{"a": 1, "b": [{"c": 2}, {"c": 3}]}, {"a": 4}]}"#),
        [
            "rows[0].a: 1\nrows[0].b[0].c: 2\nrows[0].b[1].c: 3",
            "rows[1].a: 4"
        ]
    );
}

#[test]
fn lines_of_json_are_paragraphs() {
    assert_eq!(paragraphs("{\"a\": 1}\n\n{\"a\": 2}\n"), ["a: 1", "a: 2"]);
}

#[test]
fn empty_values_and_repeated_keys_are_kept() {
    assert_eq!(
        paragraphs(r#"{"a": [], "a": {}, "": "x"}"#),
        ["a: []", "a: {}", "x"]
    );
    assert_eq!(paragraphs("[[1, 2], [3]]"), ["[0]: 1, 2", "[1]: 3"]);
    assert_eq!(paragraphs("\"alone\""), ["alone"]);
}

#[test]
fn half_a_surrogate_pair_stays_as_written() {
    assert_eq!(
        paragraphs(r#"{"a": "x\ud800y", "b": "\ud83d\ude00"}"#),
        ["a: x\\ud800y\nb: 😀"]
    );
}

#[test]
fn broken_json_is_not_valid() {
    assert!(!is_valid("{\"a\": "));
    assert!(!is_valid(""));
    assert!(!is_valid(&"[".repeat(100_000)));
}

#[test]
fn nesting_may_be_of_any_depth() {
    let deep = format!("{}7{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(paragraphs(&deep)[0].ends_with("[0]: 7"));
}

#[test]
fn long_keys_over_many_values_run_into_the_limit() {
    let values = vec!["{\"k\": 1}"; 1000].join(",");
    let json = format!("{{\"{}\": [{values}]}}", "long".repeat(10_000));
    assert!(matches!(
        extract(&json, &mut Blocks::new(1 << 20)),
        Err(ExtractError::TooLarge { .. })
    ));
}
