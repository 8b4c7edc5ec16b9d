//! The use cases: who may do what with services, and how a connection travels.
//!
//! Write: check → swap secrets for references → secrets manager → row, ciphertext, names, history and audit entry in
//! one transaction → what is no longer referenced is deleted. Secret before row, row before delete: no stored
//! reference ever dangles. Read: caller → view → row → audit entry, for plaintext → answer.

mod connection;
mod health;
mod lifecycle;
mod loaded;
mod moving;
mod opened;
mod outside;
mod patch;
mod placed;
mod read;
mod save;
mod survey;
mod test_result;
mod typed;
mod verify;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

pub use health::{SecretsHealth, UnreadableService};
use loaded::{CacheKey, ReadyService, unreadable};
pub(crate) use loaded::{sign_row, verify_row};
pub use moving::{MoveOrder, MoveProgress, SetAside};
pub use outside::SweepReport;
use placed::PlacedConnection;
pub use survey::MoveSurvey;
pub use verify::{Difference, DifferenceState, VerifyReport};

use crate::audit::{AuditAction, AuditEntry, AuditLog, Origin};
use crate::caller::{Admin, Caller};
use crate::change_feed::ChangedService;
use crate::clock::Clock;
use crate::connection_types::ConnectionTypes;
use crate::entity_template::View;
use crate::fault::Faults;
use crate::guarded_cache::GuardedCache;
use crate::row_signer::RowSigner;
use crate::secret_intents::IntentStore;
use crate::secret_names::NameSettings;
use crate::secret_stores::SecretStores;
use crate::secrets_manager::{SecretsError, SecretsErrorKind, SecretsManager};
use crate::service::{EntityVersion, Family, Include, ServiceKey};
use crate::service_store::{PageCursor, ServiceStore};
use crate::store_error::StoreError;

/// What a catalog is told at its start.
#[derive(Clone, Debug)]
pub struct CatalogSettings {
    /// What names of secrets begin with.
    pub names: NameSettings,
    /// What names must begin with that users may type as references; none: they may type none.
    pub reference_prefixes: Vec<String>,
    /// How much memory documents and ciphertext may take, in bytes; 0 keeps none.
    pub cache_bytes: u64,
}

/// All services, and the rules about them.
pub struct ServiceCatalog {
    types: Arc<ConnectionTypes>,
    services: Arc<dyn ServiceStore>,
    audit: Arc<dyn AuditLog>,
    intents: Arc<dyn IntentStore>,
    stores: Arc<SecretStores>,
    signer: Arc<dyn RowSigner>,
    clock: Arc<dyn Clock>,
    names: NameSettings,
    reference_prefixes: Vec<String>,
    cache: GuardedCache<CacheKey, Arc<ReadyService>>,
}

/// A request for one service.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Of which family.
    pub family: Family,
    /// Which one.
    pub key: ServiceKey,
    /// Deleted ones or not.
    pub include: Include,
    /// The view that was asked for; none: the most that the caller may have.
    pub view: Option<View>,
    /// Whether stores are asked for their secrets even where values of them are remembered.
    pub refresh: bool,
}

/// Where a page of a list begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// From where.
    pub cursor: PageCursor,
    /// How many at most.
    pub limit: usize,
}

/// A request for a list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Of which family.
    pub family: Family,
    /// Deleted ones or not.
    pub include: Include,
    /// The view that was asked for; none: masked for admins.
    pub view: Option<View>,
    /// Which page.
    pub page: PageRequest,
}

/// Common to all writes.
#[derive(Clone, Debug)]
pub struct WriteRequest<'a> {
    /// Who writes.
    pub caller: &'a Caller,
    /// From where.
    pub origin: &'a Origin,
    /// Of which family.
    pub family: Family,
    /// `If-Match`: the id and version that the service must have; none: any.
    pub if_match: Option<String>,
    /// Whether references that are typed must name what is there and can be read.
    pub validates_references: bool,
    /// Base of `href`, for example `http://localhost:8585`.
    pub base_url: &'a str,
}

/// How to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// With its secrets and history; else it is only marked.
    pub hard: bool,
}

/// One service in one view.
#[derive(Clone, Debug)]
pub struct ServiceAnswer {
    /// The entity as JSON.
    pub body: String,
    /// Which view it is.
    pub view: View,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// The entity tag: id and version, never a hash of content.
    pub etag: Arc<str>,
    /// Fields whose references the unmodified client does not resolve.
    pub unresolved: Vec<String>,
    /// Fields whose secret somebody else changed in its store: shown as it is there now.
    pub drifted: Vec<String>,
    /// Why a worker does not see the connection.
    pub reason: Option<&'static str>,
    /// How long ago the oldest value was read from its store; none: all just now.
    pub age: Option<Duration>,
}

impl ServiceAnswer {
    fn new(body: String, view: View, id: Uuid, (name, etag): (Arc<str>, Arc<str>)) -> Self {
        Self { body, view, id, name, etag, unresolved: Vec::new(), drifted: Vec::new(), reason: None, age: None }
    }
}

