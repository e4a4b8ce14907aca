//! `orion-ingest`: see `orion-ingest --help`.

use std::process::ExitCode;

/// A child is told by `sandbox::ALLOCATOR` how much address space to reserve.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    orion_ingest::cli::main()
}
