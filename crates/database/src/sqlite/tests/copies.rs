//! A copy carries all that the schema has.

use std::collections::{BTreeMap, BTreeSet};

use super::Scratch;
use crate::copy::TABLES;

/// What belongs to one installation, or is made by the rows that are copied.
const NOT_COPIED: [&str; 3] = ["schema_migrations", "service_totals", "unfinished_copies"];

#[tokio::test]
async fn every_column_of_every_table_is_carried_over_unless_it_is_named_here() {
    let scratch = Scratch::new();
    let connection = scratch.other_connection();
    let mut statement = connection
        .prepare("SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'")
        .unwrap();
    let mut schema: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for column in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap() {
        let (table, column): (String, String) = column.unwrap();
        schema.entry(table).or_default().insert(column);
    }

    let copied = TABLES
        .iter()
        .map(|table| (table.name.to_owned(), table.columns.iter().map(|(column, _)| (*column).to_owned()).collect()));

    schema.retain(|table, _| !NOT_COPIED.contains(&table.as_str()));
    assert_eq!(copied.collect::<BTreeMap<String, BTreeSet<String>>>(), schema);
}
