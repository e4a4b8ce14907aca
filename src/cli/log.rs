//! Which logs a command writes.

use std::io::{self, IsTerminal};

use super::{Command, RunArgs};
use crate::{
    config::Source,
    ops::progress::Screen,
    telemetry::{self, LogFormat},
};

/// Starts the logs; a drain on a terminal has a bar, above which only warnings are worth a line.
///
/// What is wrong with the settings of logs is reported with what is wrong with the others.
pub(super) fn log(source: &mut Source, command: &Command, screen: &Screen) -> anyhow::Result<()> {
    let format = match source
        .given("LOG_FORMAT")
        .map(|value| (value.to_owned(), LogFormat::parse(value)))
    {
        None => LogFormat::fitting(),
        Some((_, Some(format))) => format,
        Some((value, None)) => {
            source.problem(
                "LOG_FORMAT",
                format_args!("\"{value}\" is not text or json"),
            );
            LogFormat::fitting()
        }
    };
    let serves = matches!(command, Command::Run(RunArgs { drain: false, .. }));
    #[cfg(feature = "embedded")]
    let demonstrates = matches!(command, Command::Demo);
    #[cfg(not(feature = "embedded"))]
    let demonstrates = false;
    // The demo's table tells what becomes of each file, failures that are meant included. A connection that is found dead when
    // it is given back says no more than the statement that failed on it.
    let usual = if demonstrates {
        "off"
    } else if serves || !io::stderr().is_terminal() {
        "orion_ingest=info,sqlx_core::pool=error,warn"
    } else {
        "sqlx_core::pool=error,warn"
    };
    let wanted = source.given("RUST_LOG").unwrap_or(usual);
    let filter = match telemetry::filter(wanted) {
        Ok(filter) => filter,
        Err(error) => {
            source.problem(
                "RUST_LOG",
                format_args!("{error}; set it to something like orion_ingest=debug,warn"),
            );
            telemetry::filter(usual).map_err(anyhow::Error::msg)?
        }
    };
    telemetry::start(format, filter, screen.clone())
}
