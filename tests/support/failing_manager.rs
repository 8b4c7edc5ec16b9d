//! A secrets manager that does nothing but fail.

use async_trait::async_trait;
use strongroom_domain::{
    CheckStep, FoundSecret, Limits, NamedSecret, NamedVersion, SecretId, SecretPut, SecretVersion, SecretsError,
    SecretsErrorKind, SecretsManager,
};
use uuid::Uuid;

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

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.fail("put", &put.secret.id)
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        self.fail("get", &secret.secret.id)
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        secrets.iter().map(|secret| self.fail("get", &secret.secret.id)).collect()
    }

    async fn find_put(&self, secret: &NamedSecret, _: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        self.fail("find", &secret.id)
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.fail("delete", &secret.id)
    }

    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        self.fail("delete version", &secret.secret.id)
    }

    async fn check(&self) -> Vec<CheckStep> {
        vec![CheckStep { step: "round trip", outcome: Err(SecretsError::new(self.0, self.kind(), "check")) }]
    }
}
