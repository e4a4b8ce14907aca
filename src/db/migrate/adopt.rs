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
    let found: BTreeMap<String, String> = sqlx::query_file!("src/db/sql/catalog.sql", &tables)
        .fetch_all(admin)
        .await?
        .into_iter()
        .map(|row| {
            let column = format!("{}.{}", row.table_name, row.column_name);
            (column, row.column_type)
        })
        .collect();
    if found.is_empty() {
        return Ok(None);
    }

    let (mut added, mut differing, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (table, column, wanted) in expected {
        let column = format!("{table}.{column}");
        match found.get(&column) {
            None => added.push(column),
            Some(is) if is == wanted => {}
            Some(is) if serves(table, is, wanted) => {
                differing.push(format!("{column} is {is}, not {wanted}"));
            }
            Some(is) => refused.push(format!("{column} is {is}, not {wanted}")),
        }
    }
    if refused.is_empty() {
        Ok(Some(Step::Adopted { added, differing }))
    } else {
        Err(MigrateError::Different {
            differences: refused,
        })
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
/// The status may have more labels and other enums any: the first file adds those that are missing. It also widens what
/// the worker would not fit into, texts with a limit and amounts of money with few digits.
fn serves(table: &str, is: &str, wanted: &str) -> bool {
    if !OURS.contains(&table) && !wanted.starts_with("vector") {
        return true;
    }
    match (is.strip_prefix("enum "), wanted.strip_prefix("enum ")) {
        (Some(is), Some(wanted)) => {
            let has = |label| is.split(' ').any(|other| other == label);
            !wanted.split(' ').any(|label| label == "processing") || wanted.split(' ').all(has)
        }
        (None, None) => {
            (wanted.starts_with("numeric") && is.starts_with("numeric"))
                || (wanted == "bigint" && is == "integer")
                || (wanted == "text" && is.starts_with("character varying") && !is.ends_with("[]"))
        }
        _ => false,
    }
}
