//! The promises, each on real servers.
#![expect(
    clippy::unwrap_used,
    reason = "what goes wrong in a test is for the test to say"
)]

mod budget;
mod cli;
mod codes;
mod commit;
mod embedded;
mod embedding;
mod hints;
mod http;
mod layering;
mod leases;
mod money;
mod objects;
mod outages;
mod pooler;
mod program;
mod provider;
mod readme;
mod reembed;
mod reindex;
mod reingest;
mod rules;
mod sandbox;
mod schema;
mod settings;
mod shapes;
mod shutdown;
mod stack;
mod work;
mod worker;
