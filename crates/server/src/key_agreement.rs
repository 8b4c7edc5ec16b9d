//! Which key encrypts: the newest of the ring that all live replicas have. A replica that encrypted with a key that
//! another lacks would write what that one cannot read.

use std::sync::{Mutex, PoisonError};

use strongroom_database::Database;
use strongroom_domain::{KeyId, Replica, StoreError, newest_common_key};
use strongroom_secrets_managers::SharedKeyRing;
use uuid::Uuid;

/// What this server tells the others, and what it knows of them.
pub(crate) struct KeyAgreement {
    id: Uuid,
    /// A key with which another replica encrypts, and that this one lacks.
    lacking: Mutex<Option<KeyId>>,
    /// A key that rows need, and that is not in the ring any more.
    missing: Mutex<Option<KeyId>>,
    /// The place of the store that this server is configured for.
    store: Mutex<String>,
}

impl KeyAgreement {
    pub(crate) fn new() -> Self {
        Self {
            id: Uuid::new_v4(),
            lacking: Mutex::default(),
            missing: Mutex::default(),
            store: Mutex::new("db".to_owned()),
        }
    }

    /// What is announced beside the keys from now on.
    pub(crate) fn is_configured_for(&self, store: &str) {
        store.clone_into(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Announces this server, and encrypts from now on with the newest key that all have.
    pub(crate) async fn renew(&self, ring: &SharedKeyRing, database: &Database) -> Result<(), StoreError> {
        let announce = async || {
            let ring = ring.current();
            let store = Some(self.store.lock().unwrap_or_else(PoisonError::into_inner).clone());
            let replica = Replica { id: self.id, keys: ring.ids(), encrypts: ring.encrypting().clone(), store };
            database.replicas.announce(&replica).await
        };
        announce().await?;
        let live = database.replicas.live().await?;
        if encrypt_with_common_key(ring, &live) {
            announce().await?;
        }
        let known = ring.current();
        let lacking = live.into_iter().map(|replica| replica.encrypts).find(|key| !known.contains(key));
        *self.lacking.lock().unwrap_or_else(PoisonError::into_inner) = lacking;
        Ok(())
    }

    /// Looks whether a ring that has changed still has all keys that rows need.
    pub(crate) async fn look_for_missing_keys(
        &self,
        ring: &SharedKeyRing,
        database: &Database,
    ) -> Result<(), StoreError> {
        let missing = missing_keys(ring, database).await?.into_iter().next();
        if let Some(key) = &missing {
            tracing::error!(key.id = %key, "the key ring was changed and lacks a key that rows need; put it back");
        }
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        Ok(())
    }

    /// Takes this server off the list.
    pub(crate) async fn leave(&self, database: &Database) {
        if let Err(error) = database.replicas.leave(self.id).await {
            tracing::debug!(error = %error, "the others will notice by themselves that this server has ended");
        }
    }

    /// Why this server should get no requests: it cannot read all that is stored, or what another writes.
    pub(crate) fn fault(&self) -> Option<String> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = missing.as_ref().map(|key| format!("the key ring lacks the key {key}, which the database needs"));
        missing.or_else(|| {
            let key = lacking.as_ref()?;
            Some(format!("the key ring lacks the key {key}, with which another replica encrypts"))
        })
    }
}

/// The keys that rows need and a ring lacks.
pub(crate) async fn missing_keys(ring: &SharedKeyRing, database: &Database) -> Result<Vec<KeyId>, StoreError> {
    let ring = ring.current();
    let needed = database.keys.key_usage().await?.into_iter().map(|usage| usage.key_id);
    Ok(needed.filter(|key| !ring.contains(key)).collect())
}

/// Says whether another key than before encrypts now.
pub(crate) fn encrypt_with_common_key(ring: &SharedKeyRing, live: &[Replica]) -> bool {
    let ring = ring.current();
    let keys = ring.ids();
    let Some(key) = newest_common_key(&keys, live) else {
        tracing::error!("no key of the ring is in the rings of all other replicas; give all the same ring");
        return false;
    };
    let changes = key != ring.encrypting();
    if changes {
        tracing::info!(key.id = %key, "this key encrypts from now on");
        ring.encrypt_with(key);
    }
    changes
}
