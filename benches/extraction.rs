//! How fast files are read, in this process: `cargo bench --bench extraction [FOLDER…]`.
//!
//! Prints megabytes a second of processor time by extension. The ratio is to hashing the same
//! bytes in the same run, since machines are noisy. Without a folder it reads `fixtures/`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use orion_ingest::{
    extract::{self, Hints},
    file_type::FileTypes,
};
use sha2::{Digest, Sha256};

use self::timing::{fastest, megabytes};

mod timing;

/// What the files of one extension took.
#[derive(Default)]
struct Sum {
    files: usize,
    read: usize,
    bytes: usize,
    seconds: f64,
    hash_seconds: f64,
}

fn main() -> io::Result<()> {
    let folders: Vec<PathBuf> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .map(PathBuf::from)
        .collect();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = if folders.is_empty() {
        vec![fixtures]
    } else {
        folders
    };
    let settings = extract::Settings::new(&FileTypes::seeded());
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for path in files(&folders)? {
        let bytes = fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hints = Hints {
            name: name.into_owned(),
            mime_type: String::new(),
        };
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or("-");
        let sum = sums.entry(extension.to_lowercase()).or_default();
        sum.files += 1;
        sum.read += usize::from(extract::extract(&bytes, &hints, &settings).is_ok());
        sum.bytes += bytes.len();
        sum.seconds += fastest(|| extract::extract(&bytes, &hints, &settings).is_ok());
        sum.hash_seconds += fastest(|| Sha256::digest(&bytes));
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<8} {:>6} {:>6} {:>9} {:>9} {:>8} {:>8}",
        "", "files", "read", "MB", "CPU s", "MB/s", "÷ hash"
    )?;
    for (extension, sum) in &sums {
        writeln!(
            out,
            "{extension:<8} {:>6} {:>6} {:>9.2} {:>9.3} {:>8.1} {:>8.1}",
            sum.files,
            sum.read,
            megabytes(sum.bytes),
            sum.seconds,
            megabytes(sum.bytes) / sum.seconds,
            sum.seconds / sum.hash_seconds,
        )?;
    }
    Ok(())
}

/// The files right in these folders.
fn files(folders: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
