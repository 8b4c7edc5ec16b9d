//! The end of every write: what changed, the row, its MAC, and one transaction.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::loaded::{LoadedService, ReadyService, sign_row};
use super::placed::PlacedConnection;
use super::{
    CatalogError, Change, ServiceAnswer, ServiceCatalog, WriteAnswer, WriteRequest, etag, path_of, version_number,
};
use crate::audit::AuditAction;
use crate::caller::Role;
use crate::entity_template::{EntityTemplate, Filling, View};
use crate::row_signer::{KeyId, RowMac};
use crate::service::{EntityVersion, Family, fully_qualified_name};
use crate::service_store::{ServiceRow, ServiceWrite, ServiceWriteError, VersionRow};

/// Members that say how an entity came to be as it is; they are no change themselves.
const BOOKKEEPING: [&str; 4] = ["version", "updatedAt", "updatedBy", "changeDescription"];

/// An entity on its way into the database.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) entity: Map<String, Value>,
    pub(super) placed: PlacedConnection,
    pub(super) action: AuditAction,
    pub(super) change: Change,
}

/// The row that a draft replaces.
#[derive(Clone, Copy)]
pub(super) enum Replaces<'a> {
    Nothing,
    Service(&'a LoadedService),
    /// A row that is not believed; of it only these count.
    Unbelieved(&'a ServiceRow),
}

impl Replaces<'_> {
    fn revision(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Service(loaded) => Some(loaded.row.revision),
            Self::Unbelieved(row) => Some(row.revision),
        }
    }

    fn version(&self) -> Option<EntityVersion> {
        match self {
            Self::Nothing => None,
            Self::Service(loaded) => Some(loaded.row.version),
            Self::Unbelieved(row) => Some(row.version),
        }
    }
}

impl Replaces<'_> {
    /// The result of a test is no change of the service: its version stays.
    fn next_version(&self, action: AuditAction) -> EntityVersion {
        match self.version() {
            None => EntityVersion::FIRST,
            Some(version) if action == AuditAction::TestResult => version,
            Some(version) => version.next(),
        }
    }
}

impl ServiceCatalog {
    /// Writes a draft, or finds that nothing changes.
    pub(super) async fn save(
        &self,
        request: &WriteRequest<'_>,
        draft: Draft,
        replaces: Replaces<'_>,
    ) -> Result<WriteAnswer, CatalogError> {
        let Draft { mut entity, placed, action, change } = draft;
        set_connection(&mut entity, placed.connection.as_ref());
        let changes = changes_between(&entity, &placed, replaces);
        // A test result is always written: "no change" would tell a worker that a guess at a secret was right.
        let is_same =
            matches!(replaces, Replaces::Service(_)) && changes.is_none() && action != AuditAction::TestResult;
        if is_same {
            let version = replaces.version().unwrap_or(EntityVersion::FIRST);
            return Ok(self.answer_to_write(request, &entity, &placed, version, Change::Unchanged));
        }
        let version = replaces.next_version(action);
        if replaces.version() != Some(version) {
            entity.insert("version".to_owned(), version_number(version));
            entity.insert("updatedAt".to_owned(), self.clock.now().into());
            entity.insert("updatedBy".to_owned(), request.caller.name().into());
            set_change_description(&mut entity, changes, replaces.version());
        }
        let row = self.row_of(request.family, &entity, &placed, version, replaces.revision());
        let answer = self.answer_to_write(request, &entity, &placed, version, change);
        self.commit(request, row, placed, replaces, (action, answer.service.name.clone())).await?;
        Ok(answer)
    }

