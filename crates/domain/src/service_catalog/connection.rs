//! A connection on its way in: checked against its type, its secrets swapped for references, their names found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::loaded::LoadedService;
use super::outside::OutsideDraft;
use super::placed::PlacedConnection;
use super::typed::parsed_name;
use super::{CatalogError, ServiceCatalog, WriteRequest};
use crate::connection_type::SecretPlace;
use crate::connection_types::ConnectionTypeError;
use crate::fault::{Fault, Faults};
use crate::json_pointer::shown;
use crate::secret::{SecretId, SecretValue, SecretVersion};
use crate::secret_names::normal_name;
use crate::secret_swap::{Before, KeptSecret, SecretIndex, StoredForm, Taken, take_secrets};
use crate::secrets_manager::SecretsManager;
use crate::service::Family;
use crate::service_store::{ClaimedName, HeldName};

/// How many secrets one connection may hold: far more than any has, and few enough to be looked through.
const MOST_SECRETS: usize = 1_000;

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
        request: &WriteRequest<'_>,
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
        self.check_typed(request.caller, &taken, before, request.validates_references).await?;
        let target = self.active_store()?;
        let mut names = self.name_all(owner, &taken, before.map(|it| &it.index)).await?;
        check_values(&taken, &*target)?;
        let mut placed = PlacedConnection { connection: Some(connection), ..PlacedConnection::default() };
        if let Err(error) = self.put_all(owner, taken, before, (&target, &mut names), &mut placed).await {
            self.take_back(&placed).await;
            return Err(error);
        }
        placed.finish(owner.id, before, names);
        Ok(placed)
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
            names.choose(owner.id, &pointer, candidates, &held)?;
        }
        Ok(names)
    }

    /// Another name for a field, since the store has somebody else's secret of the one that was chosen.
    pub(super) async fn rename(&self, owner: Owner<'_>, pointer: &str, names: &mut Names) -> Result<(), CatalogError> {
        let refused = names.of(pointer);
        let mut candidates: Vec<_> = self.names.candidates(owner.family, owner.name, pointer).collect();
        // Those before it were taken; under another prefix or cluster name it is not among them.
        if let Some(at) = candidates.iter().position(|name| *name == refused) {
            candidates.drain(..=at);
        }
        let normal_names: Vec<_> = candidates.iter().map(|name| normal_name(name)).collect();
        let held = self.services.holders(&normal_names).await?;
        names.claimed.retain(|claimed| claimed.path != pointer);
        names.choose(owner.id, pointer, candidates, &held)
    }

    async fn put_all(
        &self,
        owner: Owner<'_>,
        taken: Vec<Taken>,
        before: Option<&LoadedService>,
        (target, names): (&Arc<dyn SecretsManager>, &mut Names),
        placed: &mut PlacedConnection,
    ) -> Result<(), CatalogError> {
        let mut old = self.old_values(&taken, before).await?;
        let mut drafts = Vec::new();
        for taken in taken {
            match taken {
                Taken::Kept(kept) => placed.keep(kept),
                Taken::Typed(reference) => placed.refer(reference),
                Taken::Moved { pointer, from } => {
                    let value = old.remove(&from.pointer).ok_or_else(|| missing(before, &from))?;
                    drafts.push((KeptSecret { pointer, ..from }, value));
                }
                Taken::New { place, value } => {
                    let stored = before.and_then(|it| it.index.kept_at(&place.pointer));
                    let form = StoredForm::from(place.form);
                    let is_same = old.get(&place.pointer).is_some_and(|old| old.is_same_as(&value));
                    if let Some(stored) = stored.filter(|stored| is_same && stored.form == form) {
                        placed.keep(stored.clone());
                        continue;
                    }
                    drafts.push((KeptSecret::draft(place, form), value));
                }
            }
        }
        if target.sealer().is_some() {
            return self.seal_all(owner, drafts, names, placed);
        }
        let drafts = drafts.into_iter().map(|draft| outside_draft(target.place(), before, draft, names));
        self.put_outside(target, owner, drafts.collect(), names, placed).await
    }

    fn seal_all(
        &self,
        owner: Owner<'_>,
        drafts: Vec<(KeptSecret, SecretValue)>,
        names: &Names,
        placed: &mut PlacedConnection,
    ) -> Result<(), CatalogError> {
        for (mut draft, value) in drafts {
            let id = SecretId::of_service(owner.id, draft.pointer.clone());
            let sealed = self.stores.sealer()?.seal(&id, &value)?;
            draft.version = sealed.secret.version.clone();
            draft.store = None;
            draft.name = names.of(&draft.pointer);
            placed.sealed.push(sealed);
            placed.secrets_changed = true;
            placed.keep(draft);
        }
        Ok(())
    }

    /// The stored values that this write compares with or takes along, by their field: those that can be read. A value
    /// that was changed in its store by somebody else is none: the one that is sent takes its place.
    async fn old_values(
        &self,
        taken: &[Taken],
        before: Option<&LoadedService>,
    ) -> Result<BTreeMap<String, SecretValue>, CatalogError> {
        let Some(before) = before else { return Ok(BTreeMap::new()) };
        let wanted = taken.iter().filter_map(|taken| match taken {
            Taken::New { place, .. } => before.index.kept.iter().position(|kept| kept.pointer == place.pointer),
            Taken::Moved { from, .. } => before.index.kept.iter().position(|kept| kept.pointer == from.pointer),
            Taken::Kept(_) | Taken::Typed(_) => None,
        });
        let wanted: BTreeSet<usize> = wanted.collect();
        let mut values = BTreeMap::new();
        for (at, found) in self.read_some(before, &wanted).await? {
            match found {
                Ok(found) if found.is_current => drop(values.insert(before.pointer(at), found.value)),
                Err(error) if error.is_retryable() => return Err(error.into()),
                // What cannot be read, or is somebody else's by now, is written anew.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(values)
    }
}

/// What the store cannot hold is refused before anything is put.
fn check_values(taken: &[Taken], target: &dyn SecretsManager) -> Result<(), CatalogError> {
    let (limit, kind) = (target.limits().value_bytes, target.kind());
    let mut faults = Vec::new();
    for taken in taken {
        let Taken::New { place, value } = taken else { continue };
        let path = || format!("connection.{}", shown(&place.pointer));
        if value.len() > limit {
            faults.push(Fault::new(path(), format!("has {} bytes; {kind} holds at most {limit}", value.len())));
        } else if let Some(rule) = target.refusal(value) {
            faults.push(Fault::new(path(), rule));
        }
    }
    Ok(Faults::or_ok(faults)?)
}

fn missing(before: Option<&LoadedService>, kept: &KeptSecret) -> CatalogError {
    CatalogError::Unreadable {
        name: before.map(|it| it.name().to_owned()).unwrap_or_default(),
        paths: vec![format!("connection.{}", shown(&kept.pointer))],
        reason: "its secret is missing; send the value again".to_owned(),
    }
}

/// A secret on its way into a store; one that this document names there already is replaced under its name.
fn outside_draft(
    place: &str,
    before: Option<&LoadedService>,
    (kept, value): (KeptSecret, SecretValue),
    names: &Names,
) -> OutsideDraft {
    let old = before.and_then(|before| before.index.kept_at(&kept.pointer));
    let old = old.filter(|old| old.store.as_deref() == Some(place) && old.name == names.of(&kept.pointer));
    OutsideDraft { replaced: old.map(|old| old.version.clone()), kept, value }
}

impl KeptSecret {
    /// A secret that has no name and no version yet.
    fn draft(place: SecretPlace, form: StoredForm) -> Self {
        let (name, version) = (String::new(), SecretVersion::new(""));
        Self { pointer: place.pointer, name, version, store: None, form, shown: place.shown }
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
        let normal_name = normal_name(&parsed_name(reference));
        Some(HeldName { normal_name, service_id, path: reference.pointer.clone(), kept: false })
    }
}

/// Names by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, String>,
    pub(super) claimed: Vec<ClaimedName>,
}

