//! The parts, put together: configuration in, use cases out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use strongroom_database::Database;
use strongroom_domain::{
    AccessTokens, CatalogSettings, Clock, ConnectionTypes, NameSettings, SecretWords, ServiceCatalog, StoreError,
};
use strongroom_secrets_managers::SharedKeyRing;

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::key_agreement::{KeyAgreement, encrypt_with_common_key, missing_keys};
use crate::key_ring_source::KeyRingSource;
use crate::secret_stores::ConfiguredStores;
use crate::system_clock::SystemClock;
use crate::{first_admin, open_database};

/// All parts of a running Strongroom.
pub(crate) struct Application {
    pub(crate) directory: DataDirectory,
    pub(crate) database: Database,
    pub(crate) ring: SharedKeyRing,
    pub(crate) agreement: KeyAgreement,
    pub(crate) stores: ConfiguredStores,
    types: Arc<ConnectionTypes>,
    pub(crate) catalog: Arc<ServiceCatalog>,
    pub(crate) tokens: Arc<AccessTokens>,
}

/// What the parts are put together for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server; makes what is missing at its very first start.
    Server,
    /// A command beside it; a mistyped directory must not become a new installation.
    Command,
}

/// Puts everything together; at the very first start, makes the key ring and the first admin.
pub(crate) async fn assemble(config: &Config, purpose: Purpose) -> anyhow::Result<Application> {
    ensure!(
        purpose == Purpose::Server || config.database.sqlite_path().is_none_or(Path::exists),
        "there is no database {}; start the server once, or name its data directory (--data-dir, STRONGROOM_DATA_DIR)",
        config.database.engine
    );
    let directory = DataDirectory::prepare(&config.data_dir)?;
    let database = open_database::open(config, purpose).await?;
    let source = KeyRingSource::of(&config.key_ring);
    let ring = open_ring(config, &source, &database).await?;
    let agreement = KeyAgreement::new();
    match purpose {
        Purpose::Server => {
            agreement.renew(&ring, &database).await?;
            if let Err(error) = ensure_still_fits(config, &ring, &database, &source).await {
                agreement.leave(&database).await;
                return Err(error);
            }
        }
        Purpose::Command => drop(encrypt_with_common_key(&ring, &database.replicas.live().await?)),
    }
    let stores = ConfiguredStores::open(config, &database, &ring, purpose).await?;
    let types = Arc::new(load_types(config)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let principals = Arc::clone(&database.principals);
    let tokens = Arc::new(AccessTokens::new(principals, Arc::new(ring.clone()), clock));
    let catalog = Arc::new(catalog_of(config, &types, &database, &stores, &ring, config.cache.max_bytes()));
    if purpose == Purpose::Server {
        agreement.is_configured_for(stores.wanted.place());
        first_admin::ensure_exists(&tokens, &directory).await?;
    }
    Ok(Application { directory, database, ring, agreement, stores, types, catalog, tokens })
}

impl Application {
    /// The same catalog over another handle of the database, such as one under a lease.
    pub(crate) fn catalog_over(&self, config: &Config, database: &Database) -> ServiceCatalog {
        catalog_of(config, &self.types, database, &self.stores, &self.ring, 0)
    }

    /// Does as the database says about where secrets go.
    pub(crate) async fn follow_store(&self) -> Result<(), StoreError> {
        let noted = self.database.stores.active_store().await?;
        if self.stores.wanted.kind() != "in-memory" {
            self.stores.stores.follow(noted.as_ref());
        }
        Ok(())
    }
}

fn catalog_of(
    config: &Config,
    types: &Arc<ConnectionTypes>,
    database: &Database,
    stores: &ConfiguredStores,
    ring: &SharedKeyRing,
    cache_bytes: u64,
) -> ServiceCatalog {
    let names = NameSettings { prefix: config.secrets_manager.prefix.clone(), cluster: config.cluster_name.clone() };
    let reference_prefixes = config.references.allowed_prefixes.clone();
    ServiceCatalog::new(
        Arc::clone(types),
        (Arc::clone(&database.services), Arc::clone(&database.intents)),
        Arc::clone(&database.audit),
        Arc::clone(&stores.stores),
        Arc::new(ring.clone()),
        Arc::new(SystemClock),
        CatalogSettings { names, reference_prefixes, cache_bytes },
    )
}

/// The key ring; made only where nothing was ever encrypted, or a lost file would go unnoticed.
async fn open_ring(config: &Config, source: &KeyRingSource, database: &Database) -> anyhow::Result<SharedKeyRing> {
    if !source.exists() {
        let needed: Vec<_> = database.keys.key_usage().await?.into_iter().map(|usage| usage.key_id).collect();
        if !needed.is_empty() {
            bail!(
                "the key ring {source} is missing, and the database needs the keys {}; put the file back from your \
                 back-up",
                joined(&needed)
            );
        }
        ensure!(
            config.database.sqlite_path().is_some(),
            "the key ring {source} is missing; all replicas need the same one: make it once with `strongroom keys init`, \
             and give the others a copy"
        );
        source.create()?;
    }
    let ring = source.load()?;
    ensure_complete(&ring, database, source).await?;
    Ok(ring)
}

/// Only after its announcement the others know that this server is there, and which keys it lacks: what they began just
/// before is looked for once more.
async fn ensure_still_fits(
    config: &Config,
    ring: &SharedKeyRing,
    database: &Database,
    source: &KeyRingSource,
) -> anyhow::Result<()> {
    open_database::ensure_whole(database, &config.database.engine).await?;
    ensure_complete(ring, database, source).await
}

/// Fails where a row needs a key that the ring lacks.
async fn ensure_complete(ring: &SharedKeyRing, database: &Database, source: &KeyRingSource) -> anyhow::Result<()> {
    let missing = missing_keys(ring, database).await?;
    ensure!(
        missing.is_empty(),
        "the key ring {source} lacks the keys {}, which the database needs; put them back from your back-up",
        joined(&missing)
    );
    Ok(())
}

fn joined(ids: &[strongroom_domain::KeyId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The connection types compiled in, and the operator's own.
pub(crate) fn load_types(config: &Config) -> anyhow::Result<ConnectionTypes> {
    let own = match &config.connection_types_dir {
        Some(directory) => own_types(directory)
            .with_context(|| format!("connectionTypesDir {} cannot be read", directory.display()))?,
        None => Vec::new(),
    };
    let words = SecretWords::with(&config.secret_field_names);
    ConnectionTypes::load(own, words)
        .map_err(|faults| anyhow::anyhow!("connectionTypesDir has faults:\n  {}", faults.join("\n  ")))
}

/// The files `<family>/<Type>.json` and `shared/<name>.json` of an operator, with their texts.
fn own_types(directory: &Path) -> std::io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(directory)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = file?;
            let path = format!("{}/{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy());
            if file.path().extension().is_some_and(|extension| extension == "json") {
                files.push((path, std::fs::read_to_string(file.path())?));
            }
        }
    }
    Ok(files)
}
