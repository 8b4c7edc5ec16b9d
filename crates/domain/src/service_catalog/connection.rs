//! A connection on its way in: checked against its type, its secrets swapped for references, their names found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::loaded::{LoadedService, stored_secret};
use super::{CatalogError, ServiceCatalog};
use crate::caller::{Caller, Role};
use crate::connection_types::ConnectionTypeError;
use crate::fault::{Fault, Faults};
use crate::json_pointer::{replace, shown};
use crate::secret::{NamedSecret, NamedVersion, SecretId, SecretReference, SecretValue, StoredSecret};
use crate::secret_names::normal_name;
use crate::secret_swap::{Before, KeptSecret, SecretIndex, StoredForm, Taken, TypedReference, take_secrets};
use crate::secrets_manager::{PutMode, SealedSecret, SecretPut, SecretsErrorKind};
use crate::service::Family;
use crate::service_store::{ClaimedName, HeldName, NameChanges, StoredService};

/// How many secrets one connection may hold: far more than any has, and few enough to be looked through.
const MOST_SECRETS: usize = 1_000;

/// A connection ready to be stored, and what its storing brings along.
#[derive(Debug, Default)]
pub(super) struct PlacedConnection {
    /// With references in place of secrets.
    pub(super) connection: Option<Value>,
    pub(super) index: SecretIndex,
    pub(super) sealed: Vec<SealedSecret>,
    /// Put into a store of its own before the row; deleted again if the row is not written.
    pub(super) put: Vec<StoredSecret>,
    pub(super) superseded: Vec<StoredSecret>,
    pub(super) names: NameChanges,
    /// A secret has another value, or is new, or is gone.
    pub(super) secrets_changed: bool,
}

/// Whose connection it is.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) id: Uuid,
    pub(super) family: Family,
    pub(super) name: &'a str,
    pub(super) service_type: &'a str,
}

impl ServiceCatalog {
    /// Checks a connection's `config` and puts its secrets away.
    pub(super) async fn place(
        &self,
        caller: &Caller,
        owner: Owner<'_>,
        config: Value,
        before: Option<&LoadedService>,
    ) -> Result<PlacedConnection, CatalogError> {
        let connection_type =
            self.types.find(owner.family, owner.service_type).map_err(|error| fault_of_type(&error))?;
        let reading = connection_type.check(config, self.types.words())?;
        if reading.secrets.len() > MOST_SECRETS {
            let message = format!("holds {} secrets; a connection has at most {MOST_SECRETS}", reading.secrets.len());
            return Err(Faults::one("connection.config", message).into());
        }
        let mut connection = json!({ "config": reading.config });
        let stored = before.and_then(|it| Some(Before { connection: it.connection()?, index: &it.index }));
        let taken = take_secrets(&mut connection, reading.secrets, stored)?;
        self.check_typed(caller, &taken).await?;
        let named = self.name_all(owner, &taken, before.map(|it| &it.index)).await?;
        self.check_sizes(&taken)?;
        let mut placed = PlacedConnection { connection: Some(connection), ..PlacedConnection::default() };
        if let Err(error) = self.put_all(owner, taken, &named, before, &mut placed).await {
            self.withdraw(&placed.put).await;
            return Err(error);
        }
        placed.finish(owner.id, before, named);
        Ok(placed)
    }

    /// Only an admin types references, and none that names a secret which Strongroom keeps.
    async fn check_typed(&self, caller: &Caller, taken: &[Taken]) -> Result<(), CatalogError> {
        let typed: Vec<_> = taken
            .iter()
            .filter_map(|taken| if let Taken::Typed(reference) = taken { Some(reference) } else { None })
            .collect();
        if typed.is_empty() {
            return Ok(());
        }
        if caller.role() != Role::Admin {
            return Err(CatalogError::Forbidden("only an admin may use references (`secret:…`) in a connection"));
        }
        let names: Vec<_> = typed.iter().map(|reference| normal_name(&reference.name)).collect();
        let held = self.services.holders(&names).await?;
        let is_ours = |name: &str| held.iter().any(|holder| holder.kept && holder.normal_name == normal_name(name));
        let faults = typed.iter().filter(|reference| is_ours(&reference.name)).map(|reference| {
            let path = format!("connection.{}", shown(&reference.pointer));
            Fault::new(path, "names a secret that Strongroom keeps for another field or service; send a value instead")
        });
        Ok(Faults::or_ok(faults.collect())?)
    }

