//! Everything the server keeps on disk, in one directory that only its user can read.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Files that we make, unless they are elsewhere.
const OURS: [&str; 3] = ["keys", "strongroom.db", ADMIN_TOKEN];

/// The file of the first admin's token.
const ADMIN_TOKEN: &str = "admin-token";

/// The data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// Makes the directory (mode 0700) where there is none; takes access from others where there is one.
    pub(crate) fn prepare(path: &Path) -> anyhow::Result<Self> {
        let in_context = || format!("the data directory {} (dataDir, STRONGROOM_DATA_DIR)", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(in_context)?;
        let mode = fs::metadata(path).with_context(in_context)?.permissions().mode();
        if mode & 0o077 != 0 {
            ensure!(
                is_ours_or_empty(path).with_context(in_context)?,
                "the data directory {} holds files of others and is open to them; name an empty one, or a new one \
                 (dataDir, STRONGROOM_DATA_DIR)",
                path.display()
            );
            fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(in_context)?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The first admin's token.
    pub(crate) fn admin_token(&self) -> PathBuf {
        self.path.join(ADMIN_TOKEN)
    }

    /// Writes the first admin's token, alone on a line; a crash leaves the old file or the new one.
    pub(crate) fn write_admin_token(&self, token: &str) -> io::Result<()> {
        let part = self.path.join(".admin-token.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(&part, self.admin_token())?;
        fs::File::open(&self.path)?.sync_all()
    }
}

/// Whether nothing would be taken from others by closing the directory to them.
fn is_ours_or_empty(path: &Path) -> io::Result<bool> {
    let is_empty = fs::read_dir(path)?.next().is_none();
    Ok(is_empty || OURS.iter().any(|file| path.join(file).exists()))
}
