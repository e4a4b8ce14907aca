//! Whether tables that are here already are those that the migrations make.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{MigrateError, Step};

/// `table.column type`, a line each, as the migrations make them; a test compares it with a migrated database.
const CATALOG: &str = include_str!("../catalog.txt");

/// Compares the tables that are there already with those that we need.
pub(super) async fn compare(admin: &mut PgConnection) -> Result<Option<Step>, MigrateError> {
    let expected: Vec<(&str, &str, &str)> = CATALOG.lines().filter_map(catalog_line).collect();
    let tables: Vec<String> = expected.iter().map(|(table, ..)| (*table).into()).collect();
    let found: BTreeMap<(String, String), String> =
        sqlx::query_file!("src/db/sql/catalog.sql", &tables)
            .fetch_all(admin)
            .await?
            .into_iter()
            .map(|row| ((row.table_name, row.column_name), row.column_type))
            .collect();
    if found.is_empty() {
        return Ok(None);
    }

    let (mut added, mut differences) = (Vec::new(), Vec::new());
    for (table, column, wanted) in expected {
        match found.get(&(table.to_owned(), column.to_owned())) {
            None => added.push(format!("{table}.{column}")),
            Some(is) if serves(table, is, wanted) => {}
            Some(is) => differences.push(format!("{table}.{column} is {is}, not {wanted}")),
        }
    }
    if differences.is_empty() {
        Ok(Some(Step::Adopted { added }))
    } else {
        Err(MigrateError::Different { differences })
    }
}

fn catalog_line(line: &str) -> Option<(&str, &str, &str)> {
    let (place, column_type) = line.split_once(' ')?;
    let (table, column) = place.split_once('.')?;
    Some((table, column, column_type))
}

/// The tables that the worker reads and writes; of the others only vectors matter to us.
const OURS: [&str; 5] = [
    "document_chunks",
    "file_type_configs",
    "files",
    "usage_logs",
    "user_profiles",
];

/// Whether a column of type `is` does for `wanted`.
///
/// The status may have more labels and other enums any, a text may have a limit, and an amount of money may have other
/// digits, but enough of them: embedding a page costs a hundred-thousandth of a dollar.
fn serves(table: &str, is: &str, wanted: &str) -> bool {
    if is == wanted || (!OURS.contains(&table) && !wanted.starts_with("vector")) {
        return true;
    }
    match (is.strip_prefix("enum "), wanted.strip_prefix("enum ")) {
        (Some(is), Some(wanted)) => {
            let has = |label| is.split(' ').any(|other| other == label);
            !wanted.split(' ').any(|label| label == "processing") || wanted.split(' ').all(has)
        }
        (None, None) if wanted.starts_with("numeric") => {
            is == "numeric" || scale(is) >= scale(wanted)
        }
        (None, None) => wanted == "text" && is.starts_with("character varying"),
        _ => false,
    }
}

/// `10` of `numeric(20,10)`; `None`, which is less than any, of what has no scale.
fn scale(column_type: &str) -> Option<u32> {
    let (_, scale) = column_type
        .strip_prefix("numeric(")?
        .strip_suffix(')')?
        .split_once(',')?;
    scale.parse().ok()
}
