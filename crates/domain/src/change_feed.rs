//! What others change in the database, so that nothing is answered from memory that is no longer so.

use async_trait::async_trait;
use uuid::Uuid;

use crate::service::Family;
use crate::store_error::StoreError;

/// A service whose row was written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedService {
    /// Its family.
    pub family: Family,
    /// Its id.
    pub id: Uuid,
    /// Its fully qualified name.
    pub fqn: String,
}

/// What was changed since one last looked, by whomever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// These services.
    pub services: Vec<ChangedService>,
    /// Users, bots or tokens.
    pub access: bool,
    /// Which store secrets go into.
    pub store: bool,
    /// Perhaps anything.
    pub everything: bool,
}

/// Tells what was changed.
#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// What was changed since the last call; one's own changes may be among them.
    async fn changes(&self) -> Result<Changes, StoreError>;
}
