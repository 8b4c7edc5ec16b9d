//! Opens the database file, and notices when it is no longer where it was.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use strongroom_domain::StoreError;

use super::errors::store_error;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// A connection, and which file it has open.
pub(super) struct OpenDatabase {
    pub(super) connection: Connection,
    path: PathBuf,
    access: Access,
    busy_timeout: Duration,
    database_file: FileIdentity,
    log_path: PathBuf,
    log_file: Option<FileIdentity>,
    /// Counts what `PRAGMA data_version` does not tell: a connection that was replaced, since what one tells of
    /// itself means nothing to the next; and a write whose caller had stopped waiting before it was done.
    pub(super) unnoticed_changes: Arc<AtomicI64>,
}

/// Device and inode: the same file under whatever name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl FileIdentity {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

impl OpenDatabase {
    /// Opens a database file that exists.
    pub(super) fn open(path: &Path, access: Access, busy_timeout: Duration) -> Result<Self, StoreError> {
        let connection = connect(path, access, busy_timeout).map_err(|error| store_error(&error))?;
        let database_file = FileIdentity::of(path).ok_or_else(gone)?;
        let log_path = beside(path, "-wal");
        let log_file = FileIdentity::of(&log_path);
        let path = path.to_owned();
        let unnoticed_changes = Arc::default();
        Ok(Self { connection, path, access, busy_timeout, database_file, log_path, log_file, unnoticed_changes })
    }

    /// Fails unless the open file, with its write-ahead log, still is the one at its path. Without this check we
    /// would go on to acknowledge writes to a file that nobody finds again.
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        match FileIdentity::of(&self.path) {
            Some(file) if file == self.database_file => {}
            Some(_) => return Err(replaced()),
            None => return Err(gone()),
        }
        match self.log_file {
            Some(log) if FileIdentity::of(&self.log_path) != Some(log) => Err(log_gone()),
            _ => Ok(()),
        }
    }

    /// Replaces the connection by a fresh one; keeps the old one where that fails.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        let fresh = Self::open(&self.path, self.access, self.busy_timeout)?;
        let unnoticed_changes = Arc::clone(&self.unnoticed_changes);
        unnoticed_changes.fetch_add(1, Ordering::Relaxed);
        *self = Self { unnoticed_changes, ..fresh };
        Ok(())
    }

    /// Rolls back what is open, and reopens where even that fails.
    pub(super) fn roll_back(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        let _ = self.connection.execute_batch("ROLLBACK");
        if !self.connection.is_autocommit() {
            // Where reopening fails too, the next transaction fails to begin and we come here again.
            let _ = self.reopen();
        }
    }
}

fn connect(path: &Path, access: Access, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;")?;
    connection.execute_batch(match access {
        Access::Write => "PRAGMA synchronous = FULL; PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 4000;",
        Access::Read => "PRAGMA query_only = ON; PRAGMA cache_size = -1024;",
    })?;
    // The first read opens the write-ahead log, so that its identity can be noted.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Creates the file for its owner only; `SQLite` gives the files beside it the same mode.
///
/// An existing file is not even opened: closing it would drop the locks that other connections of this process
/// hold on it.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!("cannot create {}: {error}", path.display()))),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

fn gone() -> StoreError {
    StoreError::Unavailable("the database file was moved or deleted; put it back".to_owned())
}

fn replaced() -> StoreError {
    StoreError::Unavailable(
        "the database file was moved or deleted, and another one stands in its place; put the first one back, or \
         restart to use the other one"
            .to_owned(),
    )
}

fn log_gone() -> StoreError {
    StoreError::Unavailable(
        "the file beside the database whose name ends in -wal was moved or deleted; put it back, or stop the server \
         in an orderly way (SIGTERM), which saves what it held"
            .to_owned(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_connection_finds_the_same_file_without_what_was_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strongroom.db");
        create_file(&path).unwrap();
        let mut database = OpenDatabase::open(&path, Access::Write, Duration::from_millis(10)).unwrap();
        database.connection.execute_batch("CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1)").unwrap();

        database.roll_back();
        assert_eq!(database.unnoticed_changes.load(Ordering::Relaxed), 0);
        database.reopen().unwrap();

        assert_eq!(database.unnoticed_changes.load(Ordering::Relaxed), 1);
        assert!(database.connection.is_autocommit());
        let rows: i64 = database.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
        database.check_in_place().unwrap();
    }
}
