//! Creating and updating: POST and PUT.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::connection::Owner;
use super::loaded::LoadedService;
use super::placed::PlacedConnection;
use super::save::{Draft, Replaces, new_entity};
use super::{CatalogError, Change, ServiceCatalog, WriteAnswer, WriteRequest, etag};
use crate::audit::AuditAction;
use crate::caller::Role;
use crate::connection_types::ConnectionTypeError;
use crate::fault::Faults;
use crate::service::{Family, ServiceKey, fully_qualified_name};
use crate::service_fields::{ServiceFields, config_of};
use crate::service_store::{ServiceRow, StoredService};

/// How often a write is tried again when others write the same service at the same time.
const TRIES: usize = 8;

impl ServiceCatalog {
    /// Creates a service that must not exist.
    pub async fn create(&self, request: &WriteRequest<'_>, body: &Value) -> Result<WriteAnswer, CatalogError> {
        may_create(request)?;
        let mut outcome = Err(CatalogError::Raced);
        for _ in 0..TRIES {
            outcome = self.create_once(request, body.clone()).await;
            if !matches!(outcome, Err(CatalogError::Raced)) {
                break;
            }
        }
        outcome
    }

    async fn create_once(&self, request: &WriteRequest<'_>, body: Value) -> Result<WriteAnswer, CatalogError> {
        let fields = ServiceFields::read(request.family, body)?;
        if self.find_by_name(request.family, &fields.name).await?.is_some() {
            return Err(CatalogError::AlreadyExists);
        }
        self.create_new(request, fields).await
    }

    /// Creates a service, or updates the one of this name. A worker's call on one that exists changes nothing.
    pub async fn put(&self, request: &WriteRequest<'_>, body: &Value) -> Result<WriteAnswer, CatalogError> {
        may_create(request)?;
        let mut outcome = Err(CatalogError::Raced);
        for _ in 0..TRIES {
            outcome = self.put_once(request, body.clone()).await;
            if !matches!(outcome, Err(CatalogError::Raced | CatalogError::AlreadyExists)) {
                break;
            }
        }
        outcome
    }

    async fn put_once(&self, request: &WriteRequest<'_>, body: Value) -> Result<WriteAnswer, CatalogError> {
        if request.caller.role() == Role::Worker
            && let Some(answer) = self.worker_put_on_existing(request, &body).await?
        {
            return Ok(answer);
        }
        let fields = ServiceFields::read(request.family, body)?;
        let Some(stored) = self.find_by_name(request.family, &fields.name).await? else {
            if request.if_match.is_some() {
                return Err(CatalogError::PreconditionFailed);
            }
            return self.create_new(request, fields).await;
        };
        if request.caller.role() != Role::Admin {
            return Err(CatalogError::Raced);
        }
        self.update(request, fields, stored).await
    }

    /// A worker names a service that exists: it gets what is stored, and its body counts for nothing.
    async fn worker_put_on_existing(
        &self,
        request: &WriteRequest<'_>,
        body: &Value,
    ) -> Result<Option<WriteAnswer>, CatalogError> {
        let Some(name) = body.get("name").and_then(Value::as_str) else { return Ok(None) };
        let key = ServiceKey::Name(fully_qualified_name(name));
        let Some(stored) = self.services.find(request.family, &key).await? else { return Ok(None) };
        let ready = self.make_ready(stored);
        if ready.deleted {
            return Err(CatalogError::Conflict("a service of this name was deleted; an admin can restore it"));
        }
        Ok(Some(self.answer_unchanged(request, &ready, Change::Unchanged)))
    }

    pub(super) async fn find_by_name(&self, family: Family, name: &str) -> Result<Option<StoredService>, CatalogError> {
        Ok(self.services.find(family, &ServiceKey::Name(fully_qualified_name(name))).await?)
    }

    async fn create_new(&self, request: &WriteRequest<'_>, fields: ServiceFields) -> Result<WriteAnswer, CatalogError> {
        let id = Uuid::new_v4();
        let entity = new_entity(id, &fields.name, &fields.service_type, fields.others);
        let owner = Owner { id, family: request.family, name: &fields.name, service_type: &fields.service_type };
        let placed = match fields.connection.map(config_of).transpose()?.flatten() {
            Some(config) => self.place(request, owner, config, None).await?,
            None => self.without_connection(owner, None)?,
        };
        let draft = Draft { entity, placed, action: AuditAction::Create, change: Change::Created };
        self.save(request, draft, Replaces::Nothing).await
    }

