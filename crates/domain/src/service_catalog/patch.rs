//! JSON Patch (RFC 6902) on a service as an admin sees it, masked: so that no operation can read a secret.

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use super::loaded::{LoadedService, unreadable};
use super::save::{Draft, Replaces};
use super::write::check_match;
use super::{CatalogError, Change, ServiceCatalog, WriteAnswer, WriteRequest, admin};
use crate::audit::AuditAction;
use crate::fault::{Fault, Faults};
use crate::json_pointer::{is_at_or_above, shown};
use crate::service::ServiceKey;
use crate::service_fields::{CHANGEABLE, checked_field, config_of};

/// How often a patch is tried again when others write the same service at the same time.
const TRIES: usize = 8;

impl ServiceCatalog {
    /// Applies a patch.
    pub async fn patch(
        &self,
        request: &WriteRequest<'_>,
        key: &ServiceKey,
        operations: &Value,
    ) -> Result<WriteAnswer, CatalogError> {
        admin(request.caller)?;
        let patch = read_patch(operations)?;
        let mut outcome = Err(CatalogError::Raced);
        for _ in 0..TRIES {
            outcome = self.patch_once(request, key, &patch).await;
            if !matches!(outcome, Err(CatalogError::Raced)) {
                break;
            }
        }
        outcome
    }

    async fn patch_once(
        &self,
        request: &WriteRequest<'_>,
        key: &ServiceKey,
        patch: &Patch,
    ) -> Result<WriteAnswer, CatalogError> {
        let loaded = self.load_live(request, key).await?;
        refuse_oracles(patch, &loaded)?;
        let before = loaded.masked_entity();
        let mut after = Value::Object(before.clone());
        json_patch::patch(&mut after, patch).map_err(|error| {
            let place = patch.0.get(error.operation).map(|it| it.path().to_string()).unwrap_or_default();
            Faults::one(place, format!("operation {} of the patch cannot be applied there", error.operation))
        })?;
        let Value::Object(mut after) = after else {
            return Err(Faults::one("", "a patch cannot replace the whole service").into());
        };
        check_fixed(&before, &after)?;
        let entity = checked_entity(request, &loaded, &mut after)?;
        let connection = after.shift_remove("connection").filter(|it| !it.is_null());
        let placed = if connection.as_ref() == before.get("connection") {
            self.place_or_keep(request, &loaded, None).await?
        } else {
            match connection.map(config_of).transpose()?.flatten() {
                Some(config) => self.place_or_keep(request, &loaded, Some(config)).await?,
                None => super::connection::PlacedConnection::none(loaded.row.id, Some(&loaded)),
            }
        };
        let draft = Draft { entity, placed, action: AuditAction::Update, change: Change::Updated };
        self.save(request, draft, Replaces::Service(&loaded)).await
    }

    /// A service that is there, not soft-deleted, and believed.
    pub(super) async fn load_live(
        &self,
        request: &WriteRequest<'_>,
        key: &ServiceKey,
    ) -> Result<LoadedService, CatalogError> {
        let stored = self.find_stored(request.family, key).await?;
        let stored = stored.filter(|stored| !stored.row.deleted);
        let stored = stored.ok_or(CatalogError::NotFound(request.family.entity_type()))?;
        check_match(request, &stored.row)?;
        LoadedService::from_row(stored, &*self.signer).map_err(|refused| unreadable(&refused))
    }
}

/// Reads the operations one by one, so that a message names the faulty one and quotes nothing.
fn read_patch(operations: &Value) -> Result<Patch, Faults> {
    let Value::Array(operations) = operations else {
        return Err(Faults::one("body", "must be a list of JSON Patch operations"));
    };
    let mut read = Vec::with_capacity(operations.len());
    let mut faults = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        match serde_json::from_value::<PatchOperation>(operation.clone()) {
            Ok(operation) => read.push(operation),
            Err(_) => faults.push(Fault::new(
                format!("[{index}]"),
                "must be a JSON Patch operation: op (add, remove, replace, test, move, copy), path, and value or from",
            )),
        }
    }
    Faults::or_ok(faults)?;
    Ok(Patch(read))
}

/// `test` would tell whether a guess is right, `copy` and `move` would bring a secret where it is not one.
fn refuse_oracles(patch: &Patch, loaded: &LoadedService) -> Result<(), Faults> {
    let secrets: Vec<_> = loaded.index.pointers().map(|pointer| format!("/connection{pointer}")).collect();
    let touches =
        |path: &str| secrets.iter().any(|secret| is_at_or_above(path, secret) || is_at_or_above(secret, path));
    let mut faults = Vec::new();
    for operation in &patch.0 {
        let (name, places) = match operation {
            PatchOperation::Test(it) => ("test", vec![it.path.to_string()]),
            PatchOperation::Copy(it) => ("copy", vec![it.from.to_string(), it.path.to_string()]),
            PatchOperation::Move(it) => ("move", vec![it.from.to_string(), it.path.to_string()]),
            _ => continue,
        };
        if let Some(place) = places.iter().find(|place| touches(place)) {
            faults.push(Fault::new(
                shown(place),
                format!("`{name}` is refused where secrets are; use add, replace or remove"),
            ));
        }
    }
    Faults::or_ok(faults)
}

/// Whatever is not for clients to change must come out as it went in.
fn check_fixed(before: &Map<String, Value>, after: &Map<String, Value>) -> Result<(), Faults> {
    let is_changeable = |key: &str| key == "connection" || CHANGEABLE.contains(&key);
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    let faults = keys
        .filter(|key| !is_changeable(key) && before.get(*key) != after.get(*key))
        .map(|key| Fault::new(key, format!("cannot be patched; these can: connection, {}", CHANGEABLE.join(", "))));
    Faults::or_ok(faults.collect())
}

/// The stored entity with the changeable fields as the patch left them.
fn checked_entity(
    request: &WriteRequest<'_>,
    loaded: &LoadedService,
    after: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Faults> {
    let mut entity = loaded.entity.clone();
    let mut faults = Vec::new();
    for key in CHANGEABLE {
        let Some(value) = after.shift_remove(*key).filter(|value| !value.is_null()) else {
            entity.shift_remove(*key);
            continue;
        };
        if entity.get(*key) == Some(&value) {
            continue;
        }
        match checked_field(request.family, key, value) {
            Ok(value) => drop(entity.insert((*key).to_owned(), value)),
            Err(fault) => faults.push(fault),
        }
    }
    Faults::or_ok(faults)?;
    Ok(entity)
}
