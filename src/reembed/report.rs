//! What is shown of a re-embedding.

use std::fmt;

use super::{Swapped, plan::bytes};
use crate::db::reembed::{Phase, Reembedding};

impl fmt::Display for Reembedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (active, next) = (&self.active, &self.next);
        let phase = match self.phase {
            Phase::Filling => "filling: the new model is not in use",
            Phase::CutOver => "cut over: the model from before is kept until `finish`",
            Phase::RolledBack => "rolled back: the new model is kept",
            Phase::Finishing => "finishing: the second column is emptied, then dropped",
        };
        writeln!(f, "{:<16}{phase}", "phase")?;
        writeln!(
            f,
            "{:<16}{}, {} dimensions",
            "active model", active.name, active.dimensions
        )?;
        writeln!(
            f,
            "{:<16}{}, {} dimensions",
            "second column", next.name, next.dimensions
        )?;
        write!(f, "{:<16}{} filled", "rows", self.rows_done)?;
        if let Some(planned) = self.rows_planned {
            write!(f, " of {planned} that there were")?;
        }
        if self.rows_skipped > 0 {
            write!(f, ", {} refused by the provider", self.rows_skipped)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<16}{} left, {} of them in hand",
            "slices", self.slices_left, self.slices_held
        )?;
        writeln!(f, "{:<16}{}, ${:.4}", "tokens", self.tokens, self.cost_usd)?;
        write!(
            f,
            "{:<16}{} now, {} at the peak, {} before",
            "table",
            bytes(self.bytes.unsigned_abs()),
            bytes(self.bytes_peak.unsigned_abs()),
            bytes(self.bytes_before.unsigned_abs())
        )
    }
}

impl fmt::Display for Swapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already { active } => write!(
                f,
                "{} with {} dimensions is the active model already",
                active.name, active.dimensions
            ),
            Self::Done {
                active,
                tries,
                held,
            } => write!(
                f,
                "{} with {} dimensions is the active model; writers were held for {} ms, the lock was tried {}",
                active.name,
                active.dimensions,
                held.as_millis(),
                if *tries == 1 {
                    "once".to_owned()
                } else {
                    format!("{tries} times")
                }
            ),
        }
    }
}
