//! Opens a fresh backend of each kind, through the registry, as the server does.

use std::sync::Arc;

use strongroom_database::{SqliteDatabase, SqliteOptions};
use strongroom_domain::SecretsManager;
use strongroom_secrets_managers::registry::{self, Parts};
use strongroom_secrets_managers::{KeyRingFile, SharedKeyRing};
use tempfile::TempDir;

/// A backend, and the directory that goes when it goes.
pub(crate) struct Backend {
    pub(crate) manager: Arc<dyn SecretsManager>,
    _directory: TempDir,
}

pub(crate) async fn in_encrypted_database() -> Backend {
    open("db")
}

pub(crate) async fn in_memory() -> Backend {
    open("in-memory")
}

fn open(kind: &str) -> Backend {
    let directory = TempDir::new().unwrap();
    let manager = registry::build(kind, parts(&directory)).unwrap();
    Backend { manager, _directory: directory }
}

/// What the server builds secrets managers from: a database and a key ring, both in this directory.
pub(crate) fn parts(directory: &TempDir) -> Parts {
    let keys = KeyRingFile::new(directory.path().join("keys"));
    keys.create_new(0).unwrap();
    let database = SqliteDatabase::open(&SqliteOptions::new(directory.path().join("strongroom.db"))).unwrap();
    Parts { ciphertexts: Arc::new(database), ring: SharedKeyRing::load(keys).unwrap() }
}
