//! One server per `SQLite` file: a lock beside the file, which says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Held as long as this process serves the database; the operating system frees it when the process ends.
///
/// The lock is on a file of its own, `<database>.lock`: `SQLite`'s own locks on the database file would be lost if
/// this process opened and closed that file.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

/// Why a database cannot be served.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process serves it.
    #[error("another Strongroom server{} uses this database", in_brackets(.holder))]
    Held {
        /// What the holder wrote about itself; may be empty.
        holder: String,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock {}: {source}", .path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn in_brackets(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" ({holder})") }
}

impl DatabaseLock {
    /// Takes the lock of the database at `path`, or says who has it. Does not wait.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let lock_path = lock_path(path).map_err(|source| LockError::Unusable { path: path.to_owned(), source })?;
        let unusable = |source| LockError::Unusable { path: lock_path.clone(), source };
        let mut file = open(&lock_path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { holder: holder(&mut file) }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        sign(&mut file).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

/// `<database>.lock` by its real path, so that two names of one file share a lock.
fn lock_path(database: &Path) -> io::Result<PathBuf> {
    let mut path = real_path(database)?.into_os_string();
    path.push(".lock");
    Ok(path.into())
}

/// The canonical path of a file that need not exist yet.
pub(crate) fn real_path(file: &Path) -> io::Result<PathBuf> {
    match file.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(name))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The lock is what counts; who holds it is a courtesy.
    let _ = file.take(200).read_to_string(&mut text);
    text.trim().to_owned()
}

fn sign(file: &mut File) -> io::Result<()> {
    let now = OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0).map_err(io::Error::other)?;
    let since = now.format(&Rfc3339).map_err(io::Error::other)?;
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "pid {} on {host}, since {since}", std::process::id())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_a_line_that_says_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strongroom.db");
        let first = DatabaseLock::acquire(&path).unwrap();

        let refusal = DatabaseLock::acquire(&path).unwrap_err().to_string();

        let pid = std::process::id();
        assert!(refusal.starts_with(&format!("another Strongroom server (pid {pid} on ")), "{refusal}");
        assert!(refusal.contains(", since 2"), "{refusal}");
        assert!(refusal.ends_with(") uses this database"), "{refusal}");
        drop(first);
        DatabaseLock::acquire(&path).unwrap();
    }

    #[test]
    fn two_names_of_one_database_share_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strongroom.db");
        let other_name = folder.path().join("link.db");
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &other_name).unwrap();
        let _first = DatabaseLock::acquire(&path).unwrap();

        assert!(matches!(DatabaseLock::acquire(&other_name), Err(LockError::Held { .. })));
    }

    #[test]
    fn the_lock_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strongroom.db");

        let _lock = DatabaseLock::acquire(&path).unwrap();

        let mode = std::fs::metadata(folder.path().join("strongroom.db.lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let refusal = DatabaseLock::acquire(Path::new("/does/not/exist/strongroom.db")).unwrap_err().to_string();

        assert!(refusal.starts_with("cannot lock /does/not/exist/strongroom.db: "), "{refusal}");
    }
}
