//! Secrets in stores outside of the database: put before the document that names them, taken back where none comes to.
//!
//! An intent is noted first and ends in the transaction of the document. Whoever takes a put back first makes sure, by
//! its intent, that no document can come to name it any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use super::connection::{Names, Owner};
use super::loaded::LoadedService;
use super::placed::PlacedConnection;
use super::{CatalogError, ServiceCatalog};
use crate::secret::{NamedSecret, NamedVersion, OwnerKind, SecretId, SecretValue, SecretVersion};
use crate::secret_intents::{Intent, IntentError, IntentState, PlannedDeletion};
use crate::secret_names::normal_name;
use crate::secret_swap::KeptSecret;
use crate::secrets_manager::{PutMode, SecretPut, SecretsError, SecretsErrorKind, SecretsManager};

/// After this time an intent whose writer has not come back is somebody else's to deal with. Longer than any request.
pub(crate) const LEFT_BEHIND: Duration = Duration::from_mins(2);

/// How long to wait before a store that failed is asked again to take something back.
const AGAIN: Duration = Duration::from_secs(30);

/// The same for a store that this server is not configured for: a command with another configuration deals with it.
const ELSEWHERE: Duration = Duration::from_mins(5);

/// The same right after the write that could not take it back.
const SOON: Duration = Duration::from_secs(10);

/// For how long one replica deals with an intent alone: longer than all calls to the store that this takes.
const CLAIMED: Duration = Duration::from_mins(1);

/// How many secrets of one connection are put at the same time.
const AT_ONCE: usize = 8;

/// How often a store is told what is current when documents change meanwhile.
const TOLD: usize = 4;

/// How many intents one sweep deals with.
const SWEEP: usize = 200;

/// A secret on its way into a store.
pub(super) struct OutsideDraft {
    /// The secret as the index will have it, without name and version.
    pub(super) kept: KeptSecret,
    pub(super) value: SecretValue,
    /// The version that the document names so far, under the name that the secret keeps.
    pub(super) replaced: Option<SecretVersion>,
}

/// A secret that was put, and that the document is about to name.
#[derive(Clone, Debug)]
pub(super) struct OutsidePut {
    pub(super) intent: Intent,
    pub(super) version: SecretVersion,
    pub(super) replaced: Option<SecretVersion>,
}

/// What a sweep found to do, and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Puts that were taken back, and secrets that were deleted.
    pub removed: Vec<NamedSecret>,
    /// Versions that a document names and that workers now get.
    pub made_current: u64,
    /// What could not be dealt with now; it is tried again.
    pub left: u64,
}

