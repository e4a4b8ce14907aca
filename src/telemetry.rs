//! Logs: to stderr, as text for people or JSON for machines. Never document text, keys or signed URLs.

use std::{error::Error, fmt, io::IsTerminal};

use anyhow::Context;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::FilterFn,
    fmt::{MakeWriter, layer},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// `text` or `json`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Text on a terminal, else JSON.
    #[must_use]
    pub fn fitting() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// What `RUST_LOG` lets through.
///
/// # Errors
///
/// A directive that cannot be parsed.
pub fn filter(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| error.to_string())
}

/// Starts logging to `writer` what passes `filter`.
///
/// # Errors
///
/// A subscriber that is there already.
pub fn start<W>(format: LogFormat, filter: EnvFilter, writer: W) -> anyhow::Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = layer().with_target(false).with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.compact().boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    let discreet = FilterFn::new(|line| is_discreet(line.target(), *line.level()));
    // Filters of the whole registry, not of the layer: those of a layer forget spans after an `enabled!` elsewhere.
    tracing_subscriber::registry()
        .with(filter)
        .with(discreet)
        .with(lines)
        .try_init()
        .context("logging was started before")
}

/// Whether a line of this origin may be shown, whatever `RUST_LOG` says.
///
/// HTTP clients and servers may show headers and bodies at their lower levels: keys, tokens, the text of documents.
fn is_discreet(target: &str, level: Level) -> bool {
    match target.split("::").next().unwrap_or_default() {
        "orion_ingest" => true,
        // Statements without their values.
        "sqlx" => level <= Level::DEBUG,
        // The embedded S3 server, to which every missing object is an error.
        "s3s" | "s3s_fs" => false,
        _ => level <= Level::INFO,
    }
}

/// An error with its causes, on one line.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // Some write out their causes themselves.
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    #[test]
    fn a_chain_says_nothing_twice() {
        let failure = |text, source| Failure {
            text,
            source: Option::map(source, Box::new),
        };
        let root = failure("refused", None);
        let middle = failure("cannot connect: refused", Some(root));
        let top = failure("no database", Some(middle));
        assert_eq!(
            Chain(&top).to_string(),
            "no database: cannot connect: refused"
        );
    }

    #[test]
    fn nobody_elses_details_are_shown() {
        let cases = [
            ("orion_ingest::worker", Level::TRACE, true),
            ("sqlx", Level::DEBUG, true),
            ("sqlx", Level::TRACE, false),
            ("aws_smithy_runtime::client", Level::DEBUG, false),
            ("hyper_util::client", Level::TRACE, false),
            ("hyper_util::client", Level::WARN, true),
            ("s3s::service", Level::ERROR, false),
            ("orion_ingester", Level::DEBUG, false),
        ];
        for (target, level, is_shown) in cases {
            assert_eq!(is_discreet(target, level), is_shown, "{target} {level}");
        }
    }

    #[test]
    fn a_filter_that_is_none_says_so() {
        assert!(filter("orion_ingest=debug,warn").is_ok());
        assert!(filter("orion_ingest=loud").is_err());
    }
}
