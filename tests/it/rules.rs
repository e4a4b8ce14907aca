//! The labelled cases of `fixtures/rules/`: each rule of extraction has a small file and, beside it, what comes out of it.
//!
//! `ORION_BLESS=1 cargo test --test it rules` writes what comes out as what is expected; the diff of the commit is then the
//! thing to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
};

use orion_ingest::{
    chunk,
    extract::{self, Hints, Settings},
    file_type::{FileType, FileTypes},
};

/// How many lines of both sides a difference shows.
const SHOWN: usize = 6;

/// What comes out of a file, as the file beside it that says so: its ending and its content.
type Outcome = (&'static str, String);

#[test]
fn every_rule_gives_what_its_case_expects() {
    let bless = blesses();
    let cases = cases();
    assert!(!cases.inputs.is_empty(), "fixtures/rules has no cases");
    let mut report = String::new();
    for input in &cases.inputs {
        // What the PDF engines keep after a panic, they keep for a thread; outside of tests a process reads one file.
        let (ending, found) = thread::scope(|scope| scope.spawn(|| outcome(input)).join()).unwrap();
        if bless {
            write_expectation(input, ending, &found);
        } else if let Some(problem) = compare(&cases, input, ending, &found) {
            writeln!(report, "\nfixtures/rules/{input}: {problem}").unwrap();
        }
    }
    assert!(
        report.is_empty(),
        "{report}\nIf what comes out is right: ORION_BLESS=1 cargo test --test it rules"
    );
}

#[test]
fn every_case_has_an_input_and_one_expectation() {
    if blesses() {
        return; // The other test is writing them.
    }
    let cases = cases();
    let mut report = String::new();
    for input in &cases.inputs {
        match cases.expected.get(input).map(BTreeSet::len) {
            Some(1) => {}
            Some(_) => writeln!(report, "{input} is expected to give a text and an error").unwrap(),
            None => writeln!(report, "{input} has neither {input}.md nor {input}.error").unwrap(),
        }
    }
    for input in cases.expected.keys() {
        if !cases.inputs.contains(input) {
            writeln!(report, "{input} is gone, but what it should give is there").unwrap();
        }
    }
    for input in cases.optioned.difference(&cases.inputs) {
        writeln!(report, "{input}.options is there, but no {input}").unwrap();
    }
    for name in &cases.strange {
        writeln!(
            report,
            "{name} is no case: README.md says how they are named"
        )
        .unwrap();
    }
    assert!(report.is_empty(), "in fixtures/rules:\n{report}");
}

/// Whether what comes out shall become what is expected.
#[expect(
    clippy::disallowed_methods,
    reason = "a wish of the person at the keyboard, not a setting of the program"
)]
fn blesses() -> bool {
    std::env::var_os("ORION_BLESS").is_some()
}

/// The names in `fixtures/rules/`.
#[derive(Default)]
struct Cases {
    /// `RULE.EXT`.
    inputs: BTreeSet<String>,
    /// `md` and `error` by the input that they are about.
    expected: BTreeMap<String, BTreeSet<String>>,
    /// Inputs whose type has options of its own.
    optioned: BTreeSet<String>,
    /// Whatever else lies there.
    strange: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rules")
}

fn cases() -> Cases {
    let mut cases = Cases::default();
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() || name == "README.md" {
            continue;
        }
        match name.split('.').collect::<Vec<_>>()[..] {
            [_, _] => {
                cases.inputs.insert(name);
            }
            [rule, extension, ending @ ("md" | "error")] => {
                let of_input = cases.expected.entry(format!("{rule}.{extension}"));
                of_input.or_default().insert(ending.to_owned());
            }
            [rule, extension, "options"] => {
                cases.optioned.insert(format!("{rule}.{extension}"));
            }
            _ => cases.strange.push(name),
        }
    }
    cases
}

/// What `extract` prints of a file, or the code with which it refuses.
fn outcome(input: &str) -> Outcome {
    let types = types(input);
    let hints = Hints {
        name: input.to_owned(),
        mime_type: String::new(),
    };
    let bytes = fs::read(folder().join(input)).unwrap();
    match extract::extract(&bytes, &hints, &Settings::new(&types)) {
        Ok(document) => {
            let row = types.by_mime(&document.mime_type).unwrap();
            let text = chunk::text(
                &document,
                &chunk::Settings::of(row, chunk::Tokenizer::Cl100kBase),
            );
            ("md", format!("{text}\n"))
        }
        Err(error) => ("error", format!("{}\n", error.code().as_str())),
    }
}

/// The types of `seed.sql`, with the options that the case asks for.
fn types(input: &str) -> FileTypes {
    let seeded = FileTypes::seeded();
    let Ok(options) = fs::read(folder().join(format!("{input}.options"))) else {
        return seeded;
    };
    let options: serde_json::Value = serde_json::from_slice(&options).unwrap();
    let rows = seeded.iter().map(|row| FileType {
        options: options.clone(),
        ..row.clone()
    });
    FileTypes::new(rows.collect())
}

fn compare(cases: &Cases, input: &str, ending: &str, found: &str) -> Option<String> {
    // What is wrong with the files themselves, the other test says.
    let expected_ending = cases.expected.get(input)?.first()?;
    let expected = fs::read_to_string(folder().join(format!("{input}.{expected_ending}"))).unwrap();
    if expected_ending != ending {
        return Some(format!(
            "expected the {} but got the {}:\n{}",
            noun(expected_ending),
            noun(ending),
            excerpt(found, 0, "+")
        ));
    }
    let place = first_difference(&expected, found)?;
    Some(format!(
        "line {} differs (- expected, + found):\n{}{}",
        place + 1,
        excerpt(&expected, place, "-"),
        excerpt(found, place, "+")
    ))
}

fn noun(ending: &str) -> &'static str {
    if ending == "md" { "text" } else { "error" }
}

/// The first line, from 0, in which two texts differ.
fn first_difference(a: &str, b: &str) -> Option<usize> {
    if a == b {
        return None;
    }
    let alike = a.split('\n').zip(b.split('\n'));
    Some(alike.take_while(|(a, b)| a == b).count())
}

/// Some lines from a place on, as they are told apart on any terminal.
fn excerpt(text: &str, from: usize, mark: &str) -> String {
    let mut excerpt = String::new();
    for line in text.split('\n').skip(from).take(SHOWN) {
        writeln!(excerpt, "  {mark} {line:?}").unwrap();
    }
    excerpt
}

fn write_expectation(input: &str, ending: &str, content: &str) {
    let other = if ending == "md" { "error" } else { "md" };
    // It is there only if the outcome was another before.
    fs::remove_file(folder().join(format!("{input}.{other}"))).ok();
    fs::write(folder().join(format!("{input}.{ending}")), content).unwrap();
}