    /// A name for each secret: the one it has, or the first that nobody holds.
    async fn name_all(
        &self,
        owner: Owner<'_>,
        taken: &[Taken],
        before: Option<&SecretIndex>,
    ) -> Result<Names, CatalogError> {
        let mut names = Names::default();
        let mut wanting = Vec::new();
        for pointer in taken.iter().filter_map(Taken::wants_name) {
            match before.and_then(|index| index.kept_at(pointer)) {
                Some(kept) => names.known.extend([(pointer.to_owned(), kept.name.clone())]),
                None => wanting.push(pointer.to_owned()),
            }
        }
        let mut candidates: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pointer in &wanting {
            candidates.insert(pointer.clone(), self.names.candidates(owner.family, owner.name, pointer).collect());
        }
        let all: Vec<_> = candidates.values().flatten().map(|name| normal_name(name)).collect();
        let mut held = if all.is_empty() { Vec::new() } else { self.services.holders(&all).await? };
        held.extend(taken.iter().filter_map(|taken| taken.typed_name(owner.id)));
        for (pointer, candidates) in candidates {
            names.choose(owner.id, pointer, candidates, &held)?;
        }
        Ok(names)
    }

    /// Too large is refused before anything is put.
    fn check_sizes(&self, taken: &[Taken]) -> Result<(), CatalogError> {
        let limit = self.secrets.limits().value_bytes;
        let too_large = taken.iter().filter_map(|taken| match taken {
            Taken::New { place, value } if value.len() > limit => Some(Fault::new(
                format!("connection.{}", shown(&place.pointer)),
                format!("has {} bytes; {} holds at most {limit}", value.len(), self.secrets.kind()),
            )),
            _ => None,
        });
        Ok(Faults::or_ok(too_large.collect())?)
    }

    async fn put_all(
        &self,
        owner: Owner<'_>,
        taken: Vec<Taken>,
        names: &Names,
        before: Option<&LoadedService>,
        placed: &mut PlacedConnection,
    ) -> Result<(), CatalogError> {
        for taken in taken {
            match taken {
                Taken::Kept(kept) => placed.keep(kept),
                Taken::Typed(reference) => placed.refer(reference),
                Taken::Moved { pointer, from } => {
                    let value = self.value_of(before, &from).await?;
                    let draft = KeptSecret { pointer, ..from };
                    self.put_one(owner, draft, value, names, placed).await?;
                }
                Taken::New { place, value } => {
                    let stored = before.and_then(|it| it.index.kept_at(&place.pointer));
                    let form = StoredForm::from(place.form);
                    if let Some(stored) = stored
                        && stored.form == form
                        && self.value_of(before, stored).await.is_ok_and(|old| old.is_same_as(&value))
                    {
                        placed.keep(stored.clone());
                        continue;
                    }
                    let draft = KeptSecret {
                        pointer: place.pointer,
                        name: String::new(),
                        version: crate::secret::SecretVersion::new(""),
                        form,
                        shown: place.shown,
                    };
                    self.put_one(owner, draft, value, names, placed).await?;
                }
            }
        }
        Ok(())
    }

    async fn put_one(
        &self,
        owner: Owner<'_>,
        mut draft: KeptSecret,
        value: SecretValue,
        names: &Names,
        placed: &mut PlacedConnection,
    ) -> Result<(), CatalogError> {
        let id = SecretId::of_service(owner.id, draft.pointer.clone());
        if let Some(sealer) = self.secrets.sealer() {
            let sealed = sealer.seal(&id, &value)?;
            draft.version = sealed.secret.version.clone();
            placed.sealed.push(sealed);
        } else {
            let secret = NamedSecret { id: id.clone(), name: names.of(&draft.pointer) };
            let put = SecretPut {
                secret: &secret,
                label: owner.name,
                value: &value,
                token: Uuid::new_v4(),
                mode: PutMode::New,
                is_repeated: false,
            };
            draft.version = self.secrets.put(put).await?;
            placed.put.push(StoredSecret { id, version: draft.version.clone() });
        }
        draft.name = names.of(&draft.pointer);
        placed.secrets_changed = true;
        placed.keep(draft);
        Ok(())
    }

    /// The value that a stored secret has.
    async fn value_of(&self, before: Option<&LoadedService>, kept: &KeptSecret) -> Result<SecretValue, CatalogError> {
        let missing = || CatalogError::Unreadable {
            name: before.map(|it| it.name().to_owned()).unwrap_or_default(),
            paths: vec![format!("connection.{}", shown(&kept.pointer))],
            reason: "its secret is missing; send the value again".to_owned(),
        };
        let before = before.ok_or_else(missing)?;
        let secret = stored_secret(before.row.id, kept);
        let read = match self.secrets.sealer() {
            Some(sealer) => {
                let position = before.index.kept.iter().position(|it| it.pointer == kept.pointer);
                let ciphertext = position.and_then(|at| before.ciphertexts.get(at)?.as_deref());
                sealer.open(&secret, ciphertext.ok_or_else(missing)?)
            }
            None => self.secrets.get(&named(&secret)).await.map(|found| found.value),
        };
        read.map_err(|error| match error.kind {
            SecretsErrorKind::Corrupt | SecretsErrorKind::NotFound => missing(),
            _ => error.into(),
        })
    }

