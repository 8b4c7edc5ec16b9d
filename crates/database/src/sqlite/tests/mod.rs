//! What is about `SQLite` alone, with real files in temporary folders. What every engine promises is tested in
//! `tests/store/`.

mod batches;
mod content;
mod copies;
mod faults;
mod opening;
mod other_processes;
mod reads;
mod remains;

use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_domain::{
    AuditAction, AuditEntry, AuditLog, AuditQuery, EntityVersion, Family, IntentChanges, KeyId, NameChanges, RowMac,
    SealedSecret, SecretId, SecretVersion, ServiceKey, ServiceRow, ServiceStore, ServiceWrite, ServiceWriteError,
    StoreError, StoredSecret, StoredService,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{SqliteDatabase, SqliteOptions};

/// A database in a folder that goes with it.
struct Scratch {
    database: SqliteDatabase,
    path: PathBuf,
    // Dropped last.
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut SqliteOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strongroom.db");
        // Generous, so that a busy machine fails no test that is not about time.
        let mut options = SqliteOptions { answer_timeout: Duration::from_secs(30), ..SqliteOptions::new(&path) };
        adjust(&mut options);
        Self { database: SqliteDatabase::open(&options).unwrap(), path, folder }
    }

    /// With the timeouts of a server.
    fn impatient() -> Self {
        Self::with(|options| options.answer_timeout = SqliteOptions::new("").answer_timeout)
    }

    /// A connection as another process would have it.
    fn other_connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }

    async fn find(&self, fqn: &str) -> Option<StoredService> {
        self.database.find(Family::Database, &ServiceKey::Name(fqn.to_owned())).await.unwrap()
    }

    async fn create(&self, fqn: &str) -> ServiceRow {
        let row = row(fqn);
        write(&self.database, creation(row.clone())).await.unwrap();
        row
    }

    async fn audit_count(&self) -> usize {
        let query = AuditQuery { limit: 10_000, ..AuditQuery::default() };
        AuditLog::page(&self.database, query).await.unwrap().entries.len()
    }
}

/// The inherent `write` of the database is another one.
async fn write(database: &SqliteDatabase, write: ServiceWrite) -> Result<(), ServiceWriteError> {
    ServiceStore::write(database, write).await
}

fn mac(key: &str, tag: u8) -> RowMac {
    RowMac { key_id: KeyId::new(key), tag: vec![tag; 32] }
}

fn row(fqn: &str) -> ServiceRow {
    ServiceRow {
        id: Uuid::new_v4(),
        family: Family::Database,
        fqn: fqn.to_owned(),
        deleted: false,
        version: EntityVersion::FIRST,
        revision: 1,
        document: format!(r#"{{"name":"{fqn}"}}"#),
        secrets: "[]".to_owned(),
        mac: mac("first-key", 1),
    }
}

fn entry(action: AuditAction, subject_id: Uuid, subject: &str) -> AuditEntry {
    AuditEntry {
        sequence: 0,
        at: 1_700_000_000_000,
        actor: "admin".to_owned(),
        action,
        family: Some(Family::Database),
        subject_id: Some(subject_id),
        subject: subject.into(),
        secret_paths: ["/config/password".to_owned()].into(),
        address: "127.0.0.1".to_owned(),
        request_id: "request".into(),
    }
}

fn creation(row: ServiceRow) -> ServiceWrite {
    ServiceWrite {
        audit: entry(AuditAction::Create, row.id, &row.fqn),
        row,
        expected_revision: None,
        sealed: Vec::new(),
        superseded: Vec::new(),
        names: NameChanges::default(),
        intents: IntentChanges::default(),
        history: None,
    }
}

/// The write that changes nothing but the revision.
fn next(row: &ServiceRow) -> ServiceWrite {
    let next = ServiceRow { revision: row.revision + 1, ..row.clone() };
    ServiceWrite {
        expected_revision: Some(row.revision),
        audit: entry(AuditAction::Update, row.id, &row.fqn),
        ..creation(next)
    }
}

fn sealed(owner: Uuid, path: &str, version: &str, ciphertext: &[u8]) -> SealedSecret {
    SealedSecret {
        secret: stored(owner, path, version),
        key_id: KeyId::new("first-key"),
        ciphertext: ciphertext.to_vec(),
    }
}

fn stored(owner: Uuid, path: &str, version: &str) -> StoredSecret {
    StoredSecret { id: SecretId::of_service(owner, path), version: SecretVersion::new(version) }
}

fn is_unavailable<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

fn was_unavailable<T>(outcome: &Result<T, ServiceWriteError>) -> bool {
    matches!(outcome, Err(ServiceWriteError::Store(StoreError::Unavailable(_))))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
