//! References that users typed: who may, to what, and what they stand for.
//!
//! The server reads them with its own identity in the cloud. So only names under configured prefixes may be typed, and
//! never one of a secret that Strongroom keeps, for this cluster or another: else an admin of the catalog could read, or
//! learn of, anything that the server's identity may read. This is checked when a reference is saved, and again each time
//! it is resolved.

use serde_json::Value;

use super::loaded::{LoadedService, ReadyService};
use super::{CatalogError, ServiceCatalog};
use crate::caller::{Caller, Role};
use crate::fault::{Fault, Faults};
use crate::json_pointer::shown;
use crate::secret::SecretValue;
use crate::secret_names::{normal_name, parse_typed};
use crate::secret_swap::{Taken, TypedReference};
use crate::secrets_manager::{ForeignName, ForeignSecret, SecretsError, SecretsErrorKind};

impl ServiceCatalog {
    /// Only an admin types references, only under allowed prefixes, and none that names a secret which Strongroom keeps.
    pub(super) async fn check_typed(
        &self,
        caller: &Caller,
        taken: &[Taken],
        before: Option<&LoadedService>,
        is_validated: bool,
    ) -> Result<(), CatalogError> {
        let known = before.map(|it| it.index.typed.as_slice()).unwrap_or_default();
        let typed: Vec<_> = taken.iter().filter_map(Taken::typed).collect();
        if typed.is_empty() {
            return Ok(());
        }
        let is_new = |reference: &&&TypedReference| !known.contains(reference);
        if caller.role() != Role::Admin {
            return Err(CatalogError::Forbidden("only an admin may use references (`secret:…`) in a connection"));
        }
        let parsed: Vec<_> = typed.iter().filter(is_new).map(|reference| (*reference, parsed(reference))).collect();
        if parsed.iter().any(|(_, name)| !self.may_be_typed(name)) {
            return Err(CatalogError::Forbidden(
                "references (`secret:…`) are allowed only to names that begin with one of the prefixes of the \
                 configuration key references.allowedPrefixes; send a value, or let the operator add a prefix there",
            ));
        }
        let names: Vec<_> = typed.iter().map(|reference| normal_name(&parsed_name(reference))).collect();
        let held = self.services.holders(&names).await?;
        let is_ours = |name: &str| held.iter().any(|holder| holder.kept && holder.normal_name == normal_name(name));
        let mut faults = Vec::new();
        for reference in typed.iter().filter(|reference| is_ours(&parsed_name(reference))) {
            let message = "names a secret that Strongroom keeps for another field or service; send a value instead";
            faults.push(fault(reference, message));
        }
        Faults::or_ok(faults)?;
        if is_validated { self.validate_typed(&parsed).await } else { Ok(()) }
    }

    /// What is referenced is there, and can be read.
    async fn validate_typed(&self, typed: &[(&TypedReference, ForeignName)]) -> Result<(), CatalogError> {
        let Some(store) = self.stores.of_references() else { return Ok(()) };
        let mut faults = Vec::new();
        for (reference, name) in typed {
            let read = store.get_foreign(name).await.and_then(|found| value_of(found, name, store.kind()));
            match read {
                Ok(_) => {}
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    let why = error.detail.unwrap_or_else(|| error.kind.to_string());
                    let message = format!(
                        "names a secret that {} cannot be asked for: {why}; `?validate=false` skips this \
                         check",
                        store.kind()
                    );
                    faults.push(fault(reference, &message));
                }
            }
        }
        Ok(Faults::or_ok(faults)?)
    }

    /// The values behind the references of a service, in the order of its index; none where no store is there to ask.
    pub(super) async fn resolve_typed(&self, ready: &ReadyService) -> Result<Vec<SecretValue>, CatalogError> {
        let (Some(store), false) = (self.stores.of_references(), ready.index.typed.is_empty()) else {
            return Ok(Vec::new());
        };
        let names: Vec<_> = ready.index.typed.iter().map(|typed| normal_name(&parsed_name(typed))).collect();
        let held = self.services.holders(&names).await?;
        let mut values = Vec::with_capacity(names.len());
        for (reference, normal) in ready.index.typed.iter().zip(&names) {
            let name = parsed(reference);
            let refused = |reason: &str| CatalogError::Unreadable {
                name: ready.name.to_string(),
                paths: vec![format!("connection.{}", shown(&reference.pointer))],
                reason: reason.to_owned(),
            };
            if !self.may_be_typed(&name) {
                return Err(refused("its reference is under no prefix of references.allowedPrefixes any more"));
            }
            if held.iter().any(|holder| holder.kept && holder.normal_name == *normal) {
                return Err(refused("its reference names a secret that Strongroom keeps for another field or service"));
            }
            let found = store.get_foreign(&name).await.and_then(|found| value_of(found, &name, store.kind()));
            values.push(found.map_err(|error| {
                if error.is_retryable() {
                    return CatalogError::from(error);
                }
                refused(&error.detail.unwrap_or_else(|| format!("what it references is {}", error.kind)))
            })?);
        }
        Ok(values)
    }

    fn may_be_typed(&self, name: &ForeignName) -> bool {
        self.reference_prefixes.iter().any(|prefix| name.name.starts_with(prefix.as_str()))
    }
}

impl Taken {
    fn typed(&self) -> Option<&TypedReference> {
        if let Self::Typed(reference) = self { Some(reference) } else { None }
    }
}

fn fault(reference: &TypedReference, message: &str) -> Fault {
    Fault::new(format!("connection.{}", shown(&reference.pointer)), message)
}

/// What was typed was parsed before it was taken.
fn parsed(reference: &TypedReference) -> ForeignName {
    let whole = || ForeignName { name: reference.name.clone(), version: None, key: None };
    parse_typed(&reference.name).unwrap_or_else(|_| whole())
}

/// The name in the store, without version and key.
pub(super) fn parsed_name(reference: &TypedReference) -> String {
    parsed(reference).name
}

/// The value, or the field of it that is asked for; refused where a cluster of Strongroom keeps it.
fn value_of(found: ForeignSecret, name: &ForeignName, store: &'static str) -> Result<SecretValue, SecretsError> {
    let error = |kind, why: &str| SecretsError::new(kind, store, "resolve a reference").because(why);
    if let Some(cluster) = found.cluster {
        let why = format!("Strongroom keeps it for the cluster {cluster}; only secrets of others can be referenced");
        return Err(error(SecretsErrorKind::PermissionDenied, &why));
    }
    let Some(key) = &name.key else { return Ok(found.value) };
    // REVEAL: one field is taken out of a JSON object; the text around it is dropped.
    let parsed: Option<Value> = serde_json::from_str(found.value.reveal()).ok();
    match parsed.as_ref().and_then(|value| value.get(key)) {
        Some(Value::String(text)) => Ok(SecretValue::new(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(SecretValue::new(value.to_string())),
        _ => Err(error(SecretsErrorKind::NotFound, "it is no JSON object with a text under the key that is asked for")),
    }
}
