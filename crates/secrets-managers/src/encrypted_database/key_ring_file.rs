//! The key ring as a file: mode 0600, replaced as a whole, so that no crash and no second rotation loses a key.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use strongroom_domain::{KeyId, SystemTimestamp};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::key_ring::{KeyRing, KeyRingError, key_lines};

/// Longer than any ring; stops us from reading a device or a database by mistake.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The permission bits of group and others.
const OTHERS_MAY: u32 = 0o077;

/// The same for a mounted file: orchestrators give it to a group in which only the server is.
const OTHERS_MAY_MOUNTED: u32 = 0o037;

const HEADER: &str = "\
# The key ring of Strongroom: one key a line. The first key encrypts and signs, all of them decrypt and verify.
# Back this file up, apart from the database: without it the secrets in the database are lost.
";

/// A key ring's file.
#[derive(Clone, Debug)]
pub struct KeyRingFile {
    path: PathBuf,
    refused_mode: u32,
}

/// Why a key ring's file cannot be used.
#[derive(Debug, Error)]
pub enum KeyRingFileError {
    /// There is none.
    #[error("there is no key ring at {}", .0.display())]
    Missing(PathBuf),
    /// There is one already; it is never overwritten.
    #[error("there is a key ring at {} already, and it is never overwritten", .0.display())]
    Exists(PathBuf),
    /// Others than its owner may use it.
    #[error("the key ring {} has mode {mode:04o}, so that others can use it; run `chmod 600 {}`", .path.display(), .path.display())]
    OpenToOthers {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A directory, a device, or far too long.
    #[error("{} is no key ring: not a text file of at most 1 MiB", .0.display())]
    NotARing(PathBuf),
    /// The operating system says no.
    #[error("cannot {action} the key ring {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl KeyRingFileError {
    /// Says whether the file may be read and not written.
    pub fn is_read_only(&self) -> bool {
        let Self::Io { action: "write", source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// What changes when a file is edited or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    // Also moves where an editor restores the modification time, and when the mode is repaired.
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl KeyRingFile {
    /// The ring at a path; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), refused_mode: OTHERS_MAY }
    }

    /// The ring at a path that somebody else fills, such as a mounted secret; a group may read it. Nothing is read yet.
    pub fn mounted(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), refused_mode: OTHERS_MAY_MOUNTED }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether something is at the path.
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Reads the ring; refuses a file that others than its owner can use.
    pub fn load(&self) -> Result<KeyRing, KeyRingError> {
        KeyRing::parse(&self.read()?.0)
    }

    /// Makes the file with one new key, durably; refuses where there is one.
    ///
    /// The file appears whole or not at all, so that a crash leaves no empty ring behind.
    pub fn create_new(&self, now: SystemTimestamp) -> Result<KeyRing, KeyRingError> {
        let text = Zeroizing::new(format!("{HEADER}\n{}", *new_entry(now)?.0));
        let draft = Draft::write(&self.path, &text, None)?;
        // Unlike a rename, a link never replaces what another process made meanwhile.
        fs::hard_link(&draft.path, &self.path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyRingFileError::Exists(self.path.clone()),
            _ => self.failed("create", source),
        })?;
        drop(draft);
        self.sync_directory()?;
        KeyRing::parse(&text)
    }

    /// Puts a new key first, durably, and keeps the others and the comments; gives the new key's id.
    pub fn add_key(&self, now: SystemTimestamp) -> Result<KeyId, KeyRingError> {
        let target = self.resolved()?;
        let locked = target.lock()?;
        let (text, metadata) = target.read()?;
        KeyRing::parse(&text)?;
        let (entry, id) = new_entry(now)?;
        let text = with_entry_first(&text, &entry);
        KeyRing::parse(&text)?;
        let draft = Draft::write(&target.path, &text, Some(&metadata))?;
        fs::rename(&draft.path, &target.path).map_err(|source| target.failed("replace", source))?;
        target.sync_directory()?;
        drop(locked);
        Ok(id)
    }

    /// Removes every key but the newest, durably: what the others encrypted can never be read again. Gives their ids.
    pub fn destroy_older_keys(&self) -> Result<Vec<KeyId>, KeyRingError> {
        let target = self.resolved()?;
        let locked = target.lock()?;
        let (text, metadata) = target.read()?;
        let ring = KeyRing::parse(&text)?;
        let newest = ring.newest().clone();
        let older: Vec<_> = ring.ids().into_iter().filter(|id| *id != newest).collect();
        let draft = Draft::write(&target.path, &with_first_key_only(&text), Some(&metadata))?;
        fs::rename(&draft.path, &target.path).map_err(|source| target.failed("replace", source))?;
        target.sync_directory()?;
        // Only now: before, a crash would have left no ring at all.
        overwrite(&locked, &metadata).map_err(|source| target.failed("overwrite", source))?;
        drop(locked);
        Ok(older)
    }

    pub(super) fn fingerprint(&self) -> Result<Fingerprint, KeyRingError> {
        let metadata = fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        Ok(Fingerprint::of(&metadata))
    }

    fn read(&self) -> Result<(Zeroizing<String>, Metadata), KeyRingFileError> {
        let file = File::open(&self.path).map_err(|source| self.unreadable(source))?;
        // Of the open file, not of the path: what is judged is what is read.
        let metadata = file.metadata().map_err(|source| self.unreadable(source))?;
        self.refuse_others(&metadata)?;
        let length = usize::try_from(metadata.len()).unwrap_or_default();
        // With room for all of it, so that no half-grown copy of the keys is left behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(length.saturating_add(1)));
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => KeyRingFileError::NotARing(self.path.clone()),
            _ => self.unreadable(source),
        })?;
        Ok((text, metadata))
    }

    fn refuse_others(&self, metadata: &Metadata) -> Result<(), KeyRingFileError> {
        if !metadata.is_file() || metadata.len() > LONGEST_FILE {
            return Err(KeyRingFileError::NotARing(self.path.clone()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & self.refused_mode == 0 {
            return Ok(());
        }
        Err(KeyRingFileError::OpenToOthers { path: self.path.clone(), mode })
    }

    /// The file behind symbolic links, so that a replacement does not cut them.
    fn resolved(&self) -> Result<Self, KeyRingFileError> {
        let path = fs::canonicalize(&self.path).map_err(|source| self.unreadable(source))?;
        Ok(Self { path, ..*self })
    }

    /// Waits until no other process is replacing the file.
    ///
    /// The file itself is locked: a lock file beside it could belong to another user, and would stay behind. As each
    /// replacement is another file, the lock counts only if the path still leads to what was locked.
    fn lock(&self) -> Result<File, KeyRingFileError> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&self.path)
                .map_err(|source| self.failed("write", source))?;
            file.lock().map_err(|source| self.failed("lock", source))?;
            let locked = file.metadata().map_err(|source| self.failed("lock", source))?;
            let current = fs::metadata(&self.path).map_err(|source| self.failed("lock", source))?;
            if (locked.dev(), locked.ino()) == (current.dev(), current.ino()) {
                return Ok(file);
            }
        }
    }

    /// Without it, a power cut could undo the replacement after data was encrypted with the new key.
    fn sync_directory(&self) -> Result<(), KeyRingFileError> {
        let synced = File::open(directory_of(&self.path)).and_then(|directory| directory.sync_all());
        synced.map_err(|source| self.failed("sync", source))
    }

    fn unreadable(&self, source: io::Error) -> KeyRingFileError {
        if source.kind() == io::ErrorKind::NotFound {
            return KeyRingFileError::Missing(self.path.clone());
        }
        self.failed("read", source)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> KeyRingFileError {
        KeyRingFileError::Io { action, path: self.path.clone(), source }
    }
}