    /// Deletes versions that no document came to name. What fails here is found by the store's own clean-up.
    pub(super) async fn withdraw(&self, put: &[StoredSecret]) {
        for secret in put {
            if let Err(error) = self.secrets.delete_version(&named(secret)).await {
                tracing::warn!(secret.id = %secret.id, error = %error, "a secret that is not used was left behind");
            }
        }
    }
}

fn fault_of_type(error: &ConnectionTypeError) -> CatalogError {
    let path = if matches!(error, ConnectionTypeError::WithoutConnection) { "connection" } else { "serviceType" };
    Faults::one(path, error.to_string()).into()
}

impl Taken {
    /// The field that needs a name for its secret.
    fn wants_name(&self) -> Option<&str> {
        match self {
            Self::New { place, .. } => Some(&place.pointer),
            Self::Moved { pointer, .. } => Some(pointer),
            Self::Kept(_) | Self::Typed(_) => None,
        }
    }

    /// The name that a reference typed in this very connection holds.
    fn typed_name(&self, service_id: Uuid) -> Option<HeldName> {
        let Self::Typed(reference) = self else { return None };
        let normal_name = normal_name(&reference.name);
        Some(HeldName { normal_name, service_id, path: reference.pointer.clone(), kept: false })
    }
}

/// Names by field.
#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<String, String>,
    claimed: Vec<ClaimedName>,
}

impl Names {
    fn of(&self, pointer: &str) -> String {
        self.known.get(pointer).cloned().unwrap_or_default()
    }

    fn choose(
        &mut self,
        owner: Uuid,
        pointer: String,
        candidates: Vec<String>,
        held: &[HeldName],
    ) -> Result<(), CatalogError> {
        for name in candidates {
            let normal = normal_name(&name);
            let holders: Vec<_> = held.iter().filter(|holder| holder.normal_name == normal).collect();
            let is_own = |holder: &&HeldName| holder.kept && holder.service_id == owner && holder.path == pointer;
            if !holders.is_empty() && holders.iter().all(is_own) {
                self.known.insert(pointer, name);
                return Ok(());
            }
            let is_claimed = self.claimed.iter().any(|claimed| claimed.normal_name == normal);
            if holders.is_empty() && !is_claimed {
                self.known.insert(pointer.clone(), name.clone());
                self.claimed.push(ClaimedName { name, normal_name: normal, path: pointer });
                return Ok(());
            }
        }
        Err(CatalogError::Conflict(
            "all names for a secret of this service are taken by references; rename the service",
        ))
    }
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

    fn keep(&mut self, kept: KeptSecret) {
        self.put_reference(&kept.pointer, &kept.name);
        self.index.kept.push(kept);
    }

    fn refer(&mut self, reference: TypedReference) {
        self.put_reference(&reference.pointer, &reference.name);
        self.index.typed.push(reference);
    }

    fn put_reference(&mut self, pointer: &str, name: &str) {
        if let Some(connection) = &mut self.connection {
            replace(connection, pointer, SecretReference::to_name(name).to_string().into());
        }
    }

    /// What the old document named and the new one does not.
    fn finish(&mut self, owner: Uuid, before: Option<&LoadedService>, names: Names) {
        self.names.claimed = names.claimed;
        let old = before.map(|it| it.index.clone()).unwrap_or_default();
        if old.typed != self.index.typed {
            self.names.typed = Some(self.index.typed.iter().map(TypedReference::claim).collect());
        }
        let still: BTreeSet<_> = self.index.kept.iter().map(|kept| (&kept.pointer, &kept.version)).collect();
        let gone = old.kept.iter().filter(|kept| !still.contains(&(&kept.pointer, &kept.version)));
        self.superseded = gone.map(|kept| stored_secret(owner, kept)).collect();
        let released = old.kept.iter().filter(|kept| self.index.kept_at(&kept.pointer).is_none());
        self.names.released = released.map(|kept| normal_name(&kept.name)).collect();
        self.secrets_changed |= !self.superseded.is_empty();
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
        ClaimedName { name: self.name.clone(), normal_name: normal_name(&self.name), path: self.pointer.clone() }
    }
}

pub(super) fn named(secret: &StoredSecret) -> NamedVersion {
    let secret = secret.clone();
    NamedVersion { secret: NamedSecret { id: secret.id, name: String::new() }, version: secret.version }
}
