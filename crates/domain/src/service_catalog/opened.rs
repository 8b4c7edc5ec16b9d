//! The values behind a service's references, wherever they lie, as one whole: all of one state of its document.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::loaded::{LoadedService, ReadyService, stored_secret};
use super::{CatalogError, ServiceCatalog, is_unreadable};
use crate::json_pointer::shown;
use crate::secret::{NamedSecret, NamedVersion, OwnerKind, SecretId, SecretValue, SecretVersion};
use crate::secret_intents::{Intent, IntentState};
use crate::secret_swap::{KeptSecret, SecretIndex};
use crate::secrets_manager::{FoundSecret, SecretsError, SecretsErrorKind};
use crate::service::ServiceKey;

/// How often a service is read again whose secrets do not fit its document.
const ROUNDS: usize = 4;

/// The values of a service.
pub(super) struct Opened {
    /// The service as it is by now, where it changed while it was read.
    pub(super) newer: Option<ReadyService>,
    /// In the order of its index; behind them those of references that users typed, where they are resolved here.
    pub(super) values: Vec<SecretValue>,
    /// Fields whose secret somebody else changed in its store: given as it is there now.
    pub(super) drifted: Vec<String>,
    /// How long ago the oldest of them was read from its store.
    pub(super) age: Duration,
}

/// Secrets that a store has in another version than the document names, by their number.
type Other = BTreeMap<usize, SecretVersion>;

type Found = Result<FoundSecret, SecretsError>;

impl ServiceCatalog {
    /// The values of a service's secrets.
    pub(super) async fn open_all(&self, ready: &ReadyService, refresh: bool) -> Result<Opened, CatalogError> {
        self.active_store()?;
        if ready.index.kept.iter().all(|kept| kept.store.is_none()) {
            let sealer = self.stores.sealer()?;
            let pairs = ready.secrets.iter().zip(&ready.ciphertexts);
            let opened = pairs.map(|(secret, it)| sealer.open(secret, it.as_deref().unwrap_or_default()));
            let values =
                opened.zip(&ready.index.kept).map(|(opened, kept)| opened.map_err(|it| unread(ready, kept, it)));
            let mut values = values.collect::<Result<Vec<_>, _>>()?;
            values.extend(self.resolve_typed(ready).await?);
            return Ok(Opened { newer: None, values, drifted: Vec::new(), age: Duration::ZERO });
        }
        self.open_outside(ready, refresh).await
    }

    /// A write may come between the reading of the document and that of its secrets. So where the store's current version
    /// is not the one that the document names, both are read again: either the document has changed, or the write is under
    /// way and its intent says so, or somebody else has changed the secret in its store.
    async fn open_outside(&self, ready: &ReadyService, refresh: bool) -> Result<Opened, CatalogError> {
        let mut newer: Option<ReadyService> = None;
        let mut seen: Option<(u64, Other)> = None;
        let mut intents: Vec<Intent> = Vec::new();
        for _ in 0..ROUNDS {
            let current = newer.as_ref().unwrap_or(ready);
            // Where something does not fit, what is remembered may be out of date.
            let found = self.read_kept(current, refresh || seen.is_some()).await?;
            let other = self.other_versions(current, &found, &intents).await?;
            let is_settled = other.is_empty() || seen.as_ref() == Some(&(current.revision, other.clone()));
            if is_settled {
                let ages = found.iter().filter_map(|found| Some(found.as_ref().ok()?.age));
                let age = ages.max().unwrap_or_default();
                let (mut values, drifted) = self.values_of(current, found, &other).await?;
                values.extend(self.resolve_typed(current).await?);
                return Ok(Opened { newer, values, drifted, age });
            }
            seen = Some((current.revision, other));
            // In this order: an intent that ends between the two has changed the document.
            intents = self.intents.intents_of((OwnerKind::Service, ready.id)).await?;
            let again = self.services.find(ready.family, &ServiceKey::Id(ready.id)).await?;
            let again = again.ok_or(CatalogError::NotFound(ready.family.entity_type()))?;
            let again = self.make_ready(again);
            again.readable()?;
            newer = Some(again);
        }
        Err(CatalogError::Raced)
    }

