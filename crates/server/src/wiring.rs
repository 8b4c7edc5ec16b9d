//! The parts, put together: configuration in, use cases out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use strongroom_database::Database;
use strongroom_domain::{
    AccessTokens, CatalogSettings, Clock, ConnectionTypes, NameSettings, SecretWords, SecretsManager, ServiceCatalog,
};
use strongroom_secrets_managers::SharedKeyRing;
use strongroom_secrets_managers::registry::{self, Parts};

use crate::config::{Config, SecretsManagerKind};
use crate::data_directory::DataDirectory;
use crate::key_agreement::{KeyAgreement, encrypt_with_common_key, missing_keys};
use crate::key_ring_source::KeyRingSource;
use crate::system_clock::SystemClock;
use crate::{first_admin, open_database};

/// All parts of a running Strongroom.
pub(crate) struct Application {
    pub(crate) directory: DataDirectory,
    pub(crate) database: Database,
    pub(crate) ring: SharedKeyRing,
    pub(crate) agreement: KeyAgreement,
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
    if purpose == Purpose::Server && config.secrets_manager.kind == SecretsManagerKind::InMemory {
        ensure!(
            config.database.sqlite_path().is_some(),
            "secretsManager is in-memory, and a database server is for several replicas, which would not see each \
             other's secrets; use db"
        );
        ensure!(
            database.services.is_empty().await?,
            "secretsManager is in-memory, and the database holds services whose secrets would be out of reach; \
             use db, or a new data directory"
        );
    }
    let parts = Parts { ciphertexts: Arc::clone(&database.ciphertexts), ring: ring.clone() };
    let secrets = registry::build(config.secrets_manager.kind.name(), parts)?;
    let types = Arc::new(load_types(config)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signer = Arc::new(ring.clone());
    let principals = Arc::clone(&database.principals);
    let tokens = Arc::new(AccessTokens::new(principals, signer.clone(), Arc::clone(&clock)));
    let names = NameSettings { prefix: config.secrets_manager.prefix.clone(), cluster: config.cluster_name.clone() };
    let settings = CatalogSettings { names, cache_bytes: config.cache.max_bytes() };
    let (services, audit) = (Arc::clone(&database.services), Arc::clone(&database.audit));
    let catalog = ServiceCatalog::new(types, services, audit, Arc::clone(&secrets), signer, clock, settings);
    if purpose == Purpose::Server {
        first_admin::ensure_exists(&tokens, &directory).await?;
    }
    Ok(Application { directory, database, ring, agreement, secrets, catalog: Arc::new(catalog), tokens })
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
