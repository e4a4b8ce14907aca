//! What a migration did, or why it could not: texts for whoever ran it.

use std::fmt;

/// What was done, in order; its `Display` is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In order.
    pub steps: Vec<Step>,
}

/// A line of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The tables were there without a record of how: they were given what they lacked.
    Adopted {
        /// Columns that were missing, `table.column`.
        added: Vec<String>,
        /// Columns that do although their types are others, `table.column is …, not …`.
        differing: Vec<String>,
    },
    /// A file was run.
    Applied {
        /// Its number and name.
        file: String,
    },
    /// A file had been run before.
    AlreadyThere {
        /// Its number and name.
        file: String,
    },
    /// The sample rows and file types are there.
    Seeded,
    /// An index or check on a large table was made without holding up anybody.
    Built {
        /// Its name.
        name: String,
    },
    /// It could not be made now; the next run tries again.
    Left {
        /// Its name.
        name: String,
        /// What Postgres said.
        reason: String,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.steps.iter().flat_map(lines).collect();
        f.write_str(&lines.join("\n"))
    }
}

fn lines(step: &Step) -> Vec<String> {
    match step {
        Step::Adopted { added, differing } => {
            let mut lines = vec!["adopted   the tables that were here".to_owned()];
            lines.extend(by_table("added  ", added));
            lines.extend(by_table("differs", differing));
            lines
        }
        Step::Applied { file } => vec![format!("applied   {file}")],
        Step::AlreadyThere { file } => vec![format!("was there {file}")],
        Step::Seeded => vec!["seeded    file types and sample prompts".to_owned()],
        Step::Built { name } => vec![format!("built     {name}")],
        Step::Left { name, reason } => vec![format!("left      {name}: {reason}")],
    }
}

/// A line for each table; `columns` come table by table.
fn by_table(what: &str, columns: &[String]) -> Vec<String> {
    let columns: Vec<(&str, &str)> = columns
        .iter()
        .filter_map(|column| column.split_once('.'))
        .collect();
    columns
        .chunk_by(|one, next| one.0 == next.0)
        .map(|chunk| {
            let names: Vec<&str> = chunk.iter().map(|(_, column)| *column).collect();
            format!("{what}   {}: {}", chunk[0].0, names.join("; "))
        })
        .collect()
}

/// Why the database is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be reached, or refused something simple.
    #[error("the database did not do as asked")]
    Database(#[from] sqlx::Error),
    /// Too old a server.
    #[error("PostgreSQL 15 or later is needed, this is {found}: upgrade the server")]
    ServerTooOld {
        /// `server_version`.
        found: String,
    },
    /// No pgvector on the server.
    #[error(
        "the server has no pgvector: install 0.8 or later (Debian: postgresql-NN-pgvector; Docker: pgvector/pgvector)"
    )]
    NoVector,
    /// Too old a pgvector.
    #[error(
        "pgvector 0.8 or later is needed, this is {found}: install it on the server, \
         then run `alter extension vector update` in this database"
    )]
    VectorTooOld {
        /// Its version.
        found: String,
    },
    /// Another migrator has been at it for minutes.
    #[error("another migration of this database is running: wait for it")]
    Busy,
    /// A file is not the one that was applied.
    #[error(
        "{file} is not the one that was applied to this database: use the release that applied it, or a later one"
    )]
    Changed {
        /// Its number and name.
        file: String,
    },
    /// Tables of the same names, but others.
    #[error(
        "the tables of this database are not those of this program, nothing was changed:\n  {}\nchange each with `alter table … alter column … type …`, or move the table away, then repeat",
        differences.join("\n  ")
    )]
    Different {
        /// `table.column is …, not …`.
        differences: Vec<String>,
    },
    /// Somebody held a table all the time.
    #[error(
        "{file} waited in vain for a table that others keep locked: end long transactions, then repeat"
    )]
    Held {
        /// Its number and name.
        file: String,
    },
    /// A file failed; nothing of it was kept.
    #[error("{file} could not be applied{hint}")]
    Refused {
        /// Its number and name.
        file: String,
        /// What to do, if Postgres knows, after a colon.
        hint: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },
}