    /// A service without a connection is legal, but its type must exist.
    pub(super) fn without_connection(
        &self,
        owner: Owner<'_>,
        before: Option<&LoadedService>,
    ) -> Result<PlacedConnection, CatalogError> {
        match self.types.find(owner.family, owner.service_type) {
            Ok(_) | Err(ConnectionTypeError::WithoutConnection) => Ok(PlacedConnection::none(owner.id, before)),
            Err(error) => Err(Faults::one("serviceType", error.to_string()).into()),
        }
    }

    async fn update(
        &self,
        request: &WriteRequest<'_>,
        fields: ServiceFields,
        stored: StoredService,
    ) -> Result<WriteAnswer, CatalogError> {
        check_match(request, &stored.row)?;
        let ciphertexts = stored.ciphertexts.clone();
        match LoadedService::from_row(stored, &*self.signer) {
            Ok(loaded) => self.update_loaded(request, fields, &loaded).await,
            Err(refused) => self.repair(request, fields, StoredService { row: refused.0, ciphertexts }).await,
        }
    }

    async fn update_loaded(
        &self,
        request: &WriteRequest<'_>,
        fields: ServiceFields,
        loaded: &LoadedService,
    ) -> Result<WriteAnswer, CatalogError> {
        if loaded.service_type() != fields.service_type {
            let message = format!("is {} and cannot be changed; create another service", loaded.service_type());
            return Err(Faults::one("serviceType", message).into());
        }
        let config = fields.connection.map(config_of).transpose()?.flatten();
        let placed = self.place_or_keep(request, loaded, config).await?;
        let mut entity = loaded.entity.clone();
        entity.extend(fields.others);
        entity.insert("deleted".to_owned(), false.into());
        let draft = Draft { entity, placed, action: AuditAction::Update, change: Change::Updated };
        self.save(request, draft, Replaces::Service(loaded)).await
    }

    /// The connection that was sent, or the stored one where none was.
    pub(super) async fn place_or_keep(
        &self,
        request: &WriteRequest<'_>,
        loaded: &LoadedService,
        config: Option<Value>,
    ) -> Result<PlacedConnection, CatalogError> {
        let (name, service_type) = (loaded.name(), loaded.service_type());
        let owner = Owner { id: loaded.row.id, family: request.family, name, service_type };
        match config {
            Some(config) => self.place(request, owner, config, Some(loaded)).await,
            None => Ok(PlacedConnection::as_stored(loaded)),
        }
    }

    /// An admin sends a service whose row is not believed: everything of it is written anew.
    async fn repair(
        &self,
        request: &WriteRequest<'_>,
        fields: ServiceFields,
        stored: StoredService,
    ) -> Result<WriteAnswer, CatalogError> {
        let row = &stored.row;
        let owner =
            Owner { id: row.id, family: request.family, name: &fields.name, service_type: &fields.service_type };
        let mut placed = match fields.connection.map(config_of).transpose()?.flatten() {
            Some(config) => self.place(request, owner, config, None).await?,
            None => self.without_connection(owner, None)?,
        };
        placed.supersede_all(&stored);
        let entity: Map<String, Value> = new_entity(row.id, &fields.name, &fields.service_type, fields.others);
        let draft = Draft { entity, placed, action: AuditAction::Update, change: Change::Updated };
        self.save(request, draft, Replaces::Unbelieved(row)).await
    }
}

/// `If-Match` names id and version.
pub(super) fn check_match(request: &WriteRequest<'_>, row: &ServiceRow) -> Result<(), CatalogError> {
    let Some(wanted) = &request.if_match else { return Ok(()) };
    let current = etag(row.id, row.version);
    let is_met = wanted.split(',').map(str::trim).any(|tag| tag == "*" || tag == &*current);
    if is_met { Ok(()) } else { Err(CatalogError::PreconditionFailed) }
}

fn may_create(request: &WriteRequest<'_>) -> Result<(), CatalogError> {
    match request.caller.role() {
        Role::Admin | Role::Worker => Ok(()),
        Role::None => Err(CatalogError::Forbidden("only an admin, or a bot with the role worker, creates services")),
    }
}
