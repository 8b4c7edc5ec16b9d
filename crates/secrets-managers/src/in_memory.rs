//! Secrets in the memory of this process. For tries and tests only: they are lost when the process ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use strongroom_domain::{
    Limits, SecretId, SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, StoredSecret,
};

use crate::probe;

/// As the encrypted database, so that what was tried here fits there.
const VALUE_BYTES: usize = 65_536;

/// Keeps secrets in memory, each version until it is deleted; all are lost when the process ends.
#[derive(Default)]
pub struct InMemory {
    secrets: RwLock<HashMap<SecretId, Versions>>,
}

type Versions = HashMap<SecretVersion, SecretValue>;

impl InMemory {
    /// The name of the kind, as in the configuration.
    pub const KIND: &'static str = "in-memory";

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, secret: &StoredSecret) -> Result<SecretValue, SecretsError> {
        let secrets = self.read();
        let value = secrets.get(&secret.id).and_then(|versions| versions.get(&secret.version));
        value.cloned().ok_or_else(|| error(SecretsErrorKind::NotFound, "get").on(&secret.id))
    }

    // The map stays whole where a thread panicked: each change of it is one call.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<SecretId, Versions>> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SecretId, Versions>> {
        self.secrets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "InMemory({} secrets, redacted)", self.read().len())
    }
}

#[async_trait]
impl SecretsManager for InMemory {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: VALUE_BYTES, read_batch: usize::MAX, keeps_versions: true, reachable_by_workers: false }
    }

    async fn put(&self, id: &SecretId, value: &SecretValue) -> Result<SecretVersion, SecretsError> {
        if value.len() > VALUE_BYTES {
            return Err(error(SecretsErrorKind::TooLarge { limit: VALUE_BYTES }, "put").on(id));
        }
        let version = SecretVersion::random();
        self.write().entry(id.clone()).or_default().insert(version.clone(), value.clone());
        Ok(version)
    }

    async fn get(&self, secret: &StoredSecret) -> Result<SecretValue, SecretsError> {
        self.find(secret)
    }

    async fn get_many(&self, secrets: &[StoredSecret]) -> Vec<Result<SecretValue, SecretsError>> {
        secrets.iter().map(|secret| self.find(secret)).collect()
    }

    async fn delete(&self, id: &SecretId) -> Result<(), SecretsError> {
        self.write().remove(id);
        Ok(())
    }

    async fn delete_version(&self, secret: &StoredSecret) -> Result<(), SecretsError> {
        let mut secrets = self.write();
        let Some(versions) = secrets.get_mut(&secret.id) else { return Ok(()) };
        versions.remove(&secret.version);
        if versions.is_empty() {
            secrets.remove(&secret.id);
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), SecretsError> {
        probe::round_trip(self).await
    }
}

fn error(kind: SecretsErrorKind, operation: &'static str) -> SecretsError {
    SecretsError::new(kind, InMemory::KIND, operation)
}
