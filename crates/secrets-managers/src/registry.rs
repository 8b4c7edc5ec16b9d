//! From a kind, as in the configuration, to its secrets manager: the only place that knows them all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use strongroom_domain::{CiphertextStore, SecretValue, SecretsError, SecretsErrorKind, SecretsManager};

#[cfg(feature = "aws-parameter-store")]
use crate::aws::AwsParameterStore;
#[cfg(feature = "aws-secrets-manager")]
use crate::aws::AwsSecretsManager;
use crate::layers::CacheTimes;
#[cfg(feature = "aws")]
use crate::layers::{Cache, Retry};
use crate::{EncryptedDatabase, InMemory, SharedKeyRing};

/// Every kind that can be configured. Each one stands in the conformance suite too, or the suite fails.
pub const KINDS: &[&str] = &[
    EncryptedDatabase::KIND,
    InMemory::KIND,
    #[cfg(feature = "aws-secrets-manager")]
    AwsSecretsManager::KIND,
    #[cfg(feature = "aws-parameter-store")]
    AwsParameterStore::KIND,
];

/// What secrets managers are built from; each takes what it needs.
pub struct Parts {
    /// Where the encrypted database keeps its rows.
    pub ciphertexts: Arc<dyn CiphertextStore>,
    /// The keys of the encrypted database.
    pub ring: SharedKeyRing,
    /// What stores outside are built from.
    pub store: StoreParts,
}

/// What stores outside of our database are built from.
#[derive(Clone, Default)]
pub struct StoreParts {
    /// `secretsManagerConfiguration.parameters`.
    pub parameters: BTreeMap<String, SecretValue>,
    /// `secretsManagerConfiguration.tags`: key and value.
    pub tags: Vec<(String, String)>,
    /// `secretsManagerConfiguration.prefix`; may be empty.
    pub prefix: String,
    /// `clusterName`.
    pub cluster: String,
    /// For how long values of stores outside are remembered.
    pub cache: CacheTimes,
}

impl StoreParts {
    /// What the names of this cluster's secrets begin with: `/<prefix>/<cluster>`.
    #[cfg(feature = "aws")]
    pub(crate) fn root(&self) -> String {
        let parts = [&self.prefix, &self.cluster].into_iter().filter(|part| !part.is_empty());
        parts.fold(String::new(), |root, part| root + "/" + &part.to_ascii_lowercase())
    }
}

impl fmt::Debug for StoreParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreParts(/{}/{}, redacted)", self.prefix, self.cluster)
    }
}

/// A secrets manager, ready for use.
#[derive(Clone)]
pub struct Built {
    /// For requests, whose callers wait: gives up after seconds.
    pub manager: Arc<dyn SecretsManager>,
    /// The same for jobs, which rather wait than fail. Both share the pace and what is known of outages.
    pub patient: Arc<dyn SecretsManager>,
}

impl Built {
    fn plain(manager: impl SecretsManager + 'static) -> Self {
        let manager: Arc<dyn SecretsManager> = Arc::new(manager);
        Self { patient: Arc::clone(&manager), manager }
    }

    /// Jobs read what the store has now.
    #[cfg(feature = "aws")]
    fn with_layers(retry: Retry, cache: CacheTimes) -> Result<Self, SecretsError> {
        let patient = Arc::new(retry.patient());
        if cache.fresh.is_zero() {
            return Ok(Self { patient, manager: Arc::new(retry) });
        }
        Ok(Self { patient, manager: Arc::new(Cache::new(Arc::new(retry), cache)?) })
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Built({})", self.manager.place())
    }
}

/// Builds the secrets manager of a kind; [`SecretsErrorKind::Settings`] names the known ones where there is none, or the
/// parameter that is wrong. Calls no store yet.
pub async fn build(kind: &str, parts: Parts) -> Result<Built, SecretsError> {
    match kind {
        EncryptedDatabase::KIND => Ok(Built::plain(EncryptedDatabase::new(parts.ciphertexts, parts.ring))),
        InMemory::KIND => Ok(Built::plain(InMemory::new())),
        _ => match build_store(kind, &parts.store).await? {
            Some(built) => Ok(built),
            None => Err(SecretsError::new(SecretsErrorKind::Settings, "secrets manager", "build")
                .because(format!("there is no kind \"{kind}\"; the kinds are {}", KINDS.join(", ")))),
        },
    }
}

/// A store outside of our database; none: this kind is not one, or not built in.
#[cfg_attr(not(feature = "aws"), allow(unused_variables, clippy::unused_async))] // built without any store outside
async fn build_store(kind: &str, parts: &StoreParts) -> Result<Option<Built>, SecretsError> {
    match kind {
        #[cfg(feature = "aws-secrets-manager")]
        AwsSecretsManager::KIND => {
            let store = AwsSecretsManager::open(parts).await?;
            let quotas = store.quotas();
            Built::with_layers(Retry::new(Arc::new(store), quotas), parts.cache).map(Some)
        }
        #[cfg(feature = "aws-parameter-store")]
        AwsParameterStore::KIND => {
            let store = AwsParameterStore::open(parts).await?;
            let quotas = store.quotas();
            Built::with_layers(Retry::new(Arc::new(store), quotas), parts.cache).map(Some)
        }
        _ => Ok(None),
    }
}
