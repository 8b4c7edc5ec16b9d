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
use crate::strict_json::MAX_DEPTH;

/// How often a patch is tried again when others write the same service at the same time.
const TRIES: usize = 8;

/// How many bytes the `copy` operations of one patch may copy in all: a few of them could double a document each.
const LARGEST_COPIES: usize = 64 * 1024;

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
        apply(&mut after, patch)?;
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
                None => super::PlacedConnection::none(loaded.row.id, Some(&loaded)),
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

/// Applies one operation after the other, none of which may nest deeper than a body may, or copy without end.
fn apply(document: &mut Value, patch: &Patch) -> Result<(), Faults> {
    let mut copied = 0;
    for (number, operation) in patch.0.iter().enumerate() {
        let fault = |message: String| Faults::one(operation.path().to_string(), message);
        let (depth, size) = match operation {
            PatchOperation::Add(it) => extent(&it.value),
            PatchOperation::Replace(it) => extent(&it.value),
            PatchOperation::Move(it) => document.pointer(it.from.as_str()).map_or((0, 0), extent),
            PatchOperation::Copy(it) => document.pointer(it.from.as_str()).map_or((0, 0), extent),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (0, 0),
        };
        copied += if matches!(operation, PatchOperation::Copy(_)) { size } else { 0 };
        if copied > LARGEST_COPIES {
            return Err(fault("the copies of the patch are too large; send the values".to_owned()));
        }
        if depth + operation.path().tokens().count() > MAX_DEPTH {
            return Err(fault(format!("would nest deeper than {MAX_DEPTH} levels")));
        }
        json_patch::patch(document, std::slice::from_ref(operation))
            .map_err(|_| fault(format!("operation {number} of the patch cannot be applied there")))?;
    }
    Ok(())
}

/// How deep a value nests, and about how many bytes it has.
fn extent(value: &Value) -> (usize, usize) {
    let below = |(depth, size): (usize, usize), value: &Value| {
        let (inner, bytes) = extent(value);
        (depth.max(inner), size + bytes)
    };
    match value {
        Value::Array(elements) => {
            let (depth, size) = elements.iter().fold((0, 1), below);
            (depth + 1, size)
        }
        Value::Object(members) => {
            let (depth, size) = members.values().fold((0, 1), below);
            (depth + 1, size + members.keys().map(String::len).sum::<usize>())
        }
        Value::String(text) => (0, text.len() + 1),
        Value::Null | Value::Bool(_) | Value::Number(_) => (0, 8),
    }
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
