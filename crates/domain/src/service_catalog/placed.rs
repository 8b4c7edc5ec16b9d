//! A connection with references in place of its secrets, and what its storing brings along.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::connection::Names;
use super::loaded::{LoadedService, stored_secret};
use super::outside::{OutsideDraft, OutsidePut};
use super::typed::parsed_name;
use crate::json_pointer::replace;
use crate::secret::{NamedSecret, SecretId, SecretReference, SecretVersion, StoredSecret};
use crate::secret_intents::{Intent, IntentChanges, PlannedDeletion};
use crate::secret_names::normal_name;
use crate::secret_swap::{KeptSecret, SecretIndex, TypedReference};
use crate::secrets_manager::SealedSecret;
use crate::service_store::{ClaimedName, NameChanges, StoredService};

/// A connection ready to be stored, and what its storing brings along.
#[derive(Debug, Default)]
pub(super) struct PlacedConnection {
    /// With references in place of secrets.
    pub(super) connection: Option<Value>,
    pub(super) index: SecretIndex,
    pub(super) sealed: Vec<SealedSecret>,
    /// Put into a store of its own before the row; taken back if the row is not written.
    pub(super) puts: Vec<OutsidePut>,
    /// Perhaps put, since nobody knows what came of the call.
    pub(super) uncertain: Vec<Intent>,
    /// Not put: the store said no.
    pub(super) refused: Vec<Intent>,
    /// Rows that the document no longer names.
    pub(super) superseded: Vec<StoredSecret>,
    /// Secrets in other stores that it no longer names.
    pub(super) deletions: Vec<PlannedDeletion>,
    pub(super) names: NameChanges,
    /// A secret has another value, or is new, or is gone.
    pub(super) secrets_changed: bool,
}

impl PlacedConnection {
    /// The stored connection, as it is.
    pub(super) fn as_stored(loaded: &LoadedService) -> Self {
        Self { connection: loaded.connection().cloned(), index: loaded.index.clone(), ..Self::default() }
    }

    /// No connection: whatever was stored goes.
    pub(super) fn none(owner: Uuid, before: Option<&LoadedService>) -> Self {
        let mut placed = Self::default();
        placed.finish(owner, before, Names::default());
        placed
    }

    pub(super) fn keep(&mut self, kept: KeptSecret) {
        self.put_reference(&kept.pointer, &kept.name);
        self.index.kept.push(kept);
    }

    pub(super) fn refer(&mut self, reference: TypedReference) {
        self.put_reference(&reference.pointer, &reference.name);
        self.index.typed.push(reference);
    }

    fn put_reference(&mut self, pointer: &str, name: &str) {
        if let Some(connection) = &mut self.connection {
            replace(connection, pointer, SecretReference::to_name(name).to_string().into());
        }
    }

    /// A secret that a store has now.
    pub(super) fn note_put(&mut self, draft: OutsideDraft, intent: Intent, version: SecretVersion, place: &str) {
        let OutsideDraft { kept, replaced, .. } = draft;
        let (name, store) = (intent.secret.name.clone(), Some(place.to_owned()));
        self.keep(KeptSecret { name, version: version.clone(), store, ..kept });
        self.puts.push(OutsidePut { intent, version, replaced });
        self.secrets_changed = true;
    }

    /// What its storing does to intents.
    pub(super) fn intent_changes(&self) -> IntentChanges {
        let tokens = |is_replacing: bool| {
            let puts = self.puts.iter().filter(move |put| put.replaced.is_some() == is_replacing);
            puts.map(|put| put.intent.token).collect()
        };
        IntentChanges { ended: tokens(false), committed: tokens(true), deletions: self.deletions.clone() }
    }

    /// What the old document named and the new one does not.
    pub(super) fn finish(&mut self, owner: Uuid, before: Option<&LoadedService>, names: Names) {
        self.names.claimed = names.claimed;
        let old = before.map(|it| it.index.clone()).unwrap_or_default();
        if old.typed != self.index.typed {
            self.names.typed = Some(self.index.typed.iter().map(TypedReference::claim).collect());
        }
        let is_still = |old: &KeptSecret| {
            self.index.kept_at(&old.pointer).is_some_and(|new| (&new.version, &new.store) == (&old.version, &old.store))
        };
        let gone: Vec<_> = old.kept.iter().filter(|kept| !is_still(kept)).collect();
        self.secrets_changed |= !gone.is_empty();
        self.superseded =
            gone.iter().filter(|kept| kept.store.is_none()).map(|kept| stored_secret(owner, kept)).collect();
        let is_replaced = |old: &KeptSecret| {
            self.index.kept_at(&old.pointer).is_some_and(|new| (&new.name, &new.store) == (&old.name, &old.store))
        };
        let deleted = gone.iter().filter(|kept| !is_replaced(kept));
        self.deletions = deleted.filter_map(|kept| planned_deletion(owner, kept)).collect();
        let is_named = |old: &KeptSecret| self.index.kept_at(&old.pointer).is_some_and(|new| new.name == old.name);
        let released = old.kept.iter().filter(|kept| !is_named(kept));
        self.names.released = released.map(|kept| normal_name(&kept.name)).collect();
    }

    /// Repairing a row that is not believed: whatever ciphertext it had goes.
    pub(super) fn supersede_all(&mut self, stored: &StoredService) {
        self.superseded = stored.ciphertexts.iter().map(|row| row.secret.clone()).collect();
        self.names.typed = Some(self.index.typed.iter().map(TypedReference::claim).collect());
        self.secrets_changed = true;
    }
}

impl TypedReference {
    fn claim(&self) -> ClaimedName {
        let name = parsed_name(self);
        ClaimedName { normal_name: normal_name(&name), name, path: self.pointer.clone() }
    }
}

/// A secret in a store outside of the database that no document names any more.
pub(super) fn planned_deletion(owner: Uuid, kept: &KeptSecret) -> Option<PlannedDeletion> {
    let secret = NamedSecret { id: SecretId::of_service(owner, kept.pointer.clone()), name: kept.name.clone() };
    Some(PlannedDeletion { token: Uuid::new_v4(), place: kept.store.clone()?, secret, grace: Duration::ZERO })
}
