//! `strongroom secrets`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use strongroom_database::DatabaseLock;
use strongroom_domain::{DifferenceState, MoveProgress, SecretStores, SecretsManager};

use super::migrate::report;
use super::output::{Progress, Table};
use super::{actor, parts};
use crate::cli::{MoveArgs, OutputFormat, SecretsCommand};
use crate::config::{Config, SecretsManagerConfig, Sources};
use crate::secret_stores::{self, ConfiguredStores, store_at};
use crate::secrets_migration;
use crate::wiring::Application;

/// Runs `strongroom secrets`.
pub(super) async fn run(config: &Config, command: SecretsCommand, output: OutputFormat) -> anyhow::Result<()> {
    let parts = parts(config).await?;
    match command {
        SecretsCommand::Verify { repair } => verify(&parts, repair, output).await,
        SecretsCommand::Gc { dry_run } => collect_garbage(&parts, dry_run, output).await,
        SecretsCommand::Move(how) => move_all(config, parts, &how, output).await,
    }
}

async fn verify(parts: &Application, repair: bool, output: OutputFormat) -> anyhow::Result<()> {
    let report = parts.catalog.verify_secrets(repair.then(actor)).await?;
    if output == OutputFormat::Json {
        println!("{}", json!(report));
    } else {
        let mut table = Table::new(&["service", "field", "name", "state", "repaired"]);
        for it in &report.differences {
            let repaired = if it.repaired { "yes" } else { "no" };
            table.push(vec![json!(it.service), json!(it.path), json!(it.name), json!(it.state), json!(repaired)]);
        }
        if !report.differences.is_empty() {
            table.print(output);
        }
        for name in &report.left_over {
            println!("left over: {name} (strongroom secrets gc)");
        }
    }
    let open = report.differences.iter().filter(|it| !it.repaired).count();
    let missing = report.differences.iter().any(|it| !it.repaired && it.state == DifferenceState::Missing);
    let remedy = if missing {
        "; an admin sends the connections again (PUT) whose secrets are missing"
    } else {
        "; `strongroom secrets verify --repair` notes what the store has now"
    };
    ensure!(open == 0, "{open} of {} secrets are not as documents say{remedy}", report.secrets);
    eprintln!("{} secrets were compared; {} left over", report.secrets, report.left_over.len());
    Ok(())
}

async fn collect_garbage(parts: &Application, is_dry_run: bool, output: OutputFormat) -> anyhow::Result<()> {
    let removed = parts.catalog.collect_garbage(is_dry_run).await?;
    let mut table = Table::new(&["name"]);
    let count = removed.len();
    for name in removed {
        table.push(vec![json!(name)]);
    }
    table.print(output);
    eprintln!("{count} {}", if is_dry_run { "would be removed" } else { "were removed" });
    Ok(())
}

async fn move_all(config: &Config, mut parts: Application, how: &MoveArgs, output: OutputFormat) -> anyhow::Result<()> {
    let wanted = Arc::clone(&parts.stores.wanted);
    ensure!(
        how.to == wanted.kind() || how.to == wanted.place(),
        "--to must be the configured store, {}; configure {} first",
        wanted.place(),
        how.to
    );
    let noted = parts.database.stores.active_store().await?;
    let from = noted.as_ref().map_or_else(|| "db".to_owned(), |noted| noted.place.clone());
    ensure!(how.yes, "this would move every secret from {from} to {}; add --yes to do it", wanted.place());
    let lock = config.database.sqlite_path().map(DatabaseLock::acquire).transpose();
    let _lock = lock.context("stop the server first")?;
    let servers = parts.database.replicas.live().await?.len();
    ensure!(servers == 0, "{servers} servers run: stop them all, wait 15 s, run this again");
    parts.stores = with_source(config, &parts, &from, how.from_config.as_deref()).await?;
    let Some(leased) = parts.database.under_lease(secrets_migration::LEASE).await? else {
        bail!("another process is moving secrets; let it finish");
    };
    let mut progress = Progress::default();
    let told = |it: &MoveProgress| progress.tell("moving secrets".to_owned(), it.moved, it.total);
    let catalog = |database: &_| parts.catalog_over(config, database);
    let moved = secrets_migration::lead(&leased, &parts.stores, catalog, how.grace, told).await?;
    drop(progress);
    report(&moved, &parts, output)
}

/// The stores with the one that secrets are in now; a move that was stopped goes on from where it began.
async fn with_source(
    config: &Config,
    parts: &Application,
    from: &str,
    file: Option<&Path>,
) -> anyhow::Result<ConfiguredStores> {
    let noted = parts.database.stores.active_store().await?;
    let from = match noted.as_ref().and_then(|noted| noted.moving_from.clone()) {
        Some(earlier) if from == parts.stores.wanted.place() => earlier,
        _ => from.to_owned(),
    };
    let settings = match file {
        Some(file) => settings_of(file)?,
        None => config.secrets_manager.clone(),
    };
    let mut outside: Vec<Arc<dyn SecretsManager>> = Vec::new();
    if parts.stores.wanted.sealer().is_none() {
        outside.push(Arc::clone(&parts.stores.patient));
    }
    if from != "db" && from != parts.stores.wanted.place() {
        let store = store_at(&from, secret_stores::parts(config, &settings, &parts.database, &parts.ring)).await;
        outside.push(store.with_context(|| {
            format!(
                "secrets are in {from}, to which the parameters of {} do not lead: name a configuration file that has \
                     them (--from-config)",
                file.map_or_else(|| "the configuration".to_owned(), |it| it.display().to_string())
            )
        })?);
    }
    let stores = Arc::new(SecretStores::new(Arc::clone(parts.stores.stores.database()), outside));
    stores.follow(noted.as_ref());
    Ok(ConfiguredStores { stores, ..parts.stores.clone() })
}

/// What a configuration file alone says of a store.
fn settings_of(file: &Path) -> anyhow::Result<SecretsManagerConfig> {
    let is_of_store = |name: &str| name.starts_with("SECRET_MANAGER") || name.starts_with("OM_SM_");
    let environment = Sources::environment_of_this_process().into_iter().filter(|(name, _)| !is_of_store(name));
    let sources = Sources { file: Some(file.to_owned()), environment: environment.collect(), ..Sources::default() };
    Ok(Config::load(&sources)?.secrets_manager)
}
