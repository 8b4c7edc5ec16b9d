//! Values on their way into a statement, and rows on their way out, for both protocols.
//!
//! Text goes to `MySQL` as bytes: its columns are binary, so that no collation takes two names for one.

use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::{Database, Decode, MySql, Postgres, Row as _, Type};
use uuid::Uuid;

/// One value of a statement.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Integer(i64),
    OptionalInteger(Option<i64>),
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bytes(&'a [u8]),
    Id(Uuid),
    OptionalId(Option<Uuid>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Value<'_> {
    /// Integers of both servers are signed; a large number comes back as the same large number.
    fn from(value: u64) -> Self {
        Self::Integer(value.cast_signed())
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::OptionalInteger(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::OptionalText(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(value: Uuid) -> Self {
        Self::Id(value)
    }
}

impl From<Option<Uuid>> for Value<'_> {
    fn from(value: Option<Uuid>) -> Self {
        Self::OptionalId(value)
    }
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::server::values::Value::from($value)),*] };
}

pub(super) use values;

type Query<'q, DB> = sqlx::query::Query<'q, DB, <DB as Database>::Arguments>;

pub(super) fn bind_postgres<'q>(mut query: Query<'q, Postgres>, values: &[Value<'q>]) -> Query<'q, Postgres> {
    for value in values {
        query = match *value {
            Value::Integer(value) => query.bind(value),
            Value::OptionalInteger(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::OptionalText(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::Id(value) => query.bind(value),
            Value::OptionalId(value) => query.bind(value),
        };
    }
    query
}

pub(super) fn bind_mysql<'q>(mut query: Query<'q, MySql>, values: &[Value<'q>]) -> Query<'q, MySql> {
    for value in values {
        query = match *value {
            Value::Integer(value) => query.bind(value),
            Value::OptionalInteger(value) => query.bind(value),
            Value::Text(value) => query.bind(value.as_bytes()),
            Value::OptionalText(value) => query.bind(value.map(str::as_bytes)),
            Value::Bytes(value) => query.bind(value),
            Value::Id(value) => query.bind(value),
            Value::OptionalId(value) => query.bind(value),
        };
    }
    query
}

/// A row of either.
pub(super) enum Row {
    Postgres(PgRow),
    MySql(MySqlRow),
}

/// What a row is read as.
type Read<T> = Result<T, sqlx::Error>;

impl Row {
    fn get<T>(&self, column: usize) -> Read<T>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, MySql> + Type<MySql>,
    {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::MySql(row) => row.try_get(column),
        }
    }

    pub(super) fn integer(&self, column: usize) -> Read<i64> {
        self.get(column)
    }

    pub(super) fn optional_integer(&self, column: usize) -> Read<Option<i64>> {
        self.get(column)
    }

    pub(super) fn unsigned(&self, column: usize) -> Read<u64> {
        self.integer(column).map(i64::cast_unsigned)
    }

    pub(super) fn flag(&self, column: usize) -> Read<bool> {
        Ok(self.integer(column)? != 0)
    }

    pub(super) fn id(&self, column: usize) -> Read<Uuid> {
        self.get(column)
    }

    pub(super) fn optional_id(&self, column: usize) -> Read<Option<Uuid>> {
        self.get(column)
    }

    pub(super) fn bytes(&self, column: usize) -> Read<Vec<u8>> {
        self.get(column)
    }

    pub(super) fn optional_bytes(&self, column: usize) -> Read<Option<Vec<u8>>> {
        self.get(column)
    }

    pub(super) fn text(&self, column: usize) -> Read<String> {
        Ok(self.optional_text(column)?.unwrap_or_default())
    }

    pub(super) fn optional_text(&self, column: usize) -> Read<Option<String>> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::MySql(row) => {
                let bytes: Option<Vec<u8>> = row.try_get(column)?;
                Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            }
        }
    }

    /// A text that must be one.
    pub(super) fn exact_text(&self, column: usize) -> Read<Option<String>> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::MySql(row) => {
                let bytes: Option<Vec<u8>> = row.try_get(column)?;
                bytes.map(String::from_utf8).transpose().map_err(|_| foreign(column))
            }
        }
    }

    /// A text that is one of a few known words.
    pub(super) fn word<T>(&self, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Read<T> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| foreign(column))
    }
}

fn foreign(column: usize) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: "holds what cannot be there".into() }
}

/// Placeholders for one row of so many values, the first with this number: `($4, $5, $6)`.
pub(super) fn placeholders(first: usize, count: usize) -> String {
    let numbered: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    format!("({})", numbered.join(", "))
}

/// Placeholders for many rows of so many values each.
pub(super) fn rows_of_placeholders(rows: usize, values: usize) -> String {
    let rows: Vec<String> = (0..rows).map(|row| placeholders(row * values + 1, values)).collect();
    rows.join(", ")
}
