//! The stores that secrets are in and go into, built from the configuration and from what the database says.

use std::sync::Arc;

use anyhow::{bail, ensure};
use strongroom_database::Database;
use strongroom_domain::{ActiveStore, SecretStores, SecretValue, SecretsManager};
use strongroom_secrets_managers::registry::{self, Built, Parts, StoreParts};
use strongroom_secrets_managers::{CacheTimes, SharedKeyRing};

use crate::config::{Config, Keeps, SecretsManagerConfig, SecretsManagerKind};
use crate::wiring::Purpose;

/// The stores, and where the configuration wants secrets to go.
#[derive(Clone)]
pub(crate) struct ConfiguredStores {
    pub(crate) stores: Arc<SecretStores>,
    pub(crate) wanted: Arc<dyn SecretsManager>,
    /// The same for jobs, which rather wait than fail.
    pub(crate) patient: Arc<dyn SecretsManager>,
}

impl ConfiguredStores {
    /// Builds the stores, and follows what the database says. A server refuses to start where secrets are elsewhere than
    /// the configuration wants them and no migration leads there.
    pub(crate) async fn open(
        config: &Config,
        database: &Database,
        ring: &SharedKeyRing,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        let parts = || parts(config, &config.secrets_manager, database, ring);
        let Built { manager: encrypted, .. } = registry::build("db", parts()).await?;
        let noted = database.stores.active_store().await?;
        let mut outside = Vec::new();
        let (mut wanted, mut patient) = (Arc::clone(&encrypted), Arc::clone(&encrypted));
        if let Some((kind, keeps)) = config.secrets_manager.kind.outside() {
            let built = registry::build(kind, parts()).await?;
            if keeps == Keeps::Secrets {
                (wanted, patient) = (Arc::clone(&built.manager), built.patient);
            }
            outside.push(built.manager);
        }
        if purpose == Purpose::Server {
            ensure_one_way(config, noted.as_ref(), &wanted, database).await?;
        }
        // Secrets that are still on their way from another store of the same cloud are read from there.
        let from = noted.as_ref().and_then(|noted| noted.moving_from.as_deref());
        if let Some(from) = from.filter(|from| outside.iter().all(|store| store.place() != *from)) {
            outside.extend(store_at(from, parts()).await);
        }
        if config.secrets_manager.kind == SecretsManagerKind::InMemory {
            let stores = Arc::new(SecretStores::only(encrypted, Arc::clone(&wanted)));
            return Ok(Self { stores, wanted, patient });
        }
        let stores = Arc::new(SecretStores::new(encrypted, outside));
        stores.follow(noted.as_ref());
        Ok(Self { stores, wanted, patient })
    }

    /// Whether secrets are to be moved, or still are.
    pub(crate) fn is_moving(&self, noted: Option<&ActiveStore>) -> bool {
        let is_there = noted.map_or(self.wanted.sealer().is_some(), |noted| noted.place == self.wanted.place());
        !is_there || noted.is_some_and(|noted| noted.moving_from.is_some())
    }
}

/// A store at a place, of the kind that the place names, where these parameters lead there.
pub(crate) async fn store_at(place: &str, parts: Parts) -> Option<Arc<dyn SecretsManager>> {
    let kind = place.split(':').next().unwrap_or_default();
    let store = registry::build(kind, parts).await.ok()?.patient;
    (store.place() == place).then_some(store)
}

/// What stores are built from.
pub(crate) fn parts(
    config: &Config,
    secrets_manager: &SecretsManagerConfig,
    database: &Database,
    ring: &SharedKeyRing,
) -> Parts {
    let parameters = secrets_manager.parameters.iter();
    let store = StoreParts {
        parameters: parameters.map(|(name, value)| (name.clone(), SecretValue::from(value.clone()))).collect(),
        tags: secrets_manager.tags.clone(),
        prefix: secrets_manager.prefix.clone(),
        cluster: config.cluster_name.clone(),
        cache: CacheTimes { fresh: secrets_manager.cache, stale: secrets_manager.stale },
    };
    Parts { ciphertexts: Arc::clone(&database.ciphertexts), ring: ring.clone(), store }
}

/// Secrets move from the database to another store by themselves, and never anywhere else.
async fn ensure_one_way(
    config: &Config,
    noted: Option<&ActiveStore>,
    wanted: &Arc<dyn SecretsManager>,
    database: &Database,
) -> anyhow::Result<()> {
    let (now, kind) = (noted.map_or("db", |noted| noted.place.as_str()), config.secrets_manager.kind);
    if kind == SecretsManagerKind::InMemory {
        ensure!(
            config.database.sqlite_path().is_some(),
            "secretsManager is in-memory, and a database server is for several replicas, which would not see each \
             other's secrets; use db"
        );
        ensure!(
            now == "db" && database.services.is_empty().await?,
            "secretsManager is in-memory, and the database holds services whose secrets would be out of reach; \
             use db, or a new data directory"
        );
        return Ok(());
    }
    if now == wanted.place() || now == "db" {
        return Ok(());
    }
    bail!(
        "secrets are kept in {now}, and the configuration names {}; nothing moves back by itself: configure {now} again, or \
         stop all servers and run `strongroom secrets move --to {} --yes`",
        wanted.place(),
        kind.name()
    )
}
