//! Deleting, restoring, and looking back.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::loaded::{LoadedService, unreadable};
use super::placed::{PlacedConnection, planned_deletion};
use super::read::{chosen_view, meanings};
use super::save::{Draft, Replaces};
use super::write::check_match;
use super::{
    CatalogError, Change, DeleteOptions, ServiceAnswer, ServiceCatalog, VersionsAnswer, WriteAnswer, WriteRequest,
    admin, etag, path_of,
};
use crate::audit::AuditAction;
use crate::caller::{Caller, Role};
use crate::entity_template::{PRIVATE, View};
use crate::service::{EntityVersion, Family, ServiceKey};
use crate::service_store::{ServiceWriteError, StoredService};

impl ServiceCatalog {
    /// Finds a stored service by id or by either form of its name.
    pub(super) async fn find_stored(
        &self,
        family: Family,
        key: &ServiceKey,
    ) -> Result<Option<StoredService>, CatalogError> {
        let ServiceKey::Name(name) = key else { return Ok(self.services.find(family, key).await?) };
        for fqn in meanings(name) {
            if let Some(stored) = self.services.find(family, &ServiceKey::Name(fqn)).await? {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Deletes a service: marks it, or removes it with its secrets and history.
    pub async fn delete(
        &self,
        request: &WriteRequest<'_>,
        key: &ServiceKey,
        options: DeleteOptions,
    ) -> Result<WriteAnswer, CatalogError> {
        admin(request.caller)?;
        let stored = self.find_stored(request.family, key).await?;
        let stored = stored.ok_or(CatalogError::NotFound(request.family.entity_type()))?;
        check_match(request, &stored.row)?;
        if options.hard {
            return self.erase(request, stored).await;
        }
        let loaded = LoadedService::from_row(stored, &*self.signer).map_err(|refused| unreadable(&refused))?;
        if loaded.row.deleted {
            let ready = self.make_ready(loaded.into_stored());
            return Ok(self.answer_unchanged(request, &ready, Change::SoftDeleted));
        }
        self.set_deleted(request, &loaded, true, (AuditAction::SoftDelete, Change::SoftDeleted)).await
    }

    async fn erase(&self, request: &WriteRequest<'_>, stored: StoredService) -> Result<WriteAnswer, CatalogError> {
        let (id, revision) = (stored.row.id, stored.row.revision);
        // Of a row that is not believed nothing is deleted elsewhere: `strongroom secrets gc` finds what it left.
        let deletions: Vec<_> = match LoadedService::from_row(stored.clone(), &*self.signer) {
            Ok(loaded) => loaded.index.kept.iter().filter_map(|kept| planned_deletion(id, kept)).collect(),
            Err(_) => Vec::new(),
        };
        let ready = self.make_ready(stored);
        let subject = (request.family, id, ready.name.clone());
        let paths = ready.secret_paths.clone();
        let actor = (request.caller.name(), request.origin);
        let entry = self.audit_entry(actor, AuditAction::HardDelete, subject, paths);
        let erased = self.services.erase(id, revision, deletions.clone(), entry).await;
        self.cache.forget(&ready.keys());
        erased.map_err(|error| match error {
            ServiceWriteError::Store(error) => error.into(),
            _ => CatalogError::Raced,
        })?;
        self.settle(&[], &deletions).await;
        Ok(self.answer_unchanged(request, &ready, Change::Deleted))
    }

    /// Brings a soft-deleted service back.
    pub async fn restore(&self, request: &WriteRequest<'_>, id: Uuid) -> Result<WriteAnswer, CatalogError> {
        admin(request.caller)?;
        let stored = self.find_stored(request.family, &ServiceKey::Id(id)).await?;
        let stored = stored.ok_or(CatalogError::NotFound(request.family.entity_type()))?;
        check_match(request, &stored.row)?;
        if !stored.row.deleted {
            return Err(crate::fault::Faults::one("id", "names a service that is not deleted").into());
        }
        let loaded = LoadedService::from_row(stored, &*self.signer).map_err(|refused| unreadable(&refused))?;
        self.set_deleted(request, &loaded, false, (AuditAction::Restore, Change::Restored)).await
    }

    async fn set_deleted(
        &self,
        request: &WriteRequest<'_>,
        loaded: &LoadedService,
        deleted: bool,
        (action, change): (AuditAction, Change),
    ) -> Result<WriteAnswer, CatalogError> {
        let mut entity = loaded.entity.clone();
        entity.insert("deleted".to_owned(), deleted.into());
        let placed = PlacedConnection::as_stored(loaded);
        self.save(request, Draft { entity, placed, action, change }, Replaces::Service(loaded)).await
    }

    /// All versions, newest first. None of them ever holds a secret: masked for admins, hidden for everyone else.
    pub async fn versions(
        &self,
        caller: &Caller,
        base_url: &str,
        family: Family,
        id: Uuid,
        asked: Option<View>,
    ) -> Result<VersionsAnswer, CatalogError> {
        let (view, entities) = self.all_versions(caller, family, id, asked).await?;
        let versions = entities.into_iter().map(|(_, entity)| shown_entity(entity, view, base_url, family, id));
        Ok(VersionsAnswer { versions: versions.collect(), view })
    }

    /// One version.
    pub async fn version(
        &self,
        caller: &Caller,
        base_url: &str,
        (family, id): (Family, Uuid),
        wanted: EntityVersion,
        asked: Option<View>,
    ) -> Result<ServiceAnswer, CatalogError> {
        let (view, entities) = self.all_versions(caller, family, id, asked).await?;
        let found = entities.into_iter().find(|(version, _)| *version == wanted);
        let (version, entity) = found.ok_or(CatalogError::NotFound("version of this service"))?;
        let name = entity.get("name").and_then(Value::as_str).unwrap_or_default().into();
        let body = shown_entity(entity, view, base_url, family, id);
        Ok(ServiceAnswer::new(body, view, id, (name, etag(id, version))))
    }

    async fn all_versions(
        &self,
        caller: &Caller,
        family: Family,
        id: Uuid,
        asked: Option<View>,
    ) -> Result<(View, Vec<(EntityVersion, Map<String, Value>)>), CatalogError> {
        let stored = self.find_stored(family, &ServiceKey::Id(id)).await?;
        let stored = stored.ok_or(CatalogError::NotFound(family.entity_type()))?;
        let best = if caller.role() == Role::Admin { View::Plaintext } else { View::Hidden };
        let view = chosen_view(asked, best, best)?.min(View::Masked);
        let current = LoadedService::from_row(stored, &*self.signer).map_err(|refused| unreadable(&refused))?;
        let mut versions = vec![(current.row.version, current.masked_entity())];
        for row in self.services.history(id).await? {
            if let Ok(Value::Object(entity)) = serde_json::from_str(&row.document) {
                versions.push((row.version, entity));
            }
        }
        Ok((view, versions))
    }
}

impl LoadedService {
    /// Back to what the database gave, for an answer.
    fn into_stored(self) -> StoredService {
        let secrets: Vec<_> = self.stored_secrets().collect();
        let rows = secrets.into_iter().zip(self.ciphertexts);
        let ciphertexts = rows.filter_map(|(secret, ciphertext)| {
            Some(crate::secrets_manager::CiphertextRow { secret, ciphertext: ciphertext? })
        });
        StoredService { ciphertexts: ciphertexts.collect(), row: self.row }
    }
}

fn shown_entity(mut entity: Map<String, Value>, view: View, base_url: &str, family: Family, id: Uuid) -> String {
    if view == View::Hidden {
        entity.retain(|key, _| !PRIVATE.contains(&key.as_str()));
    }
    entity.shift_insert(0, "href".to_owned(), format!("{base_url}{}", path_of(family, id)).into());
    Value::Object(entity).to_string()
}
