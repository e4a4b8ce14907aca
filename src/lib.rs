//! Turns uploaded files into searchable, embedded chunks: claim, fetch, extract, chunk, embed, commit.
//!
//! `ARCHITECTURE.md` has the picture; `ingest.rs` is the story of one file.

pub mod admit;
pub mod app;
pub mod chunk;
pub mod cli;
pub mod config;
pub mod db;
pub mod document;
pub mod embed;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod embedding;
pub mod extract;
pub mod failpoint;
pub mod failure;
pub mod fetch;
pub mod file_type;
pub mod ingest;
pub mod lease;
pub mod metrics;
pub mod objects;
pub mod ops;
pub mod reembed;
pub mod room;
pub mod shutdown;
pub mod spawner;
pub mod telemetry;
pub mod worker;
