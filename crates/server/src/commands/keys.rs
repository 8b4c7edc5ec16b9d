//! `strongroom keys`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use strongroom_database::Database;
use strongroom_domain::{AuditAction, AuditEntry, Clock, KeyId, KeyUsage};
use strongroom_secrets_managers::{EncryptedDatabase, KeyRingFile};

use super::output::{Progress, Table};
use super::{actor, parts};
use crate::cli::{KeysCommand, OutputFormat};
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::system_clock::SystemClock;
use crate::wiring::Application;

/// A running server notices a new key within this time; until then it may still write with the old one.
const NOTICE: Duration = Duration::from_secs(1);

/// How long to wait until all replicas have the new key, or until another rotation has ended: longer than a lease.
const REPLICAS: Duration = Duration::from_secs(30);

/// How often to look.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What was encrypted with the old key just before is written within this time.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// The name of the lease.
const LEASE: &str = "key-rotation";

/// Runs `strongroom keys`.
pub(super) async fn run(config: &Config, command: KeysCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        KeysCommand::Init => init(config),
        KeysCommand::Status => status(&parts(config).await?, output).await,
        KeysCommand::Rotate => rotate(&parts(config).await?, output).await,
    }
}

/// Makes the key ring. Refused where there is one: what it encrypted would be lost.
fn init(config: &Config) -> anyhow::Result<()> {
    let directory = DataDirectory::prepare(&config.data_dir)?;
    let file = KeyRingFile::new(directory.keys());
    anyhow::ensure!(!file.exists(), "there is a key ring {}; it stays as it is", directory.keys().display());
    file.create_new(SystemClock.now()).context("the key ring cannot be made")?;
    println!("{} was made: give a copy to every replica, and keep one with your back-ups", directory.keys().display());
    Ok(())
}

async fn status(parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    let ring = parts.ring.current();
    let usage = parts.database.keys.key_usage().await?;
    let mut table = Table::new(&["key", "use", "secrets", "rows"]);
    for id in ring.ids() {
        let used = usage.iter().find(|usage| usage.key_id == id);
        let (secrets, rows) = used.map_or((0, 0), |usage| (usage.secrets, usage.rows));
        let state = match (id == *ring.encrypting(), secrets + rows) {
            (true, _) => "encrypts",
            (false, 0) => "may be removed",
            (false, _) => "decrypts; `strongroom keys rotate` moves its rows",
        };
        table.push(vec![json!(id), json!(state), json!(secrets), json!(rows)]);
    }
    table.print(output);
    Ok(())
}

/// Adds a key, then moves every row to it. Stopped half-way, it goes on with the key it added.
async fn rotate(parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    if !has_rows_of_older_keys(parts).await? {
        KeyRingFile::new(parts.directory.keys()).add_key(SystemClock.now()).context("no key was added")?;
        parts.ring.reload_if_changed()?;
        tokio::time::sleep(NOTICE).await;
    }
    let newest = parts.ring.current().newest().clone();
    wait_for_replicas(parts, &newest).await?;
    parts.ring.current().encrypt_with(&newest);
    let leased = take_lease(&parts.database).await?;
    let rewritten = move_rows(parts, &leased, &newest).await;
    leased.give_back_lease().await?;
    let rewritten = rewritten?;
    record(parts, &newest).await?;
    let left = older(parts.database.keys.key_usage().await?, &newest);
    report(parts, output, &newest, rewritten, &left)
}

/// Only when all replicas encrypt with the new key, no row of the old one comes after those that were moved.
async fn wait_for_replicas(parts: &Application, newest: &KeyId) -> anyhow::Result<()> {
    let give_up = Instant::now() + REPLICAS;
    loop {
        let live = parts.database.replicas.live().await?;
        let lacking = live.iter().filter(|replica| !replica.keys.contains(newest)).count();
        if live.iter().all(|replica| replica.encrypts == *newest) {
            if !live.is_empty() {
                tokio::time::sleep(LAST_WRITES).await;
            }
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "{lacking} of {} replicas lack the key {newest}: give them a copy of the key ring, and run this again",
            live.len()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// One process rotates at a time; the lease of one that vanished ends by itself.
async fn take_lease(database: &Database) -> anyhow::Result<Database> {
    let give_up = Instant::now() + REPLICAS;
    loop {
        if let Some(leased) = database.under_lease(LEASE).await? {
            return Ok(leased);
        }
        anyhow::ensure!(Instant::now() < give_up, "another process is rotating the keys; let it finish");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn move_rows(parts: &Application, database: &Database, newest: &KeyId) -> anyhow::Result<u64> {
    let sealer = EncryptedDatabase::new(Arc::clone(&database.ciphertexts), parts.ring.clone());
    let sealer = strongroom_domain::SecretsManager::sealer(&sealer).context("the encrypted database seals")?;
    let (mut rewritten, mut progress) = (0, Progress::default());
    for usage in older(database.keys.key_usage().await?, newest) {
        let total = usage.secrets + usage.rows;
        let told = |done| progress.tell(format!("rows of key {} move to {newest}", usage.key_id), done, total);
        rewritten += parts.rotation(database).retire(&usage.key_id, sealer, told).await?.rewritten;
    }
    Ok(rewritten)
}

/// The audit says when which key became the newest.
async fn record(parts: &Application, newest: &KeyId) -> anyhow::Result<()> {
    let (actor, origin) = actor();
    let entry = AuditEntry {
        sequence: 0,
        at: SystemClock.now(),
        actor: actor.to_owned(),
        action: AuditAction::RotateKeys,
        family: None,
        subject_id: None,
        subject: newest.as_str().into(),
        secret_paths: Arc::default(),
        address: origin.address_text(),
        request_id: Arc::clone(&origin.request_id),
    };
    Ok(parts.database.audit.record(entry).await?)
}

async fn has_rows_of_older_keys(parts: &Application) -> anyhow::Result<bool> {
    let ring = parts.ring.current();
    Ok(!older(parts.database.keys.key_usage().await?, ring.newest()).is_empty())
}

fn older(usage: Vec<KeyUsage>, newest: &KeyId) -> Vec<KeyUsage> {
    usage.into_iter().filter(|usage| usage.key_id != *newest && usage.secrets + usage.rows > 0).collect()
}

fn report(
    parts: &Application,
    output: OutputFormat,
    newest: &KeyId,
    rewritten: u64,
    left: &[KeyUsage],
) -> anyhow::Result<()> {
    let ring = parts.ring.current();
    let is_left = |id: &KeyId| left.iter().any(|usage| usage.key_id == *id);
    let removable: Vec<_> = ring.ids().into_iter().filter(|id| id != newest && !is_left(id)).collect();
    if output == OutputFormat::Json {
        let left: Vec<_> = left.iter().map(|usage| &usage.key_id).collect();
        println!("{}", json!({ "newest": newest, "rewritten": rewritten, "removable": removable, "left": left }));
    } else {
        println!("{rewritten} rows now have the key {newest}");
        for id in &removable {
            println!("key {id} is no longer needed: once no back-up needs it, delete its line from the key ring");
        }
    }
    let unreadable: u64 = left.iter().map(|usage| usage.secrets + usage.rows).sum();
    anyhow::ensure!(
        unreadable == 0,
        "{unreadable} rows stay with an older key, since they cannot be read or were written meanwhile: run it again, \
         and see GET /api/v1/secretsManager/health"
    );
    Ok(())
}
