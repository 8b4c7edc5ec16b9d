//! What `SQLite`'s answers mean to a caller. No text here quotes a value: values are always bound, and what a row
//! held is never repeated.

use rusqlite::ffi::{self, ErrorCode};
use strongroom_domain::StoreError;

/// Why a piece of work on a connection did not succeed.
pub(super) enum Fault<E> {
    /// The request asks for what may not be.
    Refused(E),
    /// `SQLite` could not.
    Sqlite(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for Fault<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl<E: From<StoreError>> Fault<E> {
    /// The error that the caller gets.
    pub(super) fn into_error(self) -> E {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Sqlite(error) => E::from(store_error(&error)),
        }
    }
}

/// Sorts an error of `SQLite` by what the caller can do about it.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => of_failure(*failure, message.as_deref()),
        rusqlite::Error::SqlInputError { error, msg, .. } => of_failure(*error, Some(msg)),
        rusqlite::Error::InvalidColumnType(_, column, _) => {
            StoreError::Corrupt(format!("column {column} holds what cannot be there"))
        }
        rusqlite::Error::FromSqlConversionFailure(column, ..)
        | rusqlite::Error::IntegralValueOutOfRange(column, _)
        | rusqlite::Error::Utf8Error(column, _) => {
            StoreError::Corrupt(format!("column number {column} of an answer holds what cannot be there"))
        }
        rusqlite::Error::QueryReturnedNoRows => StoreError::Unexpected("a row is missing".to_owned()),
        _ => StoreError::Unexpected("the call does not fit the statement".to_owned()),
    }
}

fn of_failure(failure: ffi::Error, message: Option<&str>) -> StoreError {
    let meaning = ffi::code_to_str(failure.extended_code);
    let text = match message {
        Some(message) if message != meaning => format!("{meaning}: {message} (SQLite {})", failure.extended_code),
        _ => format!("{meaning} (SQLite {})", failure.extended_code),
    };
    match failure.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted => StoreError::Unavailable(text),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
        _ => StoreError::Unexpected(text),
    }
}

/// The same error once more, for each request of a batch that failed as a whole.
pub(super) fn same_error(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::Unexpected(text) => StoreError::Unexpected(text.clone()),
    }
}

/// Says whether a fresh connection may fare better.
pub(super) fn is_worth_reopening(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ApiMisuse
        )
    )
}

/// Says whether a unique index refused a row.
pub(super) fn is_duplicate(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|failure| failure.extended_code),
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
    )
}

/// Says whether a row names another one that does not exist.
pub(super) fn is_orphan(error: &rusqlite::Error) -> bool {
    error.sqlite_error().map(|failure| failure.extended_code) == Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}
