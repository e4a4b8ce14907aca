//! `orion-ingest`: see `orion-ingest --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    orion_ingest::cli::main()
}
