//! The commands that read one file of this machine, without any server.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{Exit, dispatch::out};
use crate::{
    chunk::Tokenizer,
    extract::sandbox,
    failure::{Code, Verdict},
    ops::local::{self, NoText},
    telemetry::Chain,
};

pub(super) async fn extract(
    path: &Path,
    json: bool,
    settings: sandbox::Settings,
) -> anyhow::Result<Exit> {
    match local::extract(path, settings).await? {
        Ok(document) if json => out(&serde_json::to_string(&document)?)?,
        Ok(document) => out(&local::text(&document))?,
        Err(error) => return refused(&error),
    }
    Ok(Exit::Done)
}

pub(super) async fn chunk(
    path: &Path,
    json: bool,
    (settings, tokenizer): (sandbox::Settings, Tokenizer),
) -> anyhow::Result<Exit> {
    let document = match local::extract(path, settings).await? {
        Ok(document) => document,
        Err(error) => return refused(&error),
    };
    let chunked = local::chunk(&document, tokenizer);
    for chunk in &chunked.chunks {
        let line = local::Line::new(&chunked, chunk);
        if json {
            out(&serde_json::to_string(&line)?)?;
        } else {
            out(&line)?;
        }
    }
    Ok(Exit::Done)
}

/// A local file that has no text to give: its code on stderr, as the worker would store it.
fn refused(why: &NoText) -> anyhow::Result<Exit> {
    let (code, message) = match why {
        NoText::TooLarge { max_bytes } => (
            Code::TooLarge,
            format!("the file is larger than the {max_bytes} bytes that its type allows"),
        ),
        NoText::Refused(error) => match error.verdict() {
            Verdict::Reject { code } | Verdict::Retry { code: Some(code) } => {
                (code, error.public_message())
            }
            Verdict::Retry { code: None } | Verdict::Wait { .. } | Verdict::Abandon => {
                anyhow::bail!("{}", Chain(error))
            }
        },
    };
    writeln!(io::stderr(), "{code}: {message}")?;
    Ok(Exit::Failures)
}
