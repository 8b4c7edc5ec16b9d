//! Why the database could not answer.

use thiserror::Error;

/// Why the database could not answer. Its text is for the log: it may name files and tables, never values.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Locked, full, read-only, gone, or too slow: the same call may succeed later, and nothing was half-written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row or file that cannot be what we wrote.
    #[error("the database holds what Strongroom did not write: {0}")]
    Corrupt(String),
    /// A fault of ours, such as a query that does not fit the schema.
    #[error("unexpected answer of the database: {0}")]
    Unexpected(String),
}
