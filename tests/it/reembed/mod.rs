//! A re-embedding changes the model of every chunk, and no search notices but by its better answers.

mod checker;
mod steps;
mod story;
mod table;

use orion_ingest::document::UserId;
use tokio::process::Command;

use crate::{
    program::{Said, finish},
    stack::Stack,
    work::sections,
};
use checker::Model;

/// The model that every database starts with.
fn old() -> Model {
    Model {
        name: "text-embedding-3-small".to_owned(),
        dimensions: 1536,
    }
}

/// The one that it is to have.
fn new() -> Model {
    Model {
        name: "text-embedding-3-large".to_owned(),
        dimensions: 256,
    }
}

const TO_NEW: [&str; 4] = ["--model", "text-embedding-3-large", "--dimensions", "256"];

/// `reembed` as a process.
fn command(stack: &Stack, arguments: &[&str]) -> Command {
    stack.program(&[&["reembed"], arguments].concat())
}

/// `reembed` to its end.
async fn reembed(stack: &Stack, arguments: &[&str]) -> Said {
    finish(command(stack, arguments)).await
}

/// Plans, and fills the second column.
async fn plan_and_run(stack: &Stack) {
    let plan = [&["plan"], &TO_NEW[..]].concat();
    reembed(stack, &plan).await.exits(0);
    reembed(stack, &["run"]).await.exits(0);
}

/// A person with files of ten chunks each, one for each of these centuries.
async fn library(stack: &Stack, centuries: &[u32]) -> UserId {
    stack.cut_by_sections().await;
    let user = stack.user().await;
    for century in centuries {
        stack.file(user, "tea.md", sections(years(*century))).await;
    }
    stack.worker().await.drain().await;
    user
}

fn years(century: u32) -> std::ops::Range<u32> {
    century * 100..century * 100 + 10
}

/// A question that one chunk answers best.
fn question(year: u32) -> String {
    format!("In the year {year} the house bought {year} chests of tea.")
}
