//! `strongroom keys`.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use strongroom_database::DatabaseLock;
use strongroom_domain::KeyId;

use super::output::{Progress, Table};
use super::{actor, parts};
use crate::cli::{KeysCommand, OutputFormat};
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::key_ring_source::KeyRingSource;
use crate::key_rotation::{self, Rotated, rows_of_older_keys};
use crate::wiring::Application;

/// A running server notices a new key within this time; until then it may still write with the old one.
const NOTICE: Duration = Duration::from_secs(1);

/// Runs `strongroom keys`.
pub(super) async fn run(config: &Config, command: KeysCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        KeysCommand::Init => init(config),
        KeysCommand::Status => status(&parts(config).await?, output).await,
        KeysCommand::Rotate => rotate(config, output).await,
        KeysCommand::Destroy { yes } => destroy(config, yes, output).await,
    }
}

/// Makes the key ring. Refused where there is one: what it encrypted would be lost.
fn init(config: &Config) -> anyhow::Result<()> {
    DataDirectory::prepare(&config.data_dir)?;
    let source = KeyRingSource::of(&config.key_ring);
    anyhow::ensure!(!source.exists(), "there is a key ring {source}; it stays as it is");
    source.create()?;
    println!("{source} was made: give a copy to every replica, and keep one with your back-ups");
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

/// Adds a key, then moves every row to it. Stopped half-way, a replica goes on with it, or the next command.
async fn rotate(config: &Config, output: OutputFormat) -> anyhow::Result<()> {
    let source = KeyRingSource::of(&config.key_ring);
    let _lock = lock_unless_followed(config, &source)?;
    let parts = parts(config).await?;
    let leased = key_rotation::take_lease(&parts.database).await?;
    if rows_of_older_keys(&parts.database, parts.ring.current().newest()).await?.is_empty() && !source.add_key()? {
        leased.give_back_lease().await?;
        bail!(
            "the key ring {source} is read-only, and nothing is left to move: put a new key first there, then run this again"
        );
    }
    if parts.ring.reload_if_changed()? {
        tokio::time::sleep(NOTICE).await;
    }
    let mut progress = Progress::default();
    let told = |key: &KeyId, done, total| progress.tell(format!("moving rows of key {key}"), done, total);
    let rotated = key_rotation::lead(&leased, &parts.ring, actor(), told).await?;
    drop(progress);
    report(&parts, output, &rotated)
}

/// Ends every key but a new one. Only where they encrypt nothing any more: what they encrypted in back-ups can never be read
/// again.
async fn destroy(config: &Config, is_confirmed: bool, output: OutputFormat) -> anyhow::Result<()> {
    let source = KeyRingSource::of(&config.key_ring);
    let KeyRingSource::File(file) = &source else {
        bail!(
            "the key ring {source} is filled by you: put a new key first there, run `strongroom keys rotate`, then take the \
             others out wherever copies are"
        );
    };
    let parts = parts(config).await?;
    let encrypted: u64 = parts.database.keys.key_usage().await?.iter().map(|usage| usage.secrets).sum();
    anyhow::ensure!(
        encrypted == 0,
        "{encrypted} secrets are still in the database, and their keys are needed; move them to another store first"
    );
    anyhow::ensure!(
        is_confirmed,
        "this ends all keys but a new one: no back-up of the database from before can be restored with its secrets, nor \
         with its users and tokens; add --yes to do it"
    );
    // A rotation that was not finished has a key of its own, which may have encrypted secrets too.
    let is_unfinished = !rows_of_older_keys(&parts.database, parts.ring.current().newest()).await?.is_empty();
    drop(parts);
    if is_unfinished {
        rotate(config, output).await?;
    }
    rotate(config, output).await?;
    let ended = file.destroy_older_keys()?;
    for id in &ended {
        println!(
            "key {id} is no more in {source}; delete it from every copy of the ring, of other replicas and back-ups too"
        );
    }
    Ok(())
}

/// A server on `SQLite` follows the file that this command writes. Any other ring it may have in another state than this
/// command, and nobody could tell: then it must not run.
fn lock_unless_followed(config: &Config, source: &KeyRingSource) -> anyhow::Result<Option<DatabaseLock>> {
    let Some(path) = config.database.sqlite_path().filter(|path| path.exists()) else { return Ok(None) };
    if matches!(source, KeyRingSource::File(_)) {
        return Ok(None);
    }
    let lock = DatabaseLock::acquire(path);
    Ok(Some(lock.with_context(|| format!("the key ring {source} may be another one there: stop the server first"))?))
}

fn report(parts: &Application, output: OutputFormat, rotated: &Rotated) -> anyhow::Result<()> {
    let Rotated { newest, rewritten, left } = rotated;
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
