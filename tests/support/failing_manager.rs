//! A secrets manager that does nothing but fail.

use async_trait::async_trait;
use strongroom_domain::{
    Limits, SecretId, SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, StoredSecret,
};

/// Fails every call in the same way: for tests of what happens to a caller whose store is away.
#[derive(Debug)]
pub(crate) struct FailingManager(SecretsErrorKind);

impl FailingManager {
    /// A store that cannot be reached.
    pub(crate) fn unavailable() -> Self {
        Self(SecretsErrorKind::Unavailable)
    }

    /// A store that refuses our credentials.
    pub(crate) fn permission_denied() -> Self {
        Self(SecretsErrorKind::PermissionDenied)
    }

    fn fail<T>(&self, operation: &'static str, id: &SecretId) -> Result<T, SecretsError> {
        Err(SecretsError::new(self.0, self.kind(), operation).on(id))
    }
}

#[async_trait]
impl SecretsManager for FailingManager {
    fn kind(&self) -> &'static str {
        "failing"
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: 65_536, read_batch: 100, keeps_versions: true, reachable_by_workers: false }
    }

    async fn put(&self, id: &SecretId, _: &SecretValue) -> Result<SecretVersion, SecretsError> {
        self.fail("put", id)
    }

    async fn get(&self, secret: &StoredSecret) -> Result<SecretValue, SecretsError> {
        self.fail("get", &secret.id)
    }

    async fn get_many(&self, secrets: &[StoredSecret]) -> Vec<Result<SecretValue, SecretsError>> {
        secrets.iter().map(|secret| self.fail("get", &secret.id)).collect()
    }

    async fn delete(&self, id: &SecretId) -> Result<(), SecretsError> {
        self.fail("delete", id)
    }

    async fn delete_version(&self, secret: &StoredSecret) -> Result<(), SecretsError> {
        self.fail("delete version", &secret.id)
    }

    async fn check(&self) -> Result<(), SecretsError> {
        Err(SecretsError::new(self.0, self.kind(), "check"))
    }
}
