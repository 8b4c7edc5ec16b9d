//! Secrets in the memory of this process. For tries and tests only: they are lost when the process ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use strongroom_domain::{
    CheckStep, FoundSecret, Limits, NamedSecret, NamedVersion, PutMode, SecretId, SecretPut, SecretValue,
    SecretVersion, SecretsError, SecretsErrorKind, SecretsManager,
};
use uuid::Uuid;

use crate::probe;

/// As the encrypted database, so that what was tried here fits there.
const VALUE_BYTES: usize = 65_536;

/// Keeps secrets in memory, each version until it is deleted; all are lost when the process ends.
#[derive(Default)]
pub struct InMemory {
    secrets: RwLock<HashMap<SecretId, Versions>>,
}

/// The versions of one secret.
#[derive(Default)]
struct Versions {
    values: HashMap<SecretVersion, SecretValue>,
    current: Option<SecretVersion>,
}

impl InMemory {
    /// The name of the kind, as in the configuration.
    pub const KIND: &'static str = "in-memory";

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let (id, version) = (&secret.secret.id, &secret.version);
        let secrets = self.read();
        let versions = secrets.get(id).ok_or_else(|| missing(id))?;
        let value = versions.values.get(version).ok_or_else(|| missing(id))?.clone();
        Ok(FoundSecret::now(value, versions.current.as_ref() == Some(version)))
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

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        let id = &put.secret.id;
        if put.value.len() > VALUE_BYTES {
            return Err(error(SecretsErrorKind::TooLarge { limit: VALUE_BYTES }, "put").on(id));
        }
        let version = SecretVersion::new(put.token.simple().to_string());
        let mut secrets = self.write();
        let versions = secrets.entry(id.clone()).or_default();
        versions.values.insert(version.clone(), put.value.clone());
        if put.mode != PutMode::Replace || versions.current.is_none() {
            versions.current = Some(version.clone());
        }
        Ok(version)
    }

    async fn make_current(&self, secret: &NamedVersion, _: Option<&SecretVersion>) -> Result<(), SecretsError> {
        let id = &secret.secret.id;
        let mut secrets = self.write();
        let versions = secrets.get_mut(id).ok_or_else(|| missing(id))?;
        versions.current = Some(secret.version.clone());
        Ok(())
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        self.find(secret)
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        secrets.iter().map(|secret| self.find(secret)).collect()
    }

    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        let secrets = self.read();
        let found = secrets.get(&secret.id).and_then(|versions| {
            let current = versions.current.clone()?;
            let value = versions.values.get(&current)?.clone();
            Some((current, value))
        });
        found.ok_or_else(|| missing(&secret.id))
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        let version = SecretVersion::new(token.simple().to_string());
        let secrets = self.read();
        let is_there = secrets.get(&secret.id).is_some_and(|versions| versions.values.contains_key(&version));
        Ok(is_there.then_some(version))
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.write().remove(&secret.id);
        Ok(())
    }

    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        let mut secrets = self.write();
        let Some(versions) = secrets.get_mut(&secret.secret.id) else { return Ok(()) };
        versions.values.remove(&secret.version);
        if versions.values.is_empty() {
            secrets.remove(&secret.secret.id);
        }
        Ok(())
    }

    async fn check(&self) -> Vec<CheckStep> {
        vec![probe::round_trip(self).await]
    }
}

fn missing(id: &SecretId) -> SecretsError {
    error(SecretsErrorKind::NotFound, "get").on(id)
}

fn error(kind: SecretsErrorKind, operation: &'static str) -> SecretsError {
    SecretsError::new(kind, InMemory::KIND, operation)
}
