//! The parts, put together: configuration in, use cases out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use strongroom_database::{AuditSync, SqliteDatabase, SqliteOptions};
use strongroom_domain::{
    AccessTokens, CatalogSettings, Clock, ConnectionTypes, KeyRotation, KeyUsageStore, NameSettings, SecretWords,
    SecretsManager, ServiceCatalog, ServiceStore,
};
use strongroom_secrets_managers::registry::{self, Parts};
use strongroom_secrets_managers::{KeyRingFile, SharedKeyRing};

use crate::config::{AuditSync as ConfiguredSync, Config, SecretsManagerKind};
use crate::data_directory::DataDirectory;
use crate::first_admin;
use crate::system_clock::SystemClock;

/// All parts of a running Strongroom.
pub(crate) struct Application {
    pub(crate) directory: DataDirectory,
    pub(crate) database: SqliteDatabase,
    pub(crate) ring: SharedKeyRing,
    pub(crate) secrets: Arc<dyn SecretsManager>,
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
        purpose == Purpose::Server || config.database.path.exists(),
        "there is no database {}; start the server once, or name its data directory (--data-dir, STRONGROOM_DATA_DIR)",
        config.database.path.display()
    );
    let directory = DataDirectory::prepare(&config.data_dir)?;
    let database = open_database(config)?;
    let ring = open_ring(&directory, &database).await?;
    if purpose == Purpose::Server && config.secrets_manager.kind == SecretsManagerKind::InMemory {
        ensure!(
            database.is_empty().await?,
            "secretsManager is in-memory, and the database holds services whose secrets would be out of reach; \
             use db, or a new data directory"
        );
    }
    let parts = Parts { ciphertexts: Arc::new(database.clone()), ring: ring.clone() };
    let secrets = registry::build(config.secrets_manager.kind.name(), parts)?;
    let types = Arc::new(load_types(config)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (store, signer) = (Arc::new(database.clone()), Arc::new(ring.clone()));
    let tokens = Arc::new(AccessTokens::new(store.clone(), signer.clone(), Arc::clone(&clock)));
    let names = NameSettings { prefix: config.secrets_manager.prefix.clone(), cluster: config.cluster_name.clone() };
    let settings = CatalogSettings { names, cache_bytes: config.cache.max_bytes() };
    let catalog = ServiceCatalog::new(types, store.clone(), store, Arc::clone(&secrets), signer, clock, settings);
    first_admin::ensure_exists(&tokens, &directory).await?;
    Ok(Application { directory, database, ring, secrets, catalog: Arc::new(catalog), tokens })
}

fn open_database(config: &Config) -> anyhow::Result<SqliteDatabase> {
    let mut options = SqliteOptions::new(&config.database.path);
    options.audit_sync = match config.audit.sync {
        ConfiguredSync::Normal => AuditSync::Normal,
        ConfiguredSync::Always => AuditSync::Always,
    };
    let path = config.database.path.display();
    SqliteDatabase::open(&options).with_context(|| format!("the database {path} cannot be opened"))
}

/// The key ring; made only where nothing was ever encrypted, or a lost file would go unnoticed.
async fn open_ring(directory: &DataDirectory, database: &SqliteDatabase) -> anyhow::Result<SharedKeyRing> {
    let file = KeyRingFile::new(directory.keys());
    let needed: Vec<_> = database.key_usage().await?.into_iter().map(|usage| usage.key_id).collect();
    if !file.exists() {
        if !needed.is_empty() {
            bail!(
                "the key ring {} is missing, and the database needs the keys {}; put the file back from your back-up",
                directory.keys().display(),
                joined(&needed)
            );
        }
        file.create_new(SystemClock.now()).context("the key ring cannot be made")?;
    }
    let ring = SharedKeyRing::load(file)?;
    let current = ring.current();
    let missing: Vec<_> = needed.into_iter().filter(|id| !current.contains(id)).collect();
    if !missing.is_empty() {
        bail!(
            "the key ring {} lacks the keys {}, which the database needs; put them back from your back-up",
            directory.keys().display(),
            joined(&missing)
        );
    }
    Ok(ring)
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

impl Application {
    /// What a rotation needs.
    pub(crate) fn rotation(&self) -> KeyRotation {
        let store = Arc::new(self.database.clone());
        KeyRotation {
            services: store.clone(),
            principals: store.clone(),
            ciphertexts: store,
            signer: Arc::new(self.ring.clone()),
        }
    }
}
