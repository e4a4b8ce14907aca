//! Every parser of ours on damaged files: each answer is a document or a code, and no child dies of one.
//!
//! The seeds are the files in `fixtures/`, of which each format and each rule has some. What is done to them follows from
//! a number, which a failure names: `ORION_FUZZ_FROM=<number> ORION_FUZZ_CASES=1 cargo test --test it fuzz` does it again.
//! More cases: `ORION_FUZZ_CASES=1000`.

use std::{
    borrow::Cow,
    fs,
    io::{Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use orion_ingest::{
    document::UserId,
    extract::{
        Hints, Settings as ExtractSettings,
        sandbox::{Sandbox, SandboxError, Settings},
    },
    file_type::FileTypes,
    spawner::Spawner,
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::stack::variable;

/// Cases for each seed.
const CASES: u64 = 6;

/// A row of numbers that look like chance (Vigna's `SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }
}

/// Files of the formats whose parsers are ours; PDF engines die of many a file, for which there are children.
fn seeds() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut seeds = Vec::new();
    for folder in [root.clone(), root.join("rules")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let foreign = ["pdf", "md", "error", "options", "py"];
            let ending = path.extension().unwrap_or_default();
            if path.is_file() && !foreign.iter().any(|foreign| ending == *foreign) {
                seeds.push(path);
            }
        }
    }
    seeds.sort();
    assert!(seeds.len() > 60, "found only {} seeds", seeds.len());
    seeds
}

/// Does one to eight small harms.
fn damage(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(8) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = chance.below(bytes.len());
        let length = 1 + chance.below(64.min(bytes.len() - at));
        match chance.below(7) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = [0, 0xff, b'<', b'>', b'"', b'{', b'}', b'\\'][chance.below(8)],
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let again = bytes[at..at + length].repeat(1 + chance.below(200));
                bytes.splice(at..at, again);
            }
            4 => {
                let from = chance.below(bytes.len() - length + 1);
                let piece = bytes[from..from + length].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                // A number that is larger than anybody thought.
                let number = [
                    "-1",
                    "0",
                    "65536",
                    "4294967295",
                    "99999999999999999999",
                    "1e999",
                ];
                bytes.splice(at..at + length, number[chance.below(number.len())].bytes());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Damages a part of a zip rather than its frame, most of the time: else no parser behind it would see anything.
fn damage_any(bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    let Ok(mut archive) = ZipArchive::new(Cursor::new(&bytes)) else {
        return damage(bytes, chance);
    };
    if archive.is_empty() || chance.below(8) == 0 {
        return damage(bytes, chance);
    }
    let victim = chance.below(archive.len());
    let mut made = ZipWriter::new(Cursor::new(Vec::new()));
    for place in 0..archive.len() {
        let Ok(mut part) = archive.by_index(place) else {
            continue;
        };
        let mut content = Vec::new();
        if part.read_to_end(&mut content).is_err() {
            continue;
        }
        if place == victim {
            content = damage(content, chance);
        }
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        // Two parts of one name are no zip that this writer makes.
        let Ok(name) = part.name().map(Cow::into_owned) else {
            continue;
        };
        if made.start_file(name, options).is_ok() {
            made.write_all(&content).unwrap();
        }
    }
    made.finish().unwrap().into_inner()
}

fn number(name: &str, otherwise: u64) -> u64 {
    variable(name).map_or(otherwise, |value| value.to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn no_child_dies_of_a_damaged_file() {
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_orion-ingest").into(),
        timeout: Duration::from_mins(1),
        memory_bytes: 1 << 30,
        children: 2,
    };
    let sandbox = Sandbox::new(settings, Spawner::new().unwrap());
    let types = ExtractSettings::new(&FileTypes::seeded());
    let from = number("ORION_FUZZ_FROM", 0);
    let mut deaths = Vec::new();
    for seed in seeds() {
        let bytes = fs::read(&seed).unwrap();
        let name = seed.file_name().unwrap().to_str().unwrap().to_owned();
        for case in from..from + number("ORION_FUZZ_CASES", CASES) {
            let damaged = damage_any(bytes.clone(), &mut Chance(case));
            let hints = Hints {
                name: name.clone(),
                mime_type: String::new(),
            };
            let read = sandbox.extract(UserId::NOBODY, &hints, &types, damaged.into());
            if let Err(error) = read.await
                && !matches!(error, SandboxError::Extract(_))
            {
                deaths.push(format!("{name}, case {case}: {error}"));
            }
        }
    }
    assert!(deaths.is_empty(), "{}", deaths.join("\n"));
}