/// A file beside the ring, not yet in its place; removed on drop, where it was not renamed.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(beside: &Path, text: &str, like: Option<&Metadata>) -> Result<Self, KeyRingFileError> {
        let name = beside.file_name().unwrap_or_default().to_string_lossy();
        let path = directory_of(beside).join(format!(".{name}.{}.new", Uuid::new_v4().simple()));
        let failed = |source| KeyRingFileError::Io { action: "write", path: path.clone(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let draft = Self { path: path.clone() };
        file.write_all(text.as_bytes()).map_err(failed)?;
        keep_owner(&file, like).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove, and nothing to do about a failure either.
        let _ = fs::remove_file(&self.path);
    }
}

/// Gives the new file the old one's owner: `sudo strongroom keys rotate` must not lock the server out.
fn keep_owner(file: &File, like: Option<&Metadata>) -> io::Result<()> {
    let Some(like) = like else { return Ok(()) };
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The lines of a new key: a comment with its id and date, and the key.
fn new_entry(now: SystemTimestamp) -> Result<(Zeroizing<String>, KeyId), KeyRingError> {
    let line = KeyRing::generate_line()?;
    let id = KeyRing::parse(&line)?.newest().clone();
    let created = OffsetDateTime::from_unix_timestamp(now / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    Ok((Zeroizing::new(format!("# key {id}, created {created}\n{}\n", *line)), id))
}

/// The text up to and with its first key.
fn with_first_key_only(text: &str) -> Zeroizing<String> {
    let first_key = key_lines(text).next().map_or(0, |(number, _)| number);
    let mut changed = Zeroizing::new(String::with_capacity(text.len()));
    for line in text.lines().take(first_key) {
        changed.push_str(line);
        changed.push('\n');
    }
    changed
}

/// Writes over what a file holds. File systems may keep older blocks, and back-ups do.
fn overwrite(file: &File, metadata: &Metadata) -> io::Result<()> {
    let mut file = file;
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    file.write_all(&vec![b'#'; length])?;
    file.sync_all()
}

/// Puts an entry before the first key and the comments that stand right above it.
fn with_entry_first(text: &str, entry: &str) -> Zeroizing<String> {
    let lines: Vec<&str> = text.lines().collect();
    let first_key = key_lines(text).next().map_or(0, |(number, _)| number.saturating_sub(1));
    let comments = lines.iter().take(first_key).rev().take_while(|line| line.trim_start().starts_with('#')).count();
    let (above, below) = lines.split_at(first_key.saturating_sub(comments));
    let mut changed = Zeroizing::new(String::with_capacity(text.len() + entry.len() + 2));
    for line in above {
        changed.push_str(line);
        changed.push('\n');
    }
    changed.push_str(entry);
    for line in below {
        changed.push_str(line);
        changed.push('\n');
    }
    changed
}

#[cfg(test)]
#[path = "key_ring_file_tests.rs"]
mod tests;