fn etag(id: Uuid, version: EntityVersion) -> Arc<str> {
    format!("\"{id}-{version}\"").into()
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Made a service.
    Created,
    /// Changed it.
    Updated,
    /// Found nothing to change.
    Unchanged,
    /// Marked it as deleted.
    SoftDeleted,
    /// Deleted it.
    Deleted,
    /// Brought it back.
    Restored,
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub struct WriteAnswer {
    /// The service as it now is, masked or hidden.
    pub service: ServiceAnswer,
    /// What was done.
    pub change: Change,
}

/// A page of services.
#[derive(Clone, Debug)]
pub struct ServicePageAnswer {
    /// The entities as JSON, in order.
    pub services: Vec<String>,
    /// How many there are in all.
    pub total: u64,
    /// Where the page before this one ends, where there is one.
    pub before: Option<String>,
    /// Where the page behind this one begins, where there is one.
    pub after: Option<String>,
    /// The least that any of them shows.
    pub view: View,
}

/// The versions of a service, newest first.
#[derive(Clone, Debug)]
pub struct VersionsAnswer {
    /// The entities as JSON texts.
    pub versions: Vec<String>,
    /// Which view they are.
    pub view: View,
}

/// Why the catalog did not do what it was asked.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The input is wrong, here and so.
    #[error("{0}")]
    Invalid(Faults),
    /// There is no such service.
    #[error("there is no {0} of this name or id")]
    NotFound(&'static str),
    /// A service of this name exists, deleted or not.
    #[error("Entity already exists")]
    AlreadyExists,
    /// The service is in a state that does not allow this.
    #[error("{0}")]
    Conflict(&'static str),
    /// Others wrote the same service at the same time, more often than we try.
    #[error("the service was changed at the same time; try again")]
    Raced,
    /// The caller may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// `If-Match` names another version.
    #[error("the service has another version than If-Match names; get it again")]
    PreconditionFailed,
    /// Stored, but not readable: changed behind our back, or a key is gone.
    #[error("the stored connection of {name} cannot be read: {reason}")]
    Unreadable {
        /// The service.
        name: String,
        /// The secret fields, where it is about some.
        paths: Vec<String>,
        /// Why, and what to do.
        reason: String,
    },
    /// The audit could not be written, so that there is no answer.
    #[error("the audit cannot be written, so that no plaintext is given")]
    NoAudit(#[source] StoreError),
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Secrets are in a store that this server is not configured for.
    #[error(
        "secrets are kept in {0} now, and this server is configured for another store; restart it with the new configuration"
    )]
    StoreElsewhere(String),
    /// The secrets manager could not answer.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl From<Faults> for CatalogError {
    fn from(faults: Faults) -> Self {
        Self::Invalid(faults)
    }
}

impl ServiceCatalog {
    /// A catalog over these parts.
    pub fn new(
        types: Arc<ConnectionTypes>,
        (services, intents): (Arc<dyn ServiceStore>, Arc<dyn IntentStore>),
        audit: Arc<dyn AuditLog>,
        stores: Arc<SecretStores>,
        signer: Arc<dyn RowSigner>,
        clock: Arc<dyn Clock>,
        settings: CatalogSettings,
    ) -> Self {
        let CatalogSettings { names, reference_prefixes, cache_bytes } = settings;
        let cache = GuardedCache::new(cache_bytes, None, |_: &CacheKey, service: &Arc<ReadyService>| service.weight());
        Self { types, services, audit, intents, stores, signer, clock, names, reference_prefixes, cache }
    }

    /// The connection types.
    pub fn types(&self) -> &ConnectionTypes {
        &self.types
    }

    /// Forgets what it remembers, after another process wrote or the key ring changed.
    pub fn forget_all(&self) {
        self.cache.clear();
    }

    /// Forgets services that were changed elsewhere.
    pub fn forget(&self, changed: &[ChangedService]) {
        let keys =
            changed.iter().flat_map(|it| [CacheKey::Id(it.family, it.id), CacheKey::Fqn(it.family, it.fqn.clone())]);
        self.cache.forget(&keys.collect::<Vec<_>>());
    }

    /// Answers from memory only until then; see [`AccessTokens::believe_until`](crate::AccessTokens::believe_until).
    pub fn believe_until(&self, time: Instant) {
        self.cache.believe_until(time);
    }

    /// The store that secrets go into; none is read or written where this server is not configured for it.
    fn active_store(&self) -> Result<Arc<dyn SecretsManager>, CatalogError> {
        self.stores.active().map_err(CatalogError::StoreElsewhere)
    }

    fn audit_entry(
        &self,
        (actor, origin): (&str, &Origin),
        action: AuditAction,
        (family, id, name): (Family, Uuid, Arc<str>),
        secret_paths: Arc<[String]>,
    ) -> AuditEntry {
        AuditEntry {
            sequence: 0,
            at: self.clock.now(),
            actor: actor.to_owned(),
            action,
            family: Some(family),
            subject_id: Some(id),
            subject: name,
            secret_paths,
            address: origin.address_text(),
            request_id: Arc::clone(&origin.request_id),
        }
    }
}

/// What an error of the secrets manager means for a service, once it is known which fields it is about.
fn is_unreadable(error: &SecretsError) -> bool {
    matches!(error.kind, SecretsErrorKind::Corrupt | SecretsErrorKind::NotFound)
}

/// Only an admin changes or deletes.
fn admin(caller: &Caller) -> Result<Admin<'_>, CatalogError> {
    caller.admin().ok_or(CatalogError::Forbidden("only an admin changes or deletes services"))
}

/// Where a service is served, without the server.
fn path_of(family: Family, id: Uuid) -> String {
    format!("/api/v1/services/{}/{id}", family.route())
}

/// The version as entities carry it: a number with one decimal.
fn version_number(version: EntityVersion) -> Value {
    version.to_string().parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number)
}
