//! What a server's answers mean to a caller. No text here quotes the server's: it may hold a value.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;
use strongroom_domain::StoreError;

/// Why a piece of work did not succeed.
pub(super) enum Fault<E> {
    /// The request asks for what may not be.
    Refused(E),
    /// The server could not.
    Sql(sqlx::Error),
}

impl<E> From<sqlx::Error> for Fault<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl<E: From<StoreError>> Fault<E> {
    /// The error that the caller gets.
    pub(super) fn into_error(self) -> E {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Sql(error) => E::from(store_error(&error)),
        }
    }
}

/// Numbers of `MySQL` and `MariaDB` that say "later": read-only, full, too many connections, shutting down, locked, too
/// long at work, or the login is refused (as while a password is changed).
const MYSQL_UNAVAILABLE: &[u16] = &[
    1021, 1037, 1038, 1040, 1041, 1044, 1045, 1049, 1053, 1114, 1129, 1135, 1152, 1158, 1159, 1160, 1161, 1184, 1196,
    1203, 1205, 1206, 1213, 1226, 1290, 1317, 1615, 1792, 1836, 1927, 1969, 3024, 4031,
];

/// Sorts an error by what the caller can do about it.
pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => of_answer(&**error),
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no connection was free in time".to_owned()),
        sqlx::Error::Io(error) => StoreError::Unavailable(format!("the connection failed: {}", error.kind())),
        sqlx::Error::Tls(_) => StoreError::Unavailable("TLS with the database failed; see database.tls".to_owned()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
            StoreError::Unavailable("the connection was closed".to_owned())
        }
        sqlx::Error::ColumnDecode { index, .. } => {
            StoreError::Corrupt(format!("column number {index} of an answer holds what cannot be there"))
        }
        _ => StoreError::Unexpected("the call does not fit the statement".to_owned()),
    }
}

fn of_answer(error: &(dyn DatabaseError + 'static)) -> StoreError {
    let code = error.code().unwrap_or_default();
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        let (number, text) = (error.number(), format!("MySQL error {}, SQLSTATE {code}", error.number()));
        let is_later = MYSQL_UNAVAILABLE.contains(&number);
        return if is_later || code.starts_with("08") {
            StoreError::Unavailable(text)
        } else {
            StoreError::Unexpected(text)
        };
    }
    // Classes of SQLSTATE: connection, resources, operator intervention, system error, rollback; locks; read-only.
    let is_later = ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
        || ["55P03", "25006", "25P02", "25P03", "25P04", "3D000", "28P01", "28000"].contains(&&*code);
    let text = format!("PostgreSQL error {code}");
    if is_later { StoreError::Unavailable(text) } else { StoreError::Unexpected(text) }
}

/// Says whether the server, or our account there, has as many connections as it may have.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => [1040, 1203, 1226].contains(&error.number()),
        None => error.code().is_some_and(|code| code == "53300"),
    }
}

/// Says whether the server ends the connection with this answer.
pub(super) fn is_farewell(error: &(dyn DatabaseError + 'static)) -> bool {
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => [1053, 1927, 4031].contains(&error.number()),
        None => {
            error.code().is_some_and(|code| ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"].contains(&&*code))
        }
    }
}

/// Says whether the same transaction may succeed when it is run again at once.
pub(super) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => error.number() == 1213,
        None => error.code().is_some_and(|code| code.starts_with("40")),
    }
}

/// Says whether a unique index refused a row.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.kind() == ErrorKind::UniqueViolation)
}

/// Says whether another was just before us in making a table.
pub(super) fn is_made_already(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    is_duplicate(error) || code.is_some_and(|code| ["42P07", "42710"].contains(&&*code))
}

/// Says whether a row names another one that does not exist.
pub(super) fn is_orphan(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.kind() == ErrorKind::ForeignKeyViolation)
}
