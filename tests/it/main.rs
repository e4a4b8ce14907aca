//! The promises, each on real servers.
#![expect(
    clippy::unwrap_used,
    reason = "what goes wrong in a test is for the test to say"
)]

mod budget;
mod chaos;
mod cli;
mod codes;
mod commit;
#[cfg(debug_assertions)]
mod deaths;
mod embedded;
mod embedding;
mod fuzz;
mod hints;
mod hostile;
mod http;
mod layering;
mod lease_states;
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
mod tls;
mod work;
mod worker;
