//! The queue, the failures and the spend, on one screen.

use std::fmt;

use crate::db::Status;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for status in ["pending", "processing", "completed", "failed"] {
            line(f, status, self.files.get(status).copied().unwrap_or(0))?;
        }
        for (code, files) in &self.failures {
            line(f, &format!("  {code}"), *files)?;
        }
        write!(f, "{:<24}{:>10}", "due now", self.due_files)?;
        match self.oldest_due_seconds {
            Some(age) => writeln!(f, ", the oldest for {age:.0} s")?,
            None => writeln!(f)?,
        }
        line(f, "completed, last hour", self.completed_last_hour)?;
        line(f, "chunks, last hour", self.chunks_last_hour)?;
        line(f, "tokens today", self.tokens_today)?;
        line(f, "tokens uncertain", self.uncertain_tokens)?;
        writeln!(f, "{:<24}{:>10.4}", "US dollars today", self.cost_usd_today)?;
        writeln!(
            f,
            "{:<24}{:>10.4}",
            "US dollars this month", self.cost_usd_month
        )?;
        write!(
            f,
            "{:<24}{}, {} dimensions",
            "active model", self.active_model, self.active_dimensions
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, count: i64) -> fmt::Result {
    writeln!(f, "{name:<24}{count:>10}")
}
