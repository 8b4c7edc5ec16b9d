//! Whole rows of any table, for a copy of the database.

use async_trait::async_trait;
use strongroom_domain::StoreError;

use super::ServerDatabase;
use super::pool::Pool;
use super::session::{Session, reading, writing};
use super::values::{self, Value, rows_of_placeholders, values};
use crate::copy::{Cell, Kind, Row, Table, TableAccess};

/// How many rows one statement takes at most: both protocols count placeholders in 16 bits.
const ROWS: usize = 1_000;

#[async_trait]
impl TableAccess for ServerDatabase {
    async fn end_of_page(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        rows: usize,
    ) -> Result<Option<Cell>, StoreError> {
        let sql = table.select_end_of_page(after.is_some(), rows);
        let after: Vec<Value<'_>> = after.into_iter().map(|cell| value(cell, Kind::Text)).collect();
        reading!(self, session => async {
            let row = session.first(sql.clone(), &after).await?;
            let read = |row| cells(&row, table, 1);
            Ok(row.map(read).transpose()?.and_then(|mut row| row.pop()))
        })
    }

    async fn rows(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        up_to: Option<&Cell>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = table.select(after.is_some(), up_to.is_some());
        let bounds: Vec<Value<'_>> = after.into_iter().chain(up_to).map(|cell| value(cell, Kind::Text)).collect();
        reading!(self, session => async {
            let rows = session.query(sql.clone(), &bounds).await?;
            rows.iter().map(|row| cells(row, table, table.columns.len())).collect()
        })
    }

    async fn append(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        writing!(self, session => async {
            for rows in rows.chunks(ROWS) {
                insert(session, table, rows).await?;
            }
            Ok(())
        })
    }

    async fn count(&self, table: &'static Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        reading!(self, session => async {
            session.first(sql.clone(), &[]).await?.map_or(Ok(0), |row| row.unsigned(0))
        })
    }

    async fn unfinished_copy(&self) -> Result<Option<String>, StoreError> {
        reading!(self, session => async {
            let row = session.first("SELECT source FROM unfinished_copies", &[]).await?;
            row.map(|row| row.text(0)).transpose()
        })
    }

    async fn begin_copy(&self, source: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO unfinished_copies (source) VALUES ($1)";
        let begun: Result<u64, StoreError> = reading!(self, session => session.execute(sql, values![source]));
        begun.map(drop)
    }

    async fn finish_copy(&self) -> Result<(), StoreError> {
        writing!(self, session => async {
            number_on(session, &self.handle.pool).await?;
            session.execute("DELETE FROM unfinished_copies", &[]).await?;
            Ok(())
        })
    }
}

async fn insert(session: &mut Session, table: &Table, rows: &[Row]) -> sqlx::Result<()> {
    let places = rows_of_placeholders(rows.len(), table.columns.len());
    let sql = format!("INSERT INTO {} ({}) VALUES {places}", table.name, table.column_list());
    let cells = rows.iter().flat_map(|row| row.iter().zip(table.columns));
    let values: Vec<Value<'_>> = cells.map(|(cell, (_, kind))| value(cell, *kind)).collect();
    session.execute(sql, &values).await.map(drop)
}

/// `PostgreSQL` does not count the numbers that it is given; `MySQL` does.
async fn number_on(session: &mut Session, pool: &Pool) -> sqlx::Result<()> {
    if matches!(pool, Pool::MySql(_)) {
        return Ok(());
    }
    let sql = "SELECT setval(pg_get_serial_sequence('audit_entries', 'sequence'), max(sequence)) FROM audit_entries
               HAVING max(sequence) IS NOT NULL";
    session.query(sql, &[]).await.map(drop)
}

/// The value of a cell; what is missing has a type too.
fn value(cell: &Cell, kind: Kind) -> Value<'_> {
    match (cell, kind) {
        (Cell::Integer(number), _) => Value::Integer(*number),
        (Cell::Text(text), _) => Value::Text(text),
        (Cell::Bytes(bytes), _) => Value::Bytes(bytes),
        (Cell::Id(id), _) => Value::Id(*id),
        (Cell::Null, Kind::Integer) => Value::OptionalInteger(None),
        (Cell::Null, Kind::Id) => Value::OptionalId(None),
        (Cell::Null, Kind::Text | Kind::Bytes) => Value::OptionalText(None),
    }
}

/// Reads the first columns of a row. Text that is no UTF-8 is an error: it could not be carried over as it is.
fn cells(row: &values::Row, table: &Table, columns: usize) -> sqlx::Result<Row> {
    table.columns.iter().take(columns).enumerate().map(|(column, (_, kind))| cell(row, column, *kind)).collect()
}

fn cell(row: &values::Row, column: usize, kind: Kind) -> sqlx::Result<Cell> {
    Ok(match kind {
        Kind::Integer => row.optional_integer(column)?.map_or(Cell::Null, Cell::Integer),
        Kind::Id => row.optional_id(column)?.map_or(Cell::Null, Cell::Id),
        Kind::Bytes => row.optional_bytes(column)?.map_or(Cell::Null, Cell::Bytes),
        Kind::Text => row.exact_text(column)?.map_or(Cell::Null, Cell::Text),
    })
}