    fn row_of(
        &self,
        family: Family,
        entity: &Map<String, Value>,
        placed: &PlacedConnection,
        version: EntityVersion,
        revision: Option<u64>,
    ) -> ServiceRow {
        let text = |key: &str| entity.get(key).and_then(Value::as_str).unwrap_or_default();
        let unsigned = RowMac { key_id: KeyId::new(""), tag: Vec::new() };
        let mut row = ServiceRow {
            id: id_of(entity),
            family,
            fqn: text("fullyQualifiedName").to_owned(),
            deleted: entity.get("deleted").and_then(Value::as_bool).unwrap_or_default(),
            version,
            revision: revision.map_or(1, |revision| revision.wrapping_add(1)),
            document: Value::Object(entity.clone()).to_string(),
            secrets: serde_json::to_string(&placed.index).unwrap_or_default(),
            mac: unsigned,
        };
        row.mac = sign_row(&*self.signer, &row);
        row
    }

    async fn commit(
        &self,
        request: &WriteRequest<'_>,
        row: ServiceRow,
        mut placed: PlacedConnection,
        replaces: Replaces<'_>,
        (action, name): (AuditAction, Arc<str>),
    ) -> Result<(), CatalogError> {
        let paths = placed
            .sealed
            .iter()
            .map(|sealed| &sealed.secret.id)
            .chain(placed.puts.iter().map(|put| &put.intent.secret.id));
        let paths: Arc<[String]> = paths.map(|id| id.path.clone()).collect();
        let subject = (request.family, row.id, name.clone());
        let keys = [super::CacheKey::Id(row.family, row.id), super::CacheKey::Fqn(row.family, row.fqn.clone())];
        let history = history_of(replaces).filter(|before| before.version != row.version);
        let write = ServiceWrite {
            row,
            expected_revision: replaces.revision(),
            sealed: std::mem::take(&mut placed.sealed),
            superseded: std::mem::take(&mut placed.superseded),
            names: std::mem::take(&mut placed.names),
            intents: placed.intent_changes(),
            history,
            audit: self.audit_entry((request.caller.name(), request.origin), action, subject, paths),
        };
        let written = self.services.write(write).await;
        self.cache.forget(&keys);
        if let Err(error) = written {
            // An unknown outcome may have been a success: what it names must not be deleted.
            if !matches!(error, ServiceWriteError::Store(_)) {
                self.take_back(&placed).await;
            }
            return Err(write_error(error));
        }
        self.settle(&placed.puts, &placed.deletions).await;
        Ok(())
    }

    /// What the writer gets to see: masked for admins, for workers what a read would give, else hidden.
    pub(super) fn answer_to_write(
        &self,
        request: &WriteRequest<'_>,
        entity: &Map<String, Value>,
        placed: &PlacedConnection,
        version: EntityVersion,
        change: Change,
    ) -> WriteAnswer {
        let (filling, view) = match request.caller.role() {
            Role::Admin => (Filling::Masked, View::Masked),
            Role::Worker if self.workers_resolve(&placed.index) => (Filling::References, View::References),
            Role::Worker | Role::None => (Filling::Hidden, View::Hidden),
        };
        let id = id_of(entity);
        let template = EntityTemplate::new(&path_of(request.family, id), entity, &placed.index);
        let body = template.render(request.base_url, filling);
        let name: Arc<str> = entity.get("name").and_then(Value::as_str).unwrap_or_default().into();
        let service = ServiceAnswer::new(body, view, id, (name, etag(id, version)));
        WriteAnswer { service, change }
    }

    /// The answer about a service that stays as it is.
    pub(super) fn answer_unchanged(
        &self,
        request: &WriteRequest<'_>,
        ready: &ReadyService,
        change: Change,
    ) -> WriteAnswer {
        let best = self.best_view(request.caller, ready).min(View::Masked);
        let view = match request.caller.role() {
            Role::Worker => self.best_view(request.caller, ready),
            Role::Admin | Role::None => best,
        };
        let filling = match view {
            View::Hidden => Filling::Hidden,
            View::References => Filling::References,
            View::Masked | View::Plaintext => Filling::Masked,
        };
        let body = ready.template.render(request.base_url, filling);
        let (name, etag) = (ready.name.clone(), ready.etag.clone());
        let service = ServiceAnswer::new(body, view, ready.id, (name, etag));
        WriteAnswer { service, change }
    }
}

