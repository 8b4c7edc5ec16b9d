//! Secrets encrypted in our own database: the store that needs nothing but a key ring.

mod cipher;
mod key_ring;
mod key_ring_file;
mod ring_key;
mod row_macs;
mod shared_key_ring;

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_domain::{
    CheckStep, CiphertextStore, FoundSecret, Limits, NamedSecret, NamedVersion, SealedSecret, Sealer, SecretId,
    SecretPut, SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, StoreError, StoredSecret,
};
use uuid::Uuid;

use self::cipher::CipherError;
pub use self::key_ring::{KeyRing, KeyRingError};
pub use self::key_ring_file::{KeyRingFile, KeyRingFileError};
pub use self::ring_key::WeakKey;
pub use self::shared_key_ring::SharedKeyRing;
use crate::probe;

/// Far above any password, key or certificate chain, far below what makes a row slow.
const VALUE_BYTES: usize = 65_536;
/// How many rows one read of the database names.
const READ_BATCH: usize = 1_000;

/// Keeps secrets encrypted in rows of our own database. Only the server can read them: a worker has no key ring.
pub struct EncryptedDatabase {
    store: Arc<dyn CiphertextStore>,
    ring: SharedKeyRing,
}

impl EncryptedDatabase {
    /// The name of the kind, as in the configuration.
    pub const KIND: &'static str = "db";

    /// Keeps rows in this store under the keys of this ring.
    pub fn new(store: Arc<dyn CiphertextStore>, ring: SharedKeyRing) -> Self {
        Self { store, ring }
    }

    async fn get_batch(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let stored: Vec<_> = secrets.iter().map(NamedVersion::stored).collect();
        match self.store.load(&stored).await {
            Ok(rows) if rows.len() == secrets.len() => {
                stored.iter().zip(rows).map(|(secret, row)| self.read(secret, row)).collect()
            }
            Ok(_) => fail_each(&stored, &StoreError::Unexpected("another number of rows than asked for".to_owned())),
            Err(error) => fail_each(&stored, &error),
        }
    }

    fn read(&self, secret: &StoredSecret, row: Option<Vec<u8>>) -> Result<FoundSecret, SecretsError> {
        let row = row.ok_or_else(|| error(SecretsErrorKind::NotFound, "get").on(&secret.id))?;
        Ok(FoundSecret::now(self.open(secret, &row)?, true))
    }

    async fn has(&self, secret: &StoredSecret) -> Result<bool, SecretsError> {
        let rows = self.store.load(std::slice::from_ref(secret)).await;
        let rows = rows.map_err(|error| not_stored(error, "get").on(&secret.id))?;
        Ok(rows.into_iter().any(|row| row.is_some()))
    }
}

#[async_trait]
impl SecretsManager for EncryptedDatabase {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: VALUE_BYTES, read_batch: READ_BATCH, keeps_versions: true, reachable_by_workers: false }
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        let id = &put.secret.id;
        check_length(id, put.value)?;
        let stored = StoredSecret { id: id.clone(), version: version_of(put.token) };
        if put.is_repeated && self.has(&stored).await? {
            return Ok(stored.version);
        }
        let sealed = self.reseal(&stored, put.value)?;
        self.store.insert(sealed).await.map_err(|error| not_stored(error, "put").on(id))?;
        Ok(stored.version)
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let secret = secret.stored();
        let rows = self.store.load(std::slice::from_ref(&secret)).await;
        let row = rows.map_err(|error| not_stored(error, "get").on(&secret.id))?.into_iter().next().flatten();
        self.read(&secret, row)
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut values = Vec::with_capacity(secrets.len());
        for batch in secrets.chunks(READ_BATCH) {
            values.extend(self.get_batch(batch).await);
        }
        values
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        let stored = StoredSecret { id: secret.id.clone(), version: version_of(token) };
        Ok(self.has(&stored).await?.then_some(stored.version))
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        let id = &secret.id;
        self.store.delete(id).await.map_err(|error| not_stored(error, "delete").on(id))
    }

    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        let deleted = self.store.delete_version(&secret.stored()).await;
        deleted.map_err(|error| not_stored(error, "delete version").on(&secret.secret.id))
    }

    async fn check(&self) -> Vec<CheckStep> {
        vec![probe::round_trip(self).await]
    }

    fn sealer(&self) -> Option<&dyn Sealer> {
        Some(self)
    }
}