impl ServiceCatalog {
    /// Puts secrets into a store and notes them in the connection. What fails half-way leaves the document as it was.
    pub(super) async fn put_outside(
        &self,
        store: &Arc<dyn SecretsManager>,
        owner: Owner<'_>,
        drafts: Vec<OutsideDraft>,
        names: &mut Names,
        placed: &mut PlacedConnection,
    ) -> Result<(), CatalogError> {
        let mut waiting = drafts;
        while !waiting.is_empty() {
            let intents: Vec<_> = waiting.iter().map(|draft| intent_of(store, owner.id, draft, names)).collect();
            match self.intents.intend(&intents, LEFT_BEHIND).await {
                Ok(()) => {}
                Err(IntentError::Store(error)) => return Err(error.into()),
                Err(IntentError::NameTaken(taken)) => {
                    // Its secret may be about to go, or another writer was faster: another name is free.
                    let is_it = |draft: &&OutsideDraft| normal_name(&names.of(&draft.kept.pointer)) == taken;
                    let pointer = waiting.iter().find(is_it).filter(|draft| draft.replaced.is_none());
                    let pointer = pointer.map(|draft| draft.kept.pointer.clone()).ok_or(CatalogError::Raced)?;
                    self.rename(owner, &pointer, names).await?;
                    continue;
                }
            }
            let puts: Vec<BoxFuture<'_, _>> = waiting
                .iter()
                .zip(&intents)
                .map(|(draft, intent)| put_one(&**store, owner.name, draft, intent).boxed())
                .collect();
            let outcomes: Vec<_> = stream::iter(puts).buffered(AT_ONCE).collect().await;
            let mut failed = None;
            let mut again = Vec::new();
            for ((draft, intent), outcome) in waiting.into_iter().zip(intents).zip(outcomes) {
                match outcome {
                    Ok(version) => placed.note_put(draft, intent, version, store.place()),
                    Err(error) if error.kind == SecretsErrorKind::NameTaken => {
                        self.intents.forget_intents(&[intent.token]).await?;
                        self.rename(owner, &draft.kept.pointer, names).await?;
                        again.push(OutsideDraft { replaced: None, ..draft });
                    }
                    Err(error) => {
                        let list = if error.is_retryable() { &mut placed.uncertain } else { &mut placed.refused };
                        list.push(intent);
                        failed = failed.or(Some(error));
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
            waiting = again;
        }
        Ok(())
    }

    /// Takes back what no document came to name. What fails here is tried again by a sweep.
    pub(super) async fn take_back(&self, placed: &PlacedConnection) {
        let puts = placed.puts.iter().map(|put| &put.intent).chain(&placed.refused);
        for intent in puts {
            self.take_back_one(intent).await;
        }
        // A call whose answer did not come may yet be carried out: a sweep looks later, and until then nobody gets the name.
        for intent in &placed.uncertain {
            if let Err(error) = self.intents.withdraw_intent(intent.token).await {
                tracing::warn!(error = %error, "a secret that is not used is taken back later");
            }
        }
    }

    pub(super) async fn take_back_one(&self, intent: &Intent) {
        match self.intents.withdraw_intent(intent.token).await {
            Ok(true) => self.settle_or_put_off(intent, IntentState::Withdrawing).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %error, "a secret that is not used is taken back later"),
        }
    }

    /// After the document is written: what it names becomes what workers get, and what it no longer names goes. What
    /// fails here is tried again by a sweep.
    pub(super) async fn settle(&self, puts: &[OutsidePut], deletions: &[PlannedDeletion]) {
        let mut done = Vec::new();
        for put in puts.iter().filter(|put| put.replaced.is_some()) {
            let Some(store) = self.stores.at(&put.intent.place) else { continue };
            match self.make_named_current(&**store, &put.intent, put.version.clone(), put.replaced.clone()).await {
                Ok(()) => done.push(put.intent.token),
                Err(error) => {
                    tracing::warn!(error = %error, secret.name = put.intent.secret.name,
                        "workers get the value before this one for a little longer");
                }
            }
        }
        if !done.is_empty()
            && let Err(error) = self.intents.forget_intents(&done).await
        {
            tracing::debug!(error = %error, "intents that are dealt with are looked at once more");
        }
        for deletion in deletions.iter().filter(|deletion| deletion.grace.is_zero()) {
            let PlannedDeletion { token, place, secret, .. } = deletion.clone();
            let intent = Intent { token, place, secret, state: IntentState::Deleting };
            self.settle_or_put_off(&intent, IntentState::Deleting).await;
        }
    }

    /// Deals with what was left behind: by a process that vanished, a store that was away, or for a time of grace.
    pub async fn sweep(&self) -> Result<SweepReport, CatalogError> {
        let mut report = SweepReport::default();
        for intent in self.intents.due_intents(SWEEP).await? {
            if !self.intents.claim_intent(intent.token, CLAIMED).await? {
                continue;
            }
            let state = match intent.state {
                IntentState::Putting | IntentState::Moving => {
                    if !self.intents.withdraw_intent(intent.token).await? {
                        continue;
                    }
                    IntentState::Withdrawing
                }
                state => state,
            };
            match self.settle_one(&intent, state).await {
                Ok(Settled::Removed) => report.removed.push(intent.secret),
                Ok(Settled::MadeCurrent) => report.made_current += 1,
                Ok(Settled::Nothing) => {}
                Err(error) => {
                    let is_elsewhere = matches!(error, CatalogError::StoreElsewhere(_));
                    if !is_elsewhere {
                        tracing::warn!(error = %error, secret.name = intent.secret.name, "a left-over secret stays for now");
                    }
                    let pause = if is_elsewhere { ELSEWHERE } else { AGAIN };
                    self.intents.put_off(&[intent.token], pause).await?;
                    report.left += 1;
                }
            }
        }
        Ok(report)
    }

    async fn settle_or_put_off(&self, intent: &Intent, state: IntentState) {
        if let Err(error) = self.settle_one(intent, state).await {
            tracing::warn!(error = %error, secret.name = intent.secret.name, "a secret that is not used stays for now");
            let _ = self.intents.put_off(&[intent.token], SOON).await;
        }
    }

    async fn settle_one(&self, intent: &Intent, state: IntentState) -> Result<Settled, CatalogError> {
        let Some(store) = self.stores.at(&intent.place) else {
            return Err(CatalogError::StoreElsewhere(intent.place.clone()));
        };
        let settled = match state {
            IntentState::Putting | IntentState::Moving => Settled::Nothing,
            IntentState::Committed => self.settle_committed(&**store, intent).await?,
            IntentState::Withdrawing => self.settle_withdrawn(&**store, intent).await?,
            IntentState::Deleting | IntentState::Removing => self.settle_deletion(&**store, intent).await?,
        };
        self.intents.forget_intents(&[intent.token]).await?;
        Ok(settled)
    }

    /// Makes current what the document names. It may name another version by the time that the store was told: then that one.
    async fn make_named_current(
        &self,
        store: &dyn SecretsManager,
        intent: &Intent,
        version: SecretVersion,
        replaced: Option<SecretVersion>,
    ) -> Result<(), CatalogError> {
        let (mut version, mut replaced) = (version, replaced);
        for _ in 0..TOLD {
            let secret = NamedVersion { secret: intent.secret.clone(), version: version.clone() };
            store.make_current(&secret, replaced.as_ref()).await?;
            match self.named_version(intent).await? {
                Some(named) if named != version => replaced = Some(std::mem::replace(&mut version, named)),
                _ => return Ok(()),
            }
        }
        Err(CatalogError::Raced)
    }

    async fn settle_committed(&self, store: &dyn SecretsManager, intent: &Intent) -> Result<Settled, CatalogError> {
        let Some(version) = store.find_put(&intent.secret, intent.token).await? else { return Ok(Settled::Nothing) };
        let named = self.named_version(intent).await?;
        let secret = NamedVersion { secret: intent.secret.clone(), version };
        if named.as_ref() == Some(&secret.version) {
            self.make_named_current(store, intent, secret.version, None).await?;
            return Ok(Settled::MadeCurrent);
        }
        Ok(Settled::Nothing)
    }

    async fn settle_withdrawn(&self, store: &dyn SecretsManager, intent: &Intent) -> Result<Settled, CatalogError> {
        let Some(version) = store.find_put(&intent.secret, intent.token).await? else { return Ok(Settled::Nothing) };
        if self.is_held_by_others(intent).await? {
            return Ok(Settled::Nothing);
        }
        let mut named = self.named_version(intent).await?;
        if named.is_none() {
            // All of the secret goes: nobody may come to name it from here on, and nobody may be about to.
            if !self.intents.begin_deletion(intent.token).await? {
                return Ok(Settled::Nothing);
            }
            named = self.named_version(intent).await?;
        }
        store.withdraw(&NamedVersion { secret: intent.secret.clone(), version }, named.as_ref()).await?;
        Ok(Settled::Removed)
    }

    /// A secret that a document came to name again meanwhile stays.
    async fn settle_deletion(&self, store: &dyn SecretsManager, intent: &Intent) -> Result<Settled, CatalogError> {
        let is_due = self.intents.begin_deletion(intent.token).await?;
        if !is_due || self.is_held_by_others(intent).await? || self.named_version(intent).await?.is_some() {
            return Ok(Settled::Nothing);
        }
        store.delete(&intent.secret).await?;
        Ok(Settled::Removed)
    }

    /// Whether another field or service has a secret of this name: then somebody has changed the intent, and what he wants
    /// is not done.
    async fn is_held_by_others(&self, intent: &Intent) -> Result<bool, CatalogError> {
        let holders = self.services.holders(&[intent.secret.normal_name()]).await?;
        let id = &intent.secret.id;
        let is_other = holders.iter().any(|holder| (holder.service_id, &holder.path) != (id.owner_id, &id.path));
        if is_other {
            tracing::error!(
                secret.name = intent.secret.name,
                "an intent names a secret that is not its owner's; it is dropped"
            );
        }
        Ok(is_other)
    }

    /// The version of this very secret, in this very store, that the document of its owner names.
    async fn named_version(&self, intent: &Intent) -> Result<Option<SecretVersion>, CatalogError> {
        let SecretId { owner_kind, owner_id, path } = &intent.secret.id;
        if *owner_kind != OwnerKind::Service {
            return Ok(None);
        }
        let Some(stored) = self.services.find_by_id(*owner_id).await? else { return Ok(None) };
        let loaded = LoadedService::from_row(stored, &*self.signer).map_err(|refused| super::unreadable(&refused))?;
        let kept = loaded.index.kept_at(path);
        let kept = kept.filter(|kept| kept.name == intent.secret.name && kept.store.as_deref() == Some(&intent.place));
        Ok(kept.map(|kept| kept.version.clone()))
    }
}

enum Settled {
    Removed,
    MadeCurrent,
    Nothing,
}

fn intent_of(store: &Arc<dyn SecretsManager>, owner: Uuid, draft: &OutsideDraft, names: &Names) -> Intent {
    let id = SecretId::of_service(owner, draft.kept.pointer.clone());
    Intent {
        token: Uuid::new_v4(),
        place: store.place().to_owned(),
        secret: NamedSecret { id, name: names.of(&draft.kept.pointer) },
        state: IntentState::Putting,
    }
}

async fn put_one(
    store: &dyn SecretsManager,
    label: &str,
    draft: &OutsideDraft,
    intent: &Intent,
) -> Result<SecretVersion, SecretsError> {
    let mode = if draft.replaced.is_some() { PutMode::Replace } else { PutMode::New };
    let put =
        SecretPut { secret: &intent.secret, label, value: &draft.value, token: intent.token, mode, is_repeated: false };
    store.put(put).await
}
