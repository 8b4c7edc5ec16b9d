//! Where Strongroom keeps what it must remember: rows, references and ciphertext, one engine a module.
//!
//! Knows SQL and files; knows nothing of keys, plaintext, or the meaning of the JSON it keeps.

mod columns;
mod copy;
mod database;
mod database_lock;
mod server;
mod sqlite;

pub use copy::{CopiedTable, CopyError, CopyProgress, CopyStep, copy};
pub use database::{Database, DatabaseHealth};
pub use database_lock::{DatabaseLock, LockError};
pub use server::{ServerDatabase, ServerKind, ServerOptions, TlsMode};
pub use sqlite::{AuditSync, SqliteDatabase, SqliteOptions};