fn version_of(token: Uuid) -> SecretVersion {
    SecretVersion::new(token.simple().to_string())
}

fn check_length(id: &SecretId, value: &SecretValue) -> Result<(), SecretsError> {
    if value.len() > VALUE_BYTES {
        return Err(error(SecretsErrorKind::TooLarge { limit: VALUE_BYTES }, "put").on(id));
    }
    Ok(())
}

impl Sealer for EncryptedDatabase {
    fn seal(&self, id: &SecretId, value: &SecretValue) -> Result<SealedSecret, SecretsError> {
        check_length(id, value)?;
        self.reseal(&StoredSecret { id: id.clone(), version: SecretVersion::random() }, value)
    }

    fn reseal(&self, secret: &StoredSecret, value: &SecretValue) -> Result<SealedSecret, SecretsError> {
        let ring = self.ring.current();
        let ciphertext = cipher::seal(&ring, secret, value)
            .map_err(|source| error(SecretsErrorKind::Unexpected, "put").on(&secret.id).caused_by(source))?;
        // As the envelope has it: which key encrypts may have changed since.
        let key_id = cipher::key_of(&ciphertext).map_or_else(|| ring.encrypting().clone(), ring_key::key_id);
        Ok(SealedSecret { secret: secret.clone(), key_id, ciphertext })
    }

    fn open(&self, secret: &StoredSecret, ciphertext: &[u8]) -> Result<SecretValue, SecretsError> {
        // A key that another process added is looked for in the file; where there is none, opening says which.
        let named = cipher::key_of(ciphertext);
        let ring = named.and_then(|key| self.ring.ring_with(|ring| ring.key_of_envelope(key).is_some()));
        let ring = ring.unwrap_or_else(|| self.ring.current());
        cipher::open(&ring, secret, ciphertext).map_err(|source| unreadable(secret, source))
    }
}

fn error(kind: SecretsErrorKind, operation: &'static str) -> SecretsError {
    SecretsError::new(kind, EncryptedDatabase::KIND, operation)
}

fn unreadable(secret: &StoredSecret, source: CipherError) -> SecretsError {
    let detail = match &source {
        CipherError::UnknownKey(key) => format!("put key {key} back into the key ring"),
        CipherError::NotAnEnvelope | CipherError::Mismatch | CipherError::NotEncrypted => {
            "the row was changed outside Strongroom, or belongs to another secret".to_owned()
        }
    };
    error(SecretsErrorKind::Corrupt, "get").on(&secret.id).because(detail).caused_by(source)
}

fn not_stored(source: StoreError, operation: &'static str) -> SecretsError {
    error(kind_of(&source), operation).caused_by(source)
}

fn fail_each(secrets: &[StoredSecret], cause: &StoreError) -> Vec<Result<FoundSecret, SecretsError>> {
    let failure = |secret: &StoredSecret| Err(error(kind_of(cause), "get").on(&secret.id).caused_by(same(cause)));
    secrets.iter().map(failure).collect()
}

fn kind_of(error: &StoreError) -> SecretsErrorKind {
    match error {
        StoreError::Unavailable(_) => SecretsErrorKind::Unavailable,
        StoreError::Corrupt(_) => SecretsErrorKind::Corrupt,
        StoreError::Unexpected(_) => SecretsErrorKind::Unexpected,
    }
}

/// One failed read fails many secrets, and each error owns its cause.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::Unexpected(text) => StoreError::Unexpected(text.clone()),
    }
}

#[cfg(test)]
mod tests;