impl Names {
    pub(super) fn of(&self, pointer: &str) -> String {
        self.known.get(pointer).cloned().unwrap_or_default()
    }

    /// A field keeps the name that it has.
    pub(super) fn keep(&mut self, pointer: &str, name: &str) {
        self.known.insert(pointer.to_owned(), name.to_owned());
    }

    /// A field gets another name.
    pub(super) fn claim(&mut self, pointer: &str, name: &str) {
        self.claimed.retain(|claimed| claimed.path != pointer);
        let (name, normal_name) = (name.to_owned(), normal_name(name));
        self.known.insert(pointer.to_owned(), name.clone());
        self.claimed.push(ClaimedName { name, normal_name, path: pointer.to_owned() });
    }

    /// The first of these names that nobody else holds.
    fn choose(
        &mut self,
        owner: Uuid,
        pointer: &str,
        candidates: Vec<String>,
        held: &[HeldName],
    ) -> Result<(), CatalogError> {
        for name in candidates {
            let normal = normal_name(&name);
            let mut holders = held.iter().filter(|holder| holder.normal_name == normal);
            let is_free = holders.all(|holder| holder.kept && holder.service_id == owner && holder.path == pointer);
            if is_free && !self.claimed.iter().any(|claimed| claimed.normal_name == normal) {
                self.claim(pointer, &name);
                return Ok(());
            }
        }
        Err(CatalogError::Conflict("all names for a secret of this service are taken; rename the service"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::secret_names::NameSettings;

    /// Names as alike as a store could take for one: in case, punctuation, length and letters that it does not know.
    fn service_name(number: usize) -> String {
        let mut rest = number;
        let mut spelled = |choices: [&str; 6]| {
            let choice = choices[rest % 6];
            rest /= 6;
            choice.to_owned()
        };
        let parts: Vec<_> = (0..6).map(|_| spelled(["a", "A", "_", ".", "-", "\u{e9}"])).collect();
        let length = if number.is_multiple_of(50) { 600 } else { 0 };
        format!("{}{}{}", "long".repeat(length / 4), parts.concat(), rest)
    }

    #[test]
    fn a_hundred_thousand_secrets_get_a_name_each_that_no_store_takes_for_another() {
        let settings = NameSettings { prefix: "p".to_owned(), cluster: "c".to_owned() };
        let mut holders: HashMap<String, HeldName> = HashMap::new();
        for number in 0..100_000 {
            let (owner, pointer) = (Uuid::from_u128(number as u128), "/config/authType/password");
            let candidates: Vec<_> = settings.candidates(Family::Database, &service_name(number), pointer).collect();
            let held: Vec<_> = candidates.iter().filter_map(|name| holders.get(&normal_name(name)).cloned()).collect();
            let mut names = Names::default();

            names.choose(owner, pointer, candidates, &held).unwrap();

            let ClaimedName { name, normal_name, path } = names.claimed.remove(0);
            let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_-".contains(character);
            assert!(name.len() <= 512 && name.chars().all(is_plain) && name.starts_with("/p/c/database/"), "{name}");
            let holder = HeldName { normal_name: normal_name.clone(), service_id: owner, path, kept: true };
            assert!(holders.insert(normal_name, holder).is_none(), "{name} was given twice");
        }
    }
}
