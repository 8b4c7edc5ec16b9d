//! An open database of any engine, by what it does.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_domain::{
    ActiveStoreRecord, AuditLog, ChangeFeed, CiphertextStore, IntentStore, KeyUsageStore, PrincipalStore,
    ReplicaRegistry, ServiceStore, StoreError,
};

use crate::copy::TableAccess;
use crate::{ServerDatabase, SqliteDatabase};

/// Whether a database answers.
#[async_trait]
pub trait DatabaseHealth: Send + Sync {
    /// Fails unless it can be read.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Fails unless it can be written. Changes nothing.
    async fn check_writable(&self) -> Result<(), StoreError>;
}

/// An open database. Clones share it.
#[derive(Clone)]
pub struct Database {
    /// Services.
    pub services: Arc<dyn ServiceStore>,
    /// Users, bots and tokens.
    pub principals: Arc<dyn PrincipalStore>,
    /// Envelopes of secrets.
    pub ciphertexts: Arc<dyn CiphertextStore>,
    /// The audit.
    pub audit: Arc<dyn AuditLog>,
    /// Which keys the rows need.
    pub keys: Arc<dyn KeyUsageStore>,
    /// What others change.
    pub changes: Arc<dyn ChangeFeed>,
    /// What is about to happen in stores outside of the database.
    pub intents: Arc<dyn IntentStore>,
    /// Which store secrets go into.
    pub stores: Arc<dyn ActiveStoreRecord>,
    /// Who else is there.
    pub replicas: Arc<dyn ReplicaRegistry>,
    /// Whether it answers.
    pub health: Arc<dyn DatabaseHealth>,
    /// Whole rows.
    pub(crate) tables: Arc<dyn TableAccess>,
    leases: Arc<dyn Leases>,
}

/// What only one process does at a time.
#[async_trait]
pub(crate) trait Leases: Send + Sync {
    /// Takes a lease, if nobody has it.
    async fn take(&self, name: &'static str) -> Result<Option<Database>, StoreError>;

    /// Says whether the last holder of a lease vanished.
    async fn is_left_behind(&self, name: &'static str) -> Result<bool, StoreError>;

    /// Makes the lease of this handle last on.
    async fn keep(&self) -> Result<(), StoreError>;

    /// Gives the lease of this handle back.
    async fn give_back(&self) -> Result<(), StoreError>;
}

impl Database {
    /// Takes the lease of a job; nothing where another has it. Each transaction through the handle that is
    /// given fails once the lease is another's: twenty seconds after the last one, by the clock of the database server.
    /// Single statements (notes, audit entries, envelopes on their own) are not held to it.
    /// Only one process opens an embedded database for writing at a time anyway, and each of its writes is whole.
    pub async fn under_lease(&self, name: &'static str) -> Result<Option<Self>, StoreError> {
        self.leases.take(name).await
    }

    /// Says whether a job was left behind: its last holder vanished before it gave the lease back.
    pub async fn is_left_behind(&self, name: &'static str) -> Result<bool, StoreError> {
        self.leases.is_left_behind(name).await
    }

    /// Makes the lease of this handle last on, as each transaction does; fails once it is another's.
    pub async fn keep_lease(&self) -> Result<(), StoreError> {
        self.leases.keep().await
    }

    /// Gives the lease of this handle back, since the work is done: nobody takes it over, and nobody waits for its end.
    pub async fn give_back_lease(&self) -> Result<(), StoreError> {
        self.leases.give_back().await
    }

    /// From where rows are still being copied into this database. Nothing may serve it before that is done.
    pub async fn unfinished_copy(&self) -> Result<Option<String>, StoreError> {
        self.tables.unfinished_copy().await
    }

    fn of<T>(engine: Arc<T>) -> Self
    where
        T: ServiceStore + PrincipalStore + CiphertextStore + AuditLog + KeyUsageStore + ChangeFeed,
        T: IntentStore + ActiveStoreRecord + ReplicaRegistry + DatabaseHealth + TableAccess + Leases + 'static,
    {
        Self {
            services: engine.clone(),
            principals: engine.clone(),
            ciphertexts: engine.clone(),
            audit: engine.clone(),
            keys: engine.clone(),
            changes: engine.clone(),
            intents: engine.clone(),
            stores: engine.clone(),
            replicas: engine.clone(),
            health: engine.clone(),
            tables: engine.clone(),
            leases: engine,
        }
    }
}

#[async_trait]
impl Leases for SqliteDatabase {
    async fn take(&self, _name: &'static str) -> Result<Option<Database>, StoreError> {
        Ok(Some(self.clone().into()))
    }

    async fn is_left_behind(&self, _name: &'static str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn keep(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Leases for ServerDatabase {
    async fn take(&self, name: &'static str) -> Result<Option<Database>, StoreError> {
        Ok(self.take_lease(name).await?.map(Database::from))
    }

    async fn is_left_behind(&self, name: &'static str) -> Result<bool, StoreError> {
        self.is_left_behind(name).await
    }

    async fn keep(&self) -> Result<(), StoreError> {
        self.keep_lease().await
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        self.give_back_lease().await
    }
}

impl From<SqliteDatabase> for Database {
    fn from(database: SqliteDatabase) -> Self {
        Self::of(Arc::new(database))
    }
}

impl From<ServerDatabase> for Database {
    fn from(database: ServerDatabase) -> Self {
        Self::of(Arc::new(database))
    }
}