    /// Which secrets the store has in another version than the document names (or not at all), though nobody of ours is
    /// just writing them.
    async fn other_versions(
        &self,
        ready: &ReadyService,
        found: &[Found],
        intents: &[Intent],
    ) -> Result<Other, CatalogError> {
        let mut other = Other::new();
        for (at, (kept, found)) in ready.index.kept.iter().zip(found).enumerate() {
            let is_as_named = match found {
                Ok(found) => found.is_current,
                Err(error) => error.kind != SecretsErrorKind::NotFound,
            };
            let is_ours = found.is_ok() && intents.iter().any(|intent| is_writing(intent, kept));
            if is_as_named || is_ours {
                continue;
            }
            match self.current(ready, kept).await {
                Ok((version, _)) => drop(other.insert(at, version)),
                Err(error) if error.kind == SecretsErrorKind::NotFound => {
                    other.insert(at, SecretVersion::new(""));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(other)
    }

    async fn current(
        &self,
        ready: &ReadyService,
        kept: &KeptSecret,
    ) -> Result<(SecretVersion, SecretValue), SecretsError> {
        let place = kept.store.as_deref().unwrap_or_default();
        let secret = named_version(ready.id, kept).secret;
        let store = self.stores.at(place).ok_or_else(|| self.unknown_place(&secret.id, place))?;
        store.get_current(&secret).await
    }

    async fn values_of(
        &self,
        ready: &ReadyService,
        found: Vec<Found>,
        other: &Other,
    ) -> Result<(Vec<SecretValue>, Vec<String>), CatalogError> {
        let (mut values, mut drifted) = (Vec::with_capacity(found.len()), Vec::new());
        for (at, (kept, found)) in ready.index.kept.iter().zip(found).enumerate() {
            if !other.contains_key(&at) {
                values.push(found.map_err(|error| unread(ready, kept, error))?.value);
                continue;
            }
            let (version, value) = self.current(ready, kept).await.map_err(|error| unread(ready, kept, error))?;
            if other.get(&at) != Some(&version) {
                return Err(CatalogError::Raced);
            }
            if !found.is_ok_and(|found| found.value.is_same_as(&value)) {
                tracing::warn!(service.id = %ready.id, secret.name = kept.name, "a secret was changed in its store by somebody else");
                drifted.push(format!("connection.{}", shown(&kept.pointer)));
            }
            values.push(value);
        }
        Ok((values, drifted))
    }

    /// All secrets of the index, each from where it is.
    async fn read_kept(&self, ready: &ReadyService, refresh: bool) -> Result<Vec<Found>, CatalogError> {
        let all: BTreeSet<usize> = (0..ready.index.kept.len()).collect();
        let found = self.read_places(ready.id, &ready.index, &ready.ciphertexts, (&all, refresh)).await?;
        Ok(found.into_values().collect())
    }

    /// Some secrets of a stored service, by their number in its index.
    pub(super) async fn read_some(
        &self,
        loaded: &LoadedService,
        wanted: &BTreeSet<usize>,
    ) -> Result<BTreeMap<usize, Found>, CatalogError> {
        self.read_places(loaded.row.id, &loaded.index, &loaded.ciphertexts, (wanted, true)).await
    }

    async fn read_places(
        &self,
        service_id: uuid::Uuid,
        index: &SecretIndex,
        ciphertexts: &[Option<Vec<u8>>],
        (wanted, refresh): (&BTreeSet<usize>, bool),
    ) -> Result<BTreeMap<usize, Found>, CatalogError> {
        let mut found = BTreeMap::new();
        let mut outside: BTreeMap<&str, Vec<(usize, NamedVersion)>> = BTreeMap::new();
        for (at, kept) in index.kept.iter().enumerate().filter(|(at, _)| wanted.contains(at)) {
            if let Some(place) = kept.store.as_deref() {
                outside.entry(place).or_default().push((at, named_version(service_id, kept)));
                continue;
            }
            let secret = stored_secret(service_id, kept);
            let ciphertext = ciphertexts.get(at).and_then(|it| it.as_deref());
            let opened =
                match ciphertext {
                    Some(ciphertext) => self.stores.sealer()?.open(&secret, ciphertext),
                    None => Err(SecretsError::new(SecretsErrorKind::NotFound, self.stores.database().kind(), "get")
                        .on(&secret.id)),
                };
            found.insert(at, opened.map(|value| FoundSecret::now(value, true)));
        }
        for (place, secrets) in outside {
            let (numbers, secrets): (Vec<_>, Vec<_>) = secrets.into_iter().unzip();
            let Some(store) = self.stores.at(place) else {
                let missing = secrets.iter().map(|secret| Err(self.unknown_place(&secret.secret.id, place)));
                found.extend(numbers.into_iter().zip(missing));
                continue;
            };
            let store = if refresh { store.unremembered().unwrap_or(&**store) } else { &**store };
            found.extend(numbers.into_iter().zip(store.get_many(&secrets).await));
        }
        Ok(found)
    }

    fn unknown_place(&self, id: &SecretId, place: &str) -> SecretsError {
        SecretsError::new(SecretsErrorKind::Settings, self.stores.database().kind(), "get")
            .on(id)
            .because(format!("it lies in {place}, for which this server is not configured"))
    }
}

/// Whether one of us is writing this secret in the store that it is in.
pub(super) fn is_writing(intent: &Intent, kept: &KeptSecret) -> bool {
    let is_deletion = matches!(intent.state, IntentState::Deleting | IntentState::Removing);
    intent.secret.id.path == kept.pointer && Some(&intent.place) == kept.store.as_ref() && !is_deletion
}

/// A secret of a service, as its store knows it.
pub(super) fn named_version(service_id: uuid::Uuid, kept: &KeptSecret) -> NamedVersion {
    let id = SecretId::of_service(service_id, kept.pointer.clone());
    NamedVersion { secret: NamedSecret { id, name: kept.name.clone() }, version: kept.version.clone() }
}

/// What the failure of one secret means for its service.
fn unread(ready: &ReadyService, kept: &KeptSecret, error: SecretsError) -> CatalogError {
    if !is_unreadable(&error) {
        return error.into();
    }
    let missing = kept.store.as_ref().filter(|_| error.kind == SecretsErrorKind::NotFound);
    let reason = match missing {
        Some(place) => format!(
            "its secret {} is missing in {place}; restore it there, or an admin sends the connection again (PUT)",
            kept.name
        ),
        None => error.detail.unwrap_or_else(|| error.kind.to_string()),
    };
    CatalogError::Unreadable {
        name: ready.name.to_string(),
        paths: vec![format!("connection.{}", shown(&kept.pointer))],
        reason,
    }
}
