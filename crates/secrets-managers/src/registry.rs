//! From a kind, as in the configuration, to its secrets manager: the only place that knows them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_domain::{CiphertextStore, SecretValue, SecretsError, SecretsErrorKind, SecretsManager};

use crate::{EncryptedDatabase, InMemory, SharedKeyRing};

/// Every kind that can be configured. Each one stands in the conformance suite too, or the suite fails.
pub const KINDS: &[&str] = &[EncryptedDatabase::KIND, InMemory::KIND];

/// What secrets managers are built from; each takes what it needs.
pub struct Parts {
    /// Where the encrypted database keeps its rows.
    pub ciphertexts: Arc<dyn CiphertextStore>,
    /// The keys of the encrypted database.
    pub ring: SharedKeyRing,
    /// How the store is reached: `secretsManagerConfiguration.parameters`.
    pub parameters: BTreeMap<String, SecretValue>,
    /// Tags that every secret gets, where the store has such.
    pub tags: Vec<(String, String)>,
    /// What names of secrets begin with; may be empty.
    pub prefix: String,
    /// The cluster, behind the prefix.
    pub cluster: String,
}

/// Builds the secrets manager of a kind; [`SecretsErrorKind::Settings`] names the known ones where there is none.
pub async fn build(kind: &str, parts: Parts) -> Result<Arc<dyn SecretsManager>, SecretsError> {
    match kind {
        EncryptedDatabase::KIND => Ok(Arc::new(EncryptedDatabase::new(parts.ciphertexts, parts.ring))),
        InMemory::KIND => Ok(Arc::new(InMemory::new())),
        _ => Err(SecretsError::new(SecretsErrorKind::Settings, "secrets manager", "build")
            .because(format!("there is no kind \"{kind}\"; the kinds are {}", KINDS.join(", ")))),
    }
}
