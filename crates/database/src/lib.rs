//! Where Strongroom keeps what it must remember: rows, references and ciphertext, one engine a module.
//!
//! Knows SQL and files; knows nothing of keys, plaintext, or the meaning of the JSON it keeps.

mod database_lock;
mod sqlite;

pub use database_lock::{DatabaseLock, LockError};
pub use sqlite::{AuditSync, SqliteDatabase, SqliteOptions};