/// A new entity, without its connection.
pub(super) fn new_entity(id: Uuid, name: &str, service_type: &str, others: Map<String, Value>) -> Map<String, Value> {
    let mut entity = Map::new();
    entity.insert("id".to_owned(), id.to_string().into());
    entity.insert("name".to_owned(), name.into());
    entity.insert("fullyQualifiedName".to_owned(), fully_qualified_name(name).into());
    entity.insert("serviceType".to_owned(), service_type.into());
    entity.extend(others);
    entity.insert("deleted".to_owned(), false.into());
    entity
}

fn write_error(error: ServiceWriteError) -> CatalogError {
    match error {
        ServiceWriteError::AlreadyExists => CatalogError::AlreadyExists,
        ServiceWriteError::Conflict | ServiceWriteError::NameTaken(_) => CatalogError::Raced,
        ServiceWriteError::Store(error) => error.into(),
    }
}

fn id_of(entity: &Map<String, Value>) -> Uuid {
    entity.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default()
}

/// Puts the connection behind the service type, where readers look for it; leaves none where there is none.
fn set_connection(entity: &mut Map<String, Value>, connection: Option<&Value>) {
    entity.shift_remove("connection");
    let Some(connection) = connection else { return };
    let position = entity.keys().position(|key| key == "serviceType").map_or(entity.len(), |at| at + 1);
    entity.shift_insert(position, "connection".to_owned(), connection.clone());
}

/// The state before, for the history: masked, so that it never holds anything that could be resolved.
fn history_of(replaces: Replaces<'_>) -> Option<VersionRow> {
    let Replaces::Service(loaded) = replaces else { return None };
    let document = Value::Object(loaded.masked_entity()).to_string();
    Some(VersionRow { version: loaded.row.version, document })
}

/// What clients call a change description, without its `previousVersion`; none where nothing changed.
fn changes_between(entity: &Map<String, Value>, placed: &PlacedConnection, replaces: Replaces<'_>) -> Option<Value> {
    let Replaces::Service(loaded) = replaces else { return None };
    let (mut added, mut updated, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    let keys = loaded.entity.keys().chain(entity.keys().filter(|key| !loaded.entity.contains_key(*key)));
    for key in keys.filter(|key| !BOOKKEEPING.contains(&key.as_str())) {
        let (old, new) = (loaded.entity.get(key), entity.get(key));
        let is_changed = old != new || (key == "connection" && placed.secrets_changed);
        match (old, new) {
            _ if !is_changed => {}
            (None, Some(_)) => added.push(field_change(key, old, new)),
            (Some(_), None) => deleted.push(field_change(key, old, new)),
            _ => updated.push(field_change(key, old, new)),
        }
    }
    let is_empty = added.is_empty() && updated.is_empty() && deleted.is_empty();
    (!is_empty).then(|| json!({ "fieldsAdded": added, "fieldsUpdated": updated, "fieldsDeleted": deleted }))
}

/// A changed connection is named without what it was or is.
fn field_change(key: &str, old: Option<&Value>, new: Option<&Value>) -> Value {
    let mut change = Map::new();
    change.insert("name".to_owned(), key.into());
    if key != "connection" && key != "testConnectionResult" {
        for (name, value) in [("oldValue", old), ("newValue", new)] {
            if let Some(value) = value {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                change.insert(name.to_owned(), text.into());
            }
        }
    }
    Value::Object(change)
}

fn set_change_description(entity: &mut Map<String, Value>, changes: Option<Value>, previous: Option<EntityVersion>) {
    entity.shift_remove("changeDescription");
    if let (Some(mut changes), Some(previous)) = (changes, previous) {
        if let Value::Object(members) = &mut changes {
            members.insert("previousVersion".to_owned(), version_number(previous));
        }
        entity.insert("changeDescription".to_owned(), changes);
    }
}
