//! Moves every row to the newest key. One process leads, under a lease; a replica takes over what was left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use strongroom_database::Database;
use strongroom_domain::{AuditAction, AuditEntry, Clock, KeyId, KeyRotation, KeyUsage, Origin, SecretsManager};
use strongroom_secrets_managers::{EncryptedDatabase, SharedKeyRing};

use crate::config::Config;
use crate::key_agreement::missing_keys;
use crate::key_ring_source::KeyRingSource;
use crate::open_database;
use crate::system_clock::SystemClock;
use crate::wiring::Purpose;

/// The name of the lease.
const LEASE: &str = "key-rotation";

/// How long to wait until all replicas have the newest key, or until another rotation has ended: longer than a lease.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What was encrypted with the old key just before is written within this time.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// How often a replica looks whether a rotation was left behind. With the time that a lease lasts after its holder's
/// last write, 20 s, it goes on within 25 s.
const LOOK_FOR_WORK: Duration = Duration::from_secs(5);

/// Who rotates, in the audit, when a replica goes on by itself.
const ACTOR: &str = "key rotation";

/// What came of a rotation.
pub(crate) struct Rotated {
    /// The key that all rows now have, but those that are left.
    pub(crate) newest: KeyId,
    /// How many rows were moved.
    pub(crate) rewritten: u64,
    /// What stays with older keys: rows that cannot be read, or were written meanwhile.
    pub(crate) left: Vec<KeyUsage>,
}

/// Takes the lease; waits for another process that has it.
pub(crate) async fn take_lease(database: &Database) -> anyhow::Result<Database> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(leased) = database.under_lease(LEASE).await? {
            return Ok(leased);
        }
        ensure!(Instant::now() < give_up, "another process is rotating the keys; let it finish");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Moves all rows of older keys to the newest one of a ring that nobody else sets, and gives the lease back. Where it
/// fails, the lease is left behind, and a replica goes on.
pub(crate) async fn lead(
    leased: &Database,
    ring: &SharedKeyRing,
    (actor, origin): (&str, &Origin),
    mut told: impl FnMut(&KeyId, u64, u64),
) -> anyhow::Result<Rotated> {
    let newest = ring.current().newest().clone();
    let mut rewritten = 0;
    loop {
        wait_for_replicas(leased, &newest).await?;
        ring.current().encrypt_with(&newest);
        let moved = move_rows(leased, ring, &newest, &mut told).await?;
        rewritten += moved;
        // Once more: a replica without the key may have come meanwhile, and all then encrypted with an older one.
        if moved == 0 {
            break;
        }
    }
    if rewritten > 0 {
        leased.audit.record(entry(&newest, actor, origin)).await?;
    }
    let left = rows_of_older_keys(leased, &newest).await?;
    leased.give_back_lease().await?;
    Ok(Rotated { newest, rewritten, left })
}

/// The rows that another key than the newest encrypted or signed.
pub(crate) async fn rows_of_older_keys(database: &Database, newest: &KeyId) -> anyhow::Result<Vec<KeyUsage>> {
    let usage = database.keys.key_usage().await?.into_iter();
    Ok(usage.filter(|usage| usage.key_id != *newest && usage.secrets + usage.rows > 0).collect())
}

/// Goes on with rotations that were left behind, until it is dropped.
pub(crate) async fn take_over(config: &Config, database: &Database) {
    loop {
        tokio::time::sleep(LOOK_FOR_WORK).await;
        match database.is_left_behind(LEASE).await {
            Ok(true) => {
                if let Err(error) = go_on(config).await {
                    tracing::warn!(error = format!("{error:#}"), "the rotation of keys is not done; it is tried again");
                }
            }
            Ok(false) => {}
            // The watch over changes says so already.
            Err(error) => tracing::debug!(error = %error, "nobody knows whether a rotation was left behind"),
        }
    }
}

async fn go_on(config: &Config) -> anyhow::Result<()> {
    // With connections and a ring of its own: it waits longer for an answer than a request does, and which key encrypts
    // is not to change meanwhile.
    let database = open_database::open(config, Purpose::Command).await?;
    let ring = KeyRingSource::of(&config.key_ring).load()?;
    if let Some(key) = lacking_key(&database, &ring).await? {
        tracing::debug!(key.id = %key, "this server lacks a key, and leaves the rotation of keys to others");
        return Ok(());
    }
    let Some(leased) = database.under_lease(LEASE).await? else { return Ok(()) };
    tracing::info!("this server goes on with a rotation of keys that was left behind");
    let told = |key: &KeyId, done, total| tracing::debug!(key.id = %key, done, total, "rows move to the newest key");
    let rotated = lead(&leased, &ring, (ACTOR, &Origin::default()), told).await?;
    let left: u64 = rotated.left.iter().map(|usage| usage.secrets + usage.rows).sum();
    tracing::info!(key.id = %rotated.newest, rewritten = rotated.rewritten, left, "the rotation of keys is done");
    Ok(())
}

/// A key that a row or another replica has, and this ring has not: it may be the one that the rotation is about.
async fn lacking_key(database: &Database, ring: &SharedKeyRing) -> anyhow::Result<Option<KeyId>> {
    let missing = missing_keys(ring, database).await?;
    let of_others = database.replicas.live().await?.into_iter().flat_map(|replica| replica.keys);
    let ring = ring.current();
    Ok(missing.into_iter().chain(of_others).find(|key| !ring.contains(key)))
}

/// Only when all replicas encrypt with the new key, no row of the old one comes after those that were moved.
async fn wait_for_replicas(leased: &Database, newest: &KeyId) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        leased.keep_lease().await?;
        let live = leased.replicas.live().await?;
        let lacking = live.iter().filter(|replica| !replica.keys.contains(newest)).count();
        if live.iter().all(|replica| replica.encrypts == *newest) {
            if !live.is_empty() {
                tokio::time::sleep(LAST_WRITES).await;
            }
            return Ok(());
        }
        ensure!(
            Instant::now() < give_up,
            "{lacking} of {} replicas lack the key {newest}: give them a copy of the key ring, and run this again (where a \
             replica has the key already, it goes on by itself as soon as all have it)",
            live.len()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn move_rows(
    leased: &Database,
    ring: &SharedKeyRing,
    newest: &KeyId,
    told: &mut impl FnMut(&KeyId, u64, u64),
) -> anyhow::Result<u64> {
    let encrypted = EncryptedDatabase::new(Arc::clone(&leased.ciphertexts), ring.clone());
    let sealer = encrypted.sealer().context("the encrypted database seals")?;
    let rotation = KeyRotation {
        services: Arc::clone(&leased.services),
        principals: Arc::clone(&leased.principals),
        ciphertexts: Arc::clone(&leased.ciphertexts),
        signer: Arc::new(ring.clone()),
    };
    let mut rewritten = 0;
    for usage in rows_of_older_keys(leased, newest).await? {
        let total = usage.secrets + usage.rows;
        rewritten += rotation.retire(&usage.key_id, sealer, |done| told(&usage.key_id, done, total)).await?.rewritten;
    }
    Ok(rewritten)
}

/// The audit says when which key became the newest.
fn entry(newest: &KeyId, actor: &str, origin: &Origin) -> AuditEntry {
    AuditEntry {
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
    }
}
