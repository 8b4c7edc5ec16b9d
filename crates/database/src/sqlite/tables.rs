//! Whole rows of any table, for a copy of the database.

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{OptionalExtension, ToSql, params_from_iter};
use strongroom_domain::StoreError;
use uuid::Uuid;

use super::SqliteDatabase;
use super::request::Effect;
use crate::copy::{Cell, Kind, Row, Table, TableAccess};

#[async_trait]
impl TableAccess for SqliteDatabase {
    async fn end_of_page(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        rows: usize,
    ) -> Result<Option<Cell>, StoreError> {
        let sql = table.select_end_of_page(after.is_some(), rows);
        let after: Vec<Cell> = after.into_iter().cloned().collect();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_row(params_from_iter(&after), |row| cells(row, table, 1));
            Ok(found.optional()?.and_then(|mut row| row.pop()))
        })
        .await
    }

    async fn rows(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        up_to: Option<&Cell>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = table.select(after.is_some(), up_to.is_some());
        let bounds: Vec<Cell> = after.into_iter().chain(up_to).cloned().collect();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(&bounds), |row| cells(row, table, table.columns.len()))?;
            rows.collect()
        })
        .await
    }

    async fn append(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let places: Vec<String> = (1..=table.columns.len()).map(|number| format!("?{number}")).collect();
        let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.column_list(), places.join(", "));
        self.write(Effect::Change, move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            for row in &rows {
                statement.execute(params_from_iter(row))?;
            }
            Ok(())
        })
        .await
    }

    async fn count(&self, table: &'static Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        self.read(move |connection| connection.query_row(&sql, [], |row| row.get(0))).await.map(i64::cast_unsigned)
    }

    async fn unfinished_copy(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT source FROM unfinished_copies";
        self.read(|connection| connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()).await
    }

    async fn begin_copy(&self, source: &str) -> Result<(), StoreError> {
        let source = source.to_owned();
        let sql = "INSERT INTO unfinished_copies (source) VALUES (?1)";
        self.write(Effect::Change, move |connection| Ok(connection.execute(sql, [&source]).map(drop)?)).await
    }

    async fn finish_copy(&self) -> Result<(), StoreError> {
        let sql = "DELETE FROM unfinished_copies";
        self.write(Effect::Change, |connection| Ok(connection.execute(sql, []).map(drop)?)).await
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Id(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
        })
    }
}

/// Reads the first columns of a row. Text that is no UTF-8 is an error: it could not be carried over as it is.
fn cells(row: &rusqlite::Row<'_>, table: &Table, columns: usize) -> rusqlite::Result<Row> {
    table.columns.iter().take(columns).enumerate().map(|(column, (_, kind))| cell(row, column, *kind)).collect()
}

fn cell(row: &rusqlite::Row<'_>, column: usize, kind: Kind) -> rusqlite::Result<Cell> {
    if row.get_ref(column)? == ValueRef::Null {
        return Ok(Cell::Null);
    }
    Ok(match kind {
        Kind::Integer => Cell::Integer(row.get(column)?),
        Kind::Text => Cell::Text(row.get(column)?),
        Kind::Bytes => Cell::Bytes(row.get(column)?),
        Kind::Id => Cell::Id(row.get::<_, Uuid>(column)?),
    })
}
