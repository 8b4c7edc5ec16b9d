//! Where services are kept: documents with references, ciphertext, history, and the names of secrets.

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::audit::AuditEntry;
use crate::row_signer::{KeyId, RowMac};
use crate::secret::StoredSecret;
use crate::secret_intents::{IntentChanges, PlannedDeletion};
use crate::secrets_manager::{CiphertextRow, SealedSecret};
use crate::service::{EntityVersion, Family, Include, ServiceKey};
use crate::store_error::StoreError;

/// A service as the database keeps it. The texts are JSON whose meaning the database does not know.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// Its id.
    pub id: Uuid,
    /// Its family.
    pub family: Family,
    /// Its fully qualified name, unique within the family, compared by bytes.
    pub fqn: String,
    /// Whether it is soft-deleted.
    pub deleted: bool,
    /// Its version.
    pub version: EntityVersion,
    /// Grows with each write, also with those that leave the version alone; guards against lost updates.
    pub revision: u64,
    /// The entity, with references in place of secrets.
    pub document: String,
    /// Which secrets the document names, with their versions.
    pub secrets: String,
    /// The MAC over all of the above.
    pub mac: RowMac,
}

/// A service with the ciphertexts that its document may name, in one read. Superseded or foreign rows may be
/// among them: the signed index of the row says which count.
#[derive(Clone, Debug)]
pub struct StoredService {
    /// The row.
    pub row: ServiceRow,
    /// All ciphertext rows of this owner.
    pub ciphertexts: Vec<CiphertextRow>,
}

/// Where a page of services begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageCursor {
    /// At the start.
    Start,
    /// Behind this fully qualified name.
    After(String),
    /// Before this fully qualified name (the page that ends there).
    Before(String),
}

/// What to list: ordered by the bytes of the fully qualified name.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Of which family.
    pub family: Family,
    /// Deleted ones or not.
    pub include: Include,
    /// From where.
    pub cursor: PageCursor,
    /// How many at most; 0 gives the total only.
    pub limit: usize,
}

/// A page of services.
#[derive(Clone, Debug)]
pub struct ServicePage {
    /// The services, in order.
    pub services: Vec<StoredService>,
    /// How many there are in all, whatever the page.
    pub total: u64,
    /// Whether there are services before this page.
    pub has_before: bool,
    /// Whether there are services behind this page.
    pub has_after: bool,
}

/// An earlier state of a service, with masks in place of secrets.
#[derive(Clone, Debug)]
pub struct VersionRow {
    /// Which version.
    pub version: EntityVersion,
    /// The entity as it was, masked.
    pub document: String,
}

/// A name that a write gives to a secret of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedName {
    /// The name behind `secret:`.
    pub name: String,
    /// The form in which names are compared, so that no store takes two names for one.
    pub normal_name: String,
    /// The field, as a JSON Pointer into the connection.
    pub path: String,
}

/// Who holds a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldName {
    /// The form in which names are compared.
    pub normal_name: String,
    /// The service.
    pub service_id: Uuid,
    /// The field.
    pub path: String,
    /// Whether Strongroom keeps a secret of this name, or has an intent on it; else a user typed a reference to it.
    pub kept: bool,
}

/// What a write does to names.
#[derive(Clone, Debug, Default)]
pub struct NameChanges {
    /// Names for secrets that had none. Refused when anyone else holds or has typed the name; one that the field holds
    /// already stays.
    pub claimed: Vec<ClaimedName>,
    /// Names (in their normal form) of secrets that this service no longer has.
    pub released: Vec<String>,
    /// When present: all references typed by users that the document now holds, replacing those noted before.
    /// Refused when Strongroom keeps a secret of such a name for any service.
    pub typed: Option<Vec<ClaimedName>>,
}

/// One write of one service: everything in it commits together, durably, or nothing does.
#[derive(Debug)]
pub struct ServiceWrite {
    /// The new row.
    pub row: ServiceRow,
    /// The revision it replaces; none: it must not exist.
    pub expected_revision: Option<u64>,
    /// New ciphertexts.
    pub sealed: Vec<SealedSecret>,
    /// Ciphertexts that are no longer named; deleted.
    pub superseded: Vec<StoredSecret>,
    /// Names gained and lost.
    pub names: NameChanges,
    /// Intents on secrets in stores outside of the database that this write ends or makes. Where a put that it names was
    /// withdrawn meanwhile, the write is refused as a [`ServiceWriteError::Conflict`].
    pub intents: IntentChanges,
    /// The state before, for the history.
    pub history: Option<VersionRow>,
    /// The audit entry.
    pub audit: AuditEntry,
}

/// Why a service was not written. Nothing was.
#[derive(Debug, Error)]
pub enum ServiceWriteError {
    /// A service of this family and fully qualified name exists.
    #[error("a service of this name exists")]
    AlreadyExists,
    /// The row is gone, or changed since it was read.
    #[error("the service was changed at the same time")]
    Conflict,
    /// Somebody holds this name (in its normal form).
    #[error("the name of a secret is taken")]
    NameTaken(String),
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where services are kept.
#[async_trait]
pub trait ServiceStore: Send + Sync {
    /// Finds a service, soft-deleted or not. A [`ServiceKey::Name`] must be a fully qualified name here.
    async fn find(&self, family: Family, key: &ServiceKey) -> Result<Option<StoredService>, StoreError>;

    /// Finds a service by its id alone, of whichever family.
    async fn find_by_id(&self, id: Uuid) -> Result<Option<StoredService>, StoreError> {
        let before = id.as_u128().checked_sub(1).map(Uuid::from_u128);
        let found = self.scan(before, 1).await?.pop();
        Ok(found.filter(|stored| stored.row.id == id))
    }

    /// Reads a page.
    async fn list(&self, query: ListQuery) -> Result<ServicePage, StoreError>;

    /// Writes one service.
    async fn write(&self, write: ServiceWrite) -> Result<(), ServiceWriteError>;

    /// Deletes a service of this revision with its secrets, names and history. What lies in stores outside of the
    /// database is noted in the same transaction, to be deleted there.
    async fn erase(
        &self,
        id: Uuid,
        expected_revision: u64,
        deletions: Vec<PlannedDeletion>,
        audit: AuditEntry,
    ) -> Result<(), ServiceWriteError>;

    /// Earlier versions, newest first.
    async fn history(&self, id: Uuid) -> Result<Vec<VersionRow>, StoreError>;

    /// Who holds these names (in their normal form).
    async fn holders(&self, normal_names: &[String]) -> Result<Vec<HeldName>, StoreError>;

    /// Says whether there is no service at all.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Services in the order of their ids, behind `after`, over all families: for health checks.
    async fn scan(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredService>, StoreError>;

    /// Up to `limit` services whose MAC was made with this key, for rotation.
    async fn signed_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<ServiceRow>, StoreError>;

    /// Replaces the MACs of rows that still have this revision and the MAC `row.mac`; says how many.
    async fn resign(&self, replacements: Vec<(ServiceRow, RowMac)>) -> Result<usize, StoreError>;
}
