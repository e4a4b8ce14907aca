//! Which way the arrows point: each outside system has one home, and the leaves do not know each other.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words that may stand only under these paths of `src/`.
const HOMES: &[(&str, &[&str])] = &[
    // `document.rs` derives how ids are stored.
    ("sqlx::", &["db/", "document.rs", "embedded/"]),
    ("aws_sdk_s3", &["objects.rs", "objects/", "embedded/"]),
    ("async_openai", &["embed/"]),
    ("axum", &["ops/http.rs", "embedded/"]),
    ("std::env::", &["config/"]),
    // Servers that live as long as the handle which their owner holds.
    ("tokio::spawn", &["embedded/"]),
    ("JoinSet", &["worker.rs", "worker/", "embedded/"]),
    ("thread::spawn", &["spawner.rs"]),
    // The child's one thread has a large stack, for deeply nested documents.
    ("thread::Builder", &["spawner.rs", "extract/child.rs"]),
    // Whatever parses what users upload runs in a child: zip directories and charsets are parsed, too.
    ("zip::", &["extract/", "embedded/"]),
    ("csv::", &["extract/"]),
    ("chardetng", &["extract/"]),
    ("encoding_rs", &["extract/"]),
    ("html5ever", &["extract/"]),
    ("pdf_oxide", &["extract/"]),
    ("pulldown_cmark", &["extract/"]),
    ("quick_xml", &["extract/"]),
    ("unpdf", &["extract/"]),
    // … and the modules that do are closed but for this function, which only the child calls.
    (" extract(body, ", &["extract/child.rs"]),
    ("extract::extract(", &[]),
    // Seccomp and rlimits of the child.
    ("libc::", &["extract/child/"]),
];

/// Where statements are the owner's, on a direct connection: no pooler, and no transaction for what cannot be in one.
const OWNERS: &[&str] = &[
    "db/migrate",
    "db/reembed/",
    "db/reindex.rs",
    "db/unnamed.rs",
];

/// Words that look like one of the above and are no business of its home.
const HARMLESS: &[&str] = &[
    "std::env::args_os",
    "std::env::args_os",
    "std::env::current_exe",
    "std::env::temp_dir",
    "std::env::consts",
];

/// What the modules at the bottom may import of ours, beside themselves.
const BOTTOM: &[(&str, &[&str])] = &[
    ("document", &[]),
    ("failure", &["document"]),
    ("file_type", &["document"]),
    ("spawner", &[]),
    ("extract", &["document", "failure", "file_type", "spawner"]),
    ("chunk", &["document", "failure", "file_type"]),
    ("embed", &["document", "failure"]),
    ("objects", &["document", "failure"]),
    ("failpoint", &[]),
    ("db", &["document", "failpoint", "failure", "file_type"]),
];

#[test]
fn each_outside_system_has_one_home() {
    let mut astray = Vec::new();
    for (path, text) in sources() {
        for (number, line) in code_lines(&text) {
            let line = HARMLESS
                .iter()
                .fold(line.to_owned(), |line, word| line.replace(word, ""));
            for (word, homes) in HOMES {
                if line.contains(word) && !homes.iter().any(|home| path.starts_with(home)) {
                    astray.push(format!(
                        "src/{path}:{number}: `{word}` belongs in {homes:?}"
                    ));
                }
            }
        }
    }
    assert!(astray.is_empty(), "{}", astray.join("\n"));
}

#[test]
fn leaves_import_only_what_lies_below_them() {
    let mut astray = Vec::new();
    for (path, text) in sources() {
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let Some((_, below)) = BOTTOM.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for (number, import) in imports(&text) {
            if import != module && !below.contains(&import.as_str()) {
                astray.push(format!(
                    "src/{path}:{number}: `{module}` must not know `{import}`"
                ));
            }
        }
    }
    assert!(astray.is_empty(), "{}", astray.join("\n"));
}

#[test]
fn no_query_of_the_workers_runs_outside_a_transaction_or_has_a_name() {
    let runs = [
        ".fetch_all(",
        ".fetch_one(",
        ".fetch_optional(",
        ".execute(",
    ];
    let mut astray = Vec::new();
    let mut statements = 0;
    for (path, text) in sources() {
        if !path.starts_with("db/") || OWNERS.iter().any(|owner| path.starts_with(owner)) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            let runs = runs.iter().any(|run| line.contains(run));
            statements += usize::from(runs);
            // What is called `tx` …
            let is_wrapped = line.contains("(Unnamed(&mut tx))") || line.contains("(Unnamed(tx))");
            // … is one, whoever began it; and connections come from nowhere else.
            let is_other_tx = line.contains("let mut tx =") && !line.contains(".begin().await");
            let takes_other = ["tx: &mut PgConnection", "tx: &mut Transaction"];
            let is_other_tx = is_other_tx
                || (line.contains("tx: &") && !takes_other.iter().any(|tx| line.contains(tx)));
            if (runs && !is_wrapped) || is_other_tx || line.contains(".acquire()") {
                astray.push(format!("src/{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(statements > 30, "found only {statements} statements");
    assert!(astray.is_empty(), "{}", astray.join("\n"));
}

/// Every source file: its path below `src/`, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src/ can be read") {
            let path = entry.expect("src/ can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(
        files.len() > 20,
        "found only {} files under src/",
        files.len()
    );
    let name = |path: &Path| {
        path.strip_prefix(&root)
            .expect("it lies there")
            .display()
            .to_string()
    };
    files
        .iter()
        .map(|path| {
            (
                name(path),
                fs::read_to_string(path).expect("sources are text"),
            )
        })
        .collect()
}

/// The lines that are no comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The modules of ours that a file names, with the line: `a` and `b` of `use crate::{a::X, b}`.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // Inside `crate::{…}`: how many braces are open. A name counts while it is one.
    let mut depth = 0_usize;
    for (number, line) in code_lines(text) {
        let mut rest = line;
        while !rest.is_empty() {
            if depth == 0 {
                let Some((_, after)) = rest.split_once("crate::") else {
                    break;
                };
                rest = after;
                if let Some(after) = rest.strip_prefix('{') {
                    (depth, rest) = (1, after);
                } else {
                    found.push((number, first_word(rest)));
                }
                continue;
            }
            let word = first_word(rest);
            if depth == 1 && !word.is_empty() {
                found.push((number, word));
                // Past the rest of its path, up to what follows it.
                rest = &rest[rest.find(['{', '}', ',']).unwrap_or(rest.len())..];
                continue;
            }
            match rest.chars().next() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(_) | None => {}
            }
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}
